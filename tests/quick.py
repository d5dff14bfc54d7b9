"""What every process that tests with clients of its own sets first, so that a log-in and a new client cost little."""

from typing import Any

from django.conf import settings
from whitenoise.middleware import WhiteNoiseMiddleware

_listed: dict[str, Any] = {}
_list_files = WhiteNoiseMiddleware.add_files_from_finders


def _add_files(middleware: WhiteNoiseMiddleware) -> None:
    if not _listed:
        _list_files(middleware)
        _listed.update(middleware.files)
    middleware.files.update(_listed)


def prepare() -> None:
    """Passwords are hashed by MD5 (a real hash takes 0.4 s), and all clients share one list of the static files."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    WhiteNoiseMiddleware.add_files_from_finders = _add_files
