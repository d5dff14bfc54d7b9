"""Which server, and with which token: the environment wins, then what `l4s login` kept.

Tokens lie in the system's keyring where the package keyring finds one, else in a file that only its owner may read.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import WrongUse

keyring: Any = None
KeyringError: Any = OSError
try:
    import keyring as installed_keyring
    from keyring import errors as keyring_errors
except ImportError:  # an extra
    pass
else:
    keyring, KeyringError = installed_keyring, keyring_errors.KeyringError

SERVICE = "l4s"
MOST_UPLOADS = 100


def folder() -> Path:
    """Where settings lie: XDG_CONFIG_HOME/l4s, else ~/.config/l4s."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "l4s"


def server(given: str | None = None) -> str:
    """The server's address without a slash at its end: as given, L4S_SERVER, or the one logged in to last."""
    address = given or os.environ.get("L4S_SERVER") or _settings().get("server")
    if not address:
        raise WrongUse("Which server? Give --server URL, set L4S_SERVER, or run `l4s login --server URL`.")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise WrongUse(f"The server's address {address!r} must begin with http:// or https://.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/api/v1')}"


def token(address: str) -> str | None:
    """The token for a server: L4S_TOKEN, or the one that was kept; None: none."""
    if found := os.environ.get("L4S_TOKEN"):
        return found.strip()
    if keyring is not None:
        try:
            if found := keyring.get_password(SERVICE, address):
                return str(found)
        except KeyringError:  # no keyring in this session, such as on a cluster's node
            pass
    return _settings().get("tokens", {}).get(address)


def keep(address: str, secret: str) -> str:
    """Keep a token, and the server as the one to talk to from now on; returns where, in words."""
    settings = _settings()
    settings["server"] = address
    tokens = settings.setdefault("tokens", {})
    tokens.pop(address, None)
    where = "the keyring"
    if not _in_keyring(address, secret):
        tokens[address] = secret
        where = str(_path())
    _write(_path(), settings)
    return where


def forget(address: str) -> None:
    """Forget the token of a server."""
    if keyring is not None:
        try:
            keyring.delete_password(SERVICE, address)
        except KeyringError:  # none there
            pass
    settings = _settings()
    settings.get("tokens", {}).pop(address, None)
    _write(_path(), settings)


def _in_keyring(address: str, secret: str) -> bool:
    if keyring is None:
        return False
    try:
        keyring.set_password(SERVICE, address, secret)
    except KeyringError:
        return False
    return True


def _path() -> Path:
    return folder() / "credentials.json"


def _settings() -> dict[str, Any]:
    found = _json(_path())
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise WrongUse(f"{path} is damaged ({error}). Delete it and log in again.") from error


def _write(path: Path, content: Any) -> None:
    """Whole or not at all, and never readable by others: temporary files have mode 600."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=1)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


class Uploads(MutableMapping[str, str]):
    """The addresses of the last uploads, in a file.

    An upload that was interrupted goes on at the next call, and one that is done is not sent again.
    """

    def __init__(self) -> None:
        self.path = folder() / "uploads.json"

    def _all(self) -> dict[str, str]:
        found = _json(self.path)
        return found if isinstance(found, dict) else {}

    def __getitem__(self, key: str) -> str:
        return self._all()[key]

    def __setitem__(self, key: str, address: str) -> None:
        others = {name: kept for name, kept in self._all().items() if name != key}
        _write(self.path, dict([*others.items(), (key, address)][-MOST_UPLOADS:]))

    def __delitem__(self, key: str) -> None:
        kept = self._all()
        del kept[key]
        _write(self.path, kept)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())
