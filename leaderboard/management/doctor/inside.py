"""What the server stands on, as this machine sees it: database, workers, broker, storage, mail, clock, disk."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.mail import get_connection
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from leaderboard.celery import app
from leaderboard.management.doctor.findings import Finding, fault, ok, warning
from leaderboard.models import Evaluation, Mail, Worker

LONG_WAIT = timedelta(minutes=10)
MANY_MESSAGES = 100
SKEW_SECONDS = 2
LITTLE_BYTES, LITTLE_SHARE = 1 << 30, 0.05


def examine() -> Iterator[Finding]:
    """Everything inside. Without a database, only what does not need it."""
    broken = False
    for subject, step, needs_rows in STEPS:
        if broken and needs_rows:
            continue
        try:
            findings = list(step())
        except Exception as error:
            said = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            findings = [fault(subject, said, "See the message and the server's log.")]
        yield from findings
        broken = broken or (
            subject in ("database", "migrations") and any(f.level == "FAULT" for f in findings)
        )


def _database() -> Iterator[Finding]:
    fix = "Start it, and check DATABASE_URL (host, port, name, password)."
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        yield fault("database", f"does not answer: {str(error).strip().splitlines()[0]}", fix)
        return
    yield ok("database", f"{connection.vendor} answers")


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        yield fault("migrations", f"{len(missing)} are missing", "Run: python manage.py migrate")
    else:
        yield ok("migrations", "all applied")


def _clock() -> Iterator[Finding]:
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [there] = cursor.fetchone() or [timezone.now()]
    skew = abs((there - timezone.now()).total_seconds())
    if skew > SKEW_SECONDS:
        fix = "Let NTP set the clocks of all hosts: leases and deadlines depend on them."
        yield fault("clock", f"{skew:.0f} s between this machine and the database", fix)
    else:
        yield ok("clock", "this machine and the database agree")


def _workers() -> Iterator[Finding]:
    now = timezone.now()
    alive = Worker.objects.alive(now)
    scoring = alive.scoring().count()
    oldest = Evaluation.objects.queued().order_by("queued_at").values_list("queued_at", flat=True).first()
    waiting = (
        f"; the oldest submission has waited for {now - oldest}"
        if oldest and now - oldest > LONG_WAIT
        else ""
    )
    if not alive:
        fix = "Start one: celery -A leaderboard worker (`manage.py serve` and the compose file do)."
        yield fault("workers", f"none is alive{waiting}", fix)
    elif not scoring:
        fix = "See docs/security.md about the system-call filter, or set SCORE_WITHOUT_FILTER=yes knowingly."
        yield fault("workers", "all refuse to score, because their kernel has no system-call filter", fix)
    elif waiting:
        yield warning("workers", f"{scoring} alive{waiting}", "Start more workers, and look into their log.")
    else:
        yield ok("workers", f"{scoring} alive")
    silent = Worker.objects.silent(now).count()
    if silent:
        yield warning(
            "workers", f"{silent} went silent within the last hour", "Look into their log for the cause."
        )


def _broker() -> Iterator[Finding]:
    kind = "Redis" if settings.REDIS_URL else f"the folder {settings.DATA_DIR / 'broker'}"
    try:
        with app.connection_for_read() as link:
            link.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            channel: Any = link.default_channel
            names = [queue.name for queue in settings.CELERY_TASK_QUEUES]
            waiting = {name: channel.queue_declare(name).message_count for name in names}
    except Exception as error:
        fix = (
            "Start it, and check REDIS_URL."
            if settings.REDIS_URL
            else "Let this user write to DATA_DIR, on a local disk."
        )
        yield fault(
            "broker",
            f"{kind} does not answer: {error}",
            f"{fix} Until then the sweep notifies workers, if beat runs.",
        )
        return
    many = [f"{number} messages in {name}" for name, number in waiting.items() if number > MANY_MESSAGES]
    if many:
        yield warning(
            "broker",
            f"nobody takes {' and '.join(many)}",
            "Start workers for this queue, and a mailer for `mail`.",
        )
    else:
        yield ok("broker", f"{kind} answers")


def _storage() -> Iterator[Finding]:
    storage, content = storages["uploads"], secrets.token_bytes(64)
    place = (
        f"the bucket {settings.S3_BUCKET}"
        if settings.S3_BUCKET
        else f"the folder {settings.DATA_DIR / 'uploads'}"
    )
    name = storage.save(f"doctor-{secrets.token_hex(8)}", ContentFile(content))
    try:
        with storage.open(name) as file:
            same = file.read() == content
    finally:
        storage.delete(name)
    if same:
        yield ok("storage", f"{place} keeps what is written")
    else:
        yield fault(
            "storage",
            f"{place} returns other bytes than were written",
            "Check what stands between server and storage.",
        )


def _mail() -> Iterator[Finding]:
    if not settings.EMAIL_URL:
        where = settings.DATA_DIR / "mail"
        found = f"none is sent: it is written to {where}"
        yield warning("mail", found, "Set EMAIL_URL.") if settings.PRODUCTION else ok("mail", found)
    else:
        server = f"{settings.EMAIL_HOST} port {settings.EMAIL_PORT}"
        try:
            link = get_connection(settings.MAIL_DELIVERY_BACKEND)
            link.open()
            link.close()
            yield ok("mail", f"{server} accepts the log-in")
        except OSError as error:  # smtplib's errors are such
            yield fault(
                "mail",
                f"{server}: {error}",
                "Check EMAIL_URL (host, port, user, password, TLS) and the firewall.",
            )
    given_up = Mail.objects.failed().count()
    late = Mail.objects.waiting().filter(queued_at__lt=timezone.now() - LONG_WAIT).count()
    if given_up:
        yield warning(
            "mail",
            f"{given_up} could not be sent",
            "See the reasons in the admin under Mails, and send them again there.",
        )
    if late:
        yield warning(
            "mail",
            f"{late} have waited for more than ten minutes",
            "Start a worker for the queue `mail`, and beat.",
        )


def _disk() -> Iterator[Finding]:
    usage = shutil.disk_usage(settings.DATA_DIR)
    said = f"{usage.free / 1e9:.1f} GB free at {settings.DATA_DIR}"
    if usage.free < 4 * settings.MAX_UPLOAD_BYTES:
        yield fault("disk", said, "Make room: uploads arrive there, also when they are kept in S3.")
    elif usage.free < LITTLE_BYTES or usage.free < LITTLE_SHARE * usage.total:
        yield warning("disk", said, "Make room before uploads are refused.")
    else:
        yield ok("disk", said)


def _settings() -> Iterator[Finding]:
    """Django's own checks for deployment."""
    if not settings.PRODUCTION:
        return
    found = [each for each in checks.run_checks(include_deployment_checks=True) if not each.is_silenced()]
    for each in found:
        yield warning("settings", each.msg, each.hint or f"See {each.id} in Django's documentation.")
    if not found:
        yield ok("settings", "Django's checks for deployment find nothing")


STEPS: tuple[tuple[str, Callable[[], Iterator[Finding]], bool], ...] = (
    ("settings", _settings, False),
    ("database", _database, False),
    ("migrations", _migrations, True),
    ("clock", _clock, True),
    ("workers", _workers, True),
    ("broker", _broker, False),
    ("storage", _storage, False),
    ("mail", _mail, True),
    ("disk", _disk, False),
)
