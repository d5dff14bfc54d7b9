"""Make an API token for a person; it is printed once and never again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from leaderboard.actions.accounts import create_token
from leaderboard.actions.refusals import Refusal
from leaderboard.models import User
from leaderboard.models.text import day


class Command(BaseCommand):
    help = "Make a named API token for a person and print it: it is stored as a digest only, so it is shown once."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("user", metavar="USER", help="user name or e-mail address")
        parser.add_argument("name", metavar="NAME", help="what it is for, e.g. laptop")

    def handle(self, *, user: str, name: str, **_: Any) -> None:
        owner = User.objects.filter(Q(username=user) | Q(email__iexact=user)).first()
        if owner is None:
            raise CommandError(f"There is no user {user}. Give a user name or an e-mail address.")
        if not owner.is_active:
            raise CommandError(f"The account of {owner} is not active, so a token of it would be refused.")
        try:
            token, text = create_token(owner, name)
        except Refusal as refusal:
            raise CommandError(refusal.message) from refusal
        until = f"until {day(token.expiry)}" if token.expiry else "without end"
        self.stderr.write(f"Token {token.name} of {owner}, valid {until}. It is not shown again:")
        self.stdout.write(text)
