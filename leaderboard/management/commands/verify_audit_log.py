"""Check the hash chain of the audit log."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.models import AuditEntry


class Command(BaseCommand):
    help = (
        "Check that no entry of the audit log was changed, removed or inserted later. A log truncated at its end still "
        "passes: keep its last digest elsewhere and give it with --contains."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--contains", metavar="DIGEST", help="a digest that was once the last one")

    def handle(self, *, contains: str | None, **_: Any) -> None:
        broken = AuditEntry.objects.first_broken()
        if broken:
            raise CommandError(
                f"The chain is broken at entry {broken.pk} ({broken}): it, or the entry before it, was "
                "changed or removed outside this program."
            )
        if contains and not AuditEntry.objects.filter(digest=contains.lower()).exists():
            raise CommandError(f"No entry has the digest {contains}: the log was truncated or rewritten.")
        last = AuditEntry.objects.order_by("-pk").first()
        number = AuditEntry.objects.count()
        end = f"; the last is entry {last.pk}, digest {last.digest}" if last else ""
        self.stdout.write(self.style.SUCCESS(f"The chain of {number} entries is intact{end}."))
