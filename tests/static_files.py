"""WhiteNoise's list of the static files, made once: a process of the server lists them when it starts, which each test's client does too."""

from typing import Any

from whitenoise.middleware import WhiteNoiseMiddleware

_listed: dict[str, Any] = {}
_list_files = WhiteNoiseMiddleware.add_files_from_finders


def _add_files(middleware: WhiteNoiseMiddleware) -> None:
    if not _listed:
        _list_files(middleware)
        _listed.update(middleware.files)
    middleware.files.update(_listed)


def list_once() -> None:
    """From now on, all clients of this process share one list."""
    WhiteNoiseMiddleware.add_files_from_finders = _add_files
