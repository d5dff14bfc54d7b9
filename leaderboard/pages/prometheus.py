"""GET /metrics: this web server's counters, and the state of the queue from the database."""

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leaderboard.models import Evaluation, Mail, Worker
from leaderboard.platform.proxies import is_forwarded

RECENT = 1000
LOCAL = ("localhost", "127.0.0.1", "::1")
QUANTILES = (0.5, 0.9, 1.0)


class QueueCollector(Collector):
    """The queue and the newest evaluations from the database; every process gives the same answer."""

    def collect(self) -> Iterator[Metric]:
        yield from self._queue()
        yield from self._mails()
        yield from self._recent()

    def _queue(self) -> Iterator[Metric]:
        now = timezone.now()
        waiting = GaugeMetricFamily("leaderboard_queue_length", "Evaluations waiting", labels=["priority"])
        oldest = GaugeMetricFamily(
            "leaderboard_queue_oldest_seconds",
            "Waiting time of the oldest evaluation: alert on this",
            labels=["priority"],
        )
        found = {
            row["priority"]: row
            for row in Evaluation.objects.queued()
            .order_by()
            .values("priority")
            .annotate(number=Count("pk"), since=Min("queued_at"))
        }
        for priority in Evaluation.Priority:
            row = found.get(priority.value)
            waiting.add_metric([priority.name.lower()], row["number"] if row else 0)
            oldest.add_metric([priority.name.lower()], (now - row["since"]).total_seconds() if row else 0)
        running = Evaluation.objects.scoring()
        yield waiting
        yield oldest
        yield GaugeMetricFamily(
            "leaderboard_workers", "Workers with a recent heartbeat", Worker.objects.alive(now).count()
        )
        yield GaugeMetricFamily("leaderboard_scoring", "Evaluations being scored", running.count())
        yield GaugeMetricFamily(
            "leaderboard_leases_expired",
            "Evaluations being scored whose lease has expired",
            running.filter(lease_until__lt=now).count(),
        )

    def _mails(self) -> Iterator[Metric]:
        mails = GaugeMetricFamily("leaderboard_mails", "Mails not sent yet, or given up", labels=["state"])
        mails.add_metric(["waiting"], Mail.objects.waiting().count())
        mails.add_metric(["given_up"], Mail.objects.failed().count())
        yield mails

    def _recent(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "leaderboard_recent_evaluations", f"The newest {RECENT} evaluations by state", labels=["state"]
        )
        problems = GaugeMetricFamily(
            "leaderboard_recent_problems", "Recent evaluations with this problem", labels=["code"]
        )
        spans = GaugeMetricFamily(
            "leaderboard_recent_scoring_seconds", "Their seconds from start to end", labels=["quantile"]
        )
        newest = Evaluation.objects.order_by("-pk").values_list(
            "state", "problems", "started_at", "finished_at"
        )[:RECENT]
        by_state: Counter[str] = Counter(dict.fromkeys(Evaluation.State.values, 0))
        by_code: Counter[str] = Counter()
        seconds = []
        for state, found, started, finished in newest:
            by_state[state] += 1
            by_code.update({problem["code"] for problem in found})
            if started and finished:
                seconds.append((finished - started).total_seconds())
        for state, number in by_state.items():
            states.add_metric([state], number)
        for code, number in by_code.items():
            problems.add_metric([code], number)
        seconds.sort()
        for quantile in QUANTILES if seconds else ():
            spans.add_metric([str(quantile)], seconds[min(len(seconds) - 1, int(quantile * len(seconds)))])
        yield from (states, problems, spans)


@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Metrics in Prometheus's text format, if `may_read` permits."""
    if not may_read(request):
        why = "Send METRICS_TOKEN as the bearer token. A server without one answers programs of its machine only, and only with a local SITE_URL.\n"
        return HttpResponse(why, "text/plain", status=401, headers={"WWW-Authenticate": "Bearer"})
    counted = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # gunicorn's processes keep their counters there
        counted = CollectorRegistry()
        multiprocess.MultiProcessCollector(counted)
    queue = CollectorRegistry()
    queue.register(QueueCollector())
    return HttpResponse(generate_latest(counted) + generate_latest(queue), content_type=CONTENT_TYPE_LATEST)


def may_read(request: HttpRequest) -> bool:
    """With METRICS_TOKEN: whoever sends it. Without: this machine, as long as no others are served.

    A server with a public address may have a proxy on this machine, which need not say that it is one.
    """
    if settings.METRICS_TOKEN:
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return secrets.compare_digest(sent.encode(), settings.METRICS_TOKEN.encode())
    if settings.TRUSTED_PROXIES or is_forwarded(request) or urlsplit(settings.SITE_URL).hostname not in LOCAL:
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback  # mapped: HOST=::
