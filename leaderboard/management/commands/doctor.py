"""Examine a deployment: the site's own address and what the server stands on."""

from itertools import chain
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from leaderboard.management.doctor import address, inside
from leaderboard.management.doctor.findings import Level


class Command(BaseCommand):
    help = (
        "Fetch the site's own address (DNS, TLS, redirects, proxy, style sheets) and examine database, migrations, workers, "
        "broker, storage, mail, clock and disk. Says what is wrong and what to do; exit status 1 if something is."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--url", default=settings.SITE_URL, help="another address than SITE_URL")
        parser.add_argument("--ca", metavar="FILE", help="certificate of a private authority to trust")

    def handle(self, *, url: str, ca: str | None, **_: Any) -> None:
        faults = 0
        for finding in chain(inside.examine(), address.examine(url.rstrip("/"), ca)):
            faults += finding.level == Level.FAULT
            self.stdout.write(f"{finding.level:<8} {finding.subject}: {finding.found}")
            if finding.fix:
                self.stdout.write(f"         -> {finding.fix}")
            self.stdout.flush()
        self.stdout.write(f"{faults} faults." if faults != 1 else "1 fault.")
        if faults:
            raise SystemExit(1)
