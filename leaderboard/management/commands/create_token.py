"""Create an API token for a person; it is printed only once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from leaderboard.actions.accounts import create_token
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Competition, Scope, User
from leaderboard.models.text import day


class Command(BaseCommand):
    help = "Create a named API token for a person and print it. Only its digest is stored, so it is shown only once."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("user", metavar="USER", help="user name or email address")
        parser.add_argument("name", metavar="NAME", help="where it is used, e.g. laptop")

        parser.add_argument(
            "--scope",
            nargs="+",
            choices=Scope.values,
            default=[Scope.SUBMIT],
            help="what it may be used for (default: submit)",
        )
        parser.add_argument("--competition", metavar="SLUG", help="the only competition in which it works")
        parser.add_argument("--days", type=int, help="until it expires (default: API_TOKEN_DAYS)")
        parser.add_argument("--note", default="", help="shown beside it in the list of tokens")

    def handle(
        self,
        *,
        user: str,
        name: str,
        scope: list[str],
        competition: str | None,
        days: int | None,
        note: str,
        **_: Any,
    ) -> None:
        owner = User.objects.filter(Q(username=user) | Q(email__iexact=user)).first()
        if owner is None:
            raise CommandError(f"User {user} does not exist. Give a user name or an email address.")
        if not owner.is_active:
            raise CommandError(f"The account of {owner} is not active, so its tokens would be rejected.")
        found = Competition.objects.filter(slug=competition).first()
        if competition and found is None:
            raise CommandError(f"Competition {competition} does not exist. Give its slug.")
        try:
            token, text = create_token(owner, name, scope, competition=found, days=days, note=note)
        except Refusal as refusal:
            raise CommandError(refusal.message) from refusal
        until = f"until {day(token.expiry)}" if token.expiry else "indefinitely"
        self.stderr.write(
            f"Token {token.name} of {owner} ({', '.join(token.scopes)}), valid {until}. It will not be shown again:"
        )
        self.stdout.write(text)
