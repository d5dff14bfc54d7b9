"""Sign-ins: what is kept of them, the mail about a new device or network, and the end of sessions."""

import ipaddress
from datetime import datetime, timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from django.db import IntegrityError, transaction

from leaderboard.models import SignIn
from leaderboard.models.text import moment
from leaderboard.notifications.accounts import tell

KEPT = timedelta(days=180)
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
SYSTEMS = (
    *(("Windows", "Windows"), ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad")),
    *(("Mac OS", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux")),
)


def device_of(user_agent: str) -> str:
    """A browser's User-Agent in words without versions, so that an update is not a new device: Firefox on Linux."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return " on ".join(filter(None, (browser or "unknown browser", system)))


def network_of(address: str | None) -> str:
    """The network of an address, because many people's last digits change from day to day; "" where it is not known."""
    if not address:
        return ""
    version = ipaddress.ip_address(address).version
    return str(ipaddress.ip_network(f"{address}/{24 if version == 4 else 48}", strict=False))


def note_sign_in(user: Any, address: str | None, user_agent: str, now: datetime) -> bool:
    """Keep the sign-in for KEPT; tell the person by mail if device or network is new. Returns whether it was.

    The first one that is kept of a person is not announced.
    """
    device, network = device_of(user_agent), network_of(address)
    SignIn.objects.filter(last_at__lt=now - KEPT).delete()
    known = list(user.sign_ins.values_list("device", "network"))
    if (device, network) in known:
        user.sign_ins.filter(device=device, network=network).update(last_at=now)
        return False
    try:
        with transaction.atomic():
            SignIn.objects.create(user=user, device=device, network=network, first_at=now, last_at=now)
    except IntegrityError:  # two sign-ins at the same moment: one of them is enough to tell
        return False
    devices, networks = {each for each, _ in known}, {each for _, each in known}
    if not known or (device in devices and network in networks):
        return False
    tell(
        user,
        "New sign-in to your account",
        f"Somebody signed in to your account {user} on {moment(now)}, with {device}, from the address "
        f"{address or 'unknown'}. We had not seen this {'device' if device not in devices else 'network'} before.",
    )
    return True


def end_sessions(user: Any, *, number: int | None = None, keep: str | None = None) -> int:
    """End the person's session with this number, or all of them; never the one with the key ``keep``. Returns how many."""
    sessions = UserSession.objects.filter(user=user).exclude(session_key=keep or "")
    sessions = sessions if number is None else sessions.filter(pk=number)
    ended = list(sessions)
    for session in ended:
        session.end()
    return len(ended)
