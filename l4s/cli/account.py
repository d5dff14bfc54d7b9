"""login, logout, phases, team."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from typing import Any
from urllib.parse import urlsplit

from evaluation.cli.tables import table
from l4s import Client, credentials
from l4s.errors import WrongUse

from .output import connect, remark, show

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def add_commands(commands: Any) -> None:
    login = commands.add_parser("login", help="keep a token, which you make on the site under your account")
    login.set_defaults(run=run_login)
    commands.add_parser("logout", help="forget the token").set_defaults(run=run_logout)
    phases = commands.add_parser("phases", help="all phases: windows, quotas, what an archive holds")
    phases.set_defaults(run=run_phases)
    team = commands.add_parser("team", help="your team: members, what is left of the quotas")
    team.set_defaults(run=run_team)


def run_login(arguments: argparse.Namespace) -> int:
    """The token is read from a prompt that does not show it, or from stdin; never from the command line."""
    address = credentials.server(arguments.server)
    if address.startswith("http://") and urlsplit(address).hostname not in LOOPBACK:
        remark(arguments, f"Careful: {address} is not encrypted, so others may read your token.")
    secret = (getpass.getpass(f"Token for {address}: ") if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not secret:
        raise WrongUse("No token was given. Make one on the site under your account, and paste it here.")
    with Client(address, secret) as client:
        client.check_token()
    where = credentials.keep(address, secret)
    if os.environ.get("L4S_TOKEN"):
        remark(arguments, "L4S_TOKEN is set: it wins over the token that was kept now.")
    show(
        arguments, {"server": address, "kept_in": where}, f"Logged in to {address}; the token is in {where}."
    )
    return 0


def run_logout(arguments: argparse.Namespace) -> int:
    address = credentials.server(arguments.server)
    credentials.forget(address)
    show(arguments, {"server": address}, f"The token for {address} is forgotten here. Revoke it on the site.")
    return 0


def run_phases(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = client.phases()
    header = ["id", "phase", "open", "from", "until", "masks", "per day", "in all"]
    rows = [
        [
            each["id"],
            f"{each['competition']}/{each['slug']}",
            "yes" if each["is_open"] else "no",
            day(each["opens_at"]),
            day(each["closes_at"]),
            f"{each['patches']} of {each['patch_height']}x{each['patch_width']}" if each["patches"] else "–",
            limit(each["quotas"]["per_day"]),
            limit(each["quotas"]["total"]),
        ]
        for each in found
    ]
    show(arguments, found, table(header, rows) or "There is no phase.")
    return 0


def run_team(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = client.teams()
    lines: list[str] = []
    for team in found:
        members = ", ".join(f"{member['username']} ({member['role']})" for member in team["members"])
        lines += [f"{team['name']} in {team['competition']}: {members}"]
        lines += [f"  {line}" for line in table(["phase", "used", "today", "left", "now"], _usage(team))]
    show(arguments, found, lines or "You are in no team. Create or join one on the site.")
    return 0


def _usage(team: dict[str, Any]) -> list[list[Any]]:
    return [
        [
            each["name"],
            used(each["total"], each["total_limit"]),
            used(each["today"], each["day_limit"]),
            limit(each["remaining"]),
            "may submit" if each["may_submit"] else each["refusal"],
        ]
        for each in team["quotas"]
    ]


def day(moment: str | None) -> str:
    """A time of the API to the minute, in UTC."""
    return moment[:16].replace("T", " ") if moment else "–"


def used(number: int, of: int | None) -> str:
    return str(number) if of is None else f"{number} of {of}"


def limit(number: int | None) -> str:
    return "no limit" if number is None else str(number)
