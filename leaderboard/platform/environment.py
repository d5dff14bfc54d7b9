"""Typed environment variables: errors name the variable and the fix."""

import os
import re
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

DATABASE_EXAMPLE = "postgres://user:password@host:5432/leaderboard"
HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def refuse(name: str, problem: str, fix: str) -> ImproperlyConfigured:
    """The error for the environment variable `name`: the problem, and what to write instead."""
    return ImproperlyConfigured(f"Environment variable {name} {problem}. {fix}")


def text(name: str, default: str = "") -> str:
    """The variable without surrounding whitespace, or the content of the file that NAME_FILE names; empty counts as not set."""
    value, path = (os.environ.get(key, "").strip() for key in (name, f"{name}_FILE"))
    if value and path:
        raise refuse(name, f"is set, and so is {name}_FILE", "Keep one of them.")
    if path:
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise refuse(
                f"{name}_FILE", f"names a file that cannot be read ({error})", "Correct its path."
            ) from error
    return value or default


def words(name: str, default: list[str] | None = None) -> list[str]:
    """A comma-separated list."""
    found = [word.strip() for word in text(name).split(",") if word.strip()]
    return found or list(default or [])


def flag(name: str, default: bool = False) -> bool:
    """A yes/no value."""
    value = text(name).lower()
    if not value:
        return default
    if value not in YES + NO:
        raise refuse(name, f"is {value!r}, not yes or no", f"Write one of {', '.join(YES + NO)}.")
    return value in YES


def number(name: str, default: int, least: int = 0, most: int = 2**31) -> int:
    """A whole number from `least` to `most`."""
    value = text(name) or str(default)
    if not re.fullmatch(r"-?[0-9]+", value):
        raise refuse(name, f"is {value!r}, not a whole number", f"Write digits only, such as {default}.")
    if not least <= int(value) <= most:
        raise refuse(name, f"is {value}", f"Write a number from {least} to {most}.")
    return int(value)


def seconds(name: str, default: float, least: float = 0.1) -> float:
    """A duration in seconds, at least `least`."""
    value = text(name) or str(default)
    try:
        found = float(value)
    except ValueError:
        raise refuse(name, f"is {value!r}, not a number of seconds", f"For example: {default}.") from None
    if not least <= found < float("inf"):
        raise refuse(name, f"is {value}", f"Write at least {least} seconds.")
    return found


def folder(name: str, default: Path) -> Path:
    """An absolute path of a folder, created if missing and then readable only by its owner."""
    path = Path(text(name) or default).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise refuse(
            name,
            f"is {path}, which cannot be created ({error.strerror})",
            "Use a folder that this user can write to.",
        ) from error
    return path


def url(name: str, schemes: tuple[str, ...], default: str = "", example: str = "") -> str:
    """A valid URL with one of `schemes`."""
    value = text(name) or default
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  raises if the port is not a number
    except ValueError as error:
        raise refuse(name, f"is not a URL ({error})", f"For example: {example or default}.") from None
    if parts.scheme not in schemes:
        accepted = " or ".join(f"{scheme}://" for scheme in schemes)
        raise refuse(name, f"does not start with {accepted}", f"For example: {example or default}.")
    return value


def site(name: str, default: str) -> str:
    """The site's address as browsers write it in `Origin`: lower case, ASCII, no usual port, no slash at the end."""
    parts = urlsplit(url(name, ("http", "https"), default))
    example = "Write scheme, host and, where it is unusual, port: https://leaderboard.example.org"
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise refuse(
            name,
            "has more than scheme, host and port, but the leaderboard needs a host name of its own",
            example,
        )
    host = _host(name, parts.hostname or "", example)
    if parts.port == 0:
        raise refuse(name, "names port 0", example)
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")


def _host(variable: str, name: str, example: str) -> str:
    """A host name in its ASCII form, or an address, IPv6 in brackets."""
    if re.fullmatch(r"[0-9a-f:.]*:[0-9a-f:.]*|[0-9.]+", name):
        try:
            address = ip_address(name)
        except ValueError:
            raise refuse(variable, f"names the address {name}, which does not exist", example) from None
        return f"[{address.compressed}]" if address.version == 6 else str(address)
    name = name.rstrip(".")
    try:
        ascii_name = name.encode("idna").decode().lower()
        same = ascii_name == name or ascii_name.encode().decode("idna") == name
    except UnicodeError:
        ascii_name, same = "", True
    if not HOST_NAME.fullmatch(ascii_name):
        raise refuse(variable, f"has {name!r} where a host name belongs", example)
    if not same:  # browsers may look it up under another name
        raise refuse(
            variable, f"has the host name {name!r}, which is ambiguous", "Write its ASCII form: https://xn--…"
        )
    return ascii_name


def database(name: str, value: str, password: str = "") -> dict[str, Any]:
    """Django's settings for the database URL `value` (postgres:// or sqlite://) of variable `name`.

    password: where the URL has none.
    """
    parts = urlsplit(value)
    path = unquote(parts.path)
    if parts.scheme == "sqlite":
        if parts.netloc or not path.startswith("/"):
            raise refuse(
                name, "has no file path", "Use three slashes and an absolute path: sqlite:///srv/db.sqlite3."
            )
        return _sqlite(Path(path))
    if not path.strip("/"):
        raise refuse(name, "has no database name", f"For example: {DATABASE_EXAMPLE}.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or "") or password,
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": dict(parse_qsl(parts.query)),
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }


def _sqlite(path: Path) -> dict[str, Any]:
    # Measured: with IMMEDIATE and 20 s, 32 writers never hit "database is locked"; Django's defaults fail with 4.
    # NORMAL may lose the last commits on a power cut, but not when a process is killed.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;"
            "PRAGMA mmap_size=268435456; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=67108864",
        },
        "TEST": {
            "NAME": path.with_name(f"test_{path.name}")
        },  # a file, shared by threads and worker processes
    }


def refuse_other_brokers() -> None:
    """Celery would read these variables by itself, with the options of another transport."""
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        if text(name):
            raise refuse(
                name,
                "is set, but REDIS_URL alone chooses the broker",
                "Unset it: without REDIS_URL, workers of this host are notified through DATA_DIR.",
            )


def smtp(name: str, value: str) -> dict[str, Any]:
    """Django's mail settings for smtp://user:password@host:587 (STARTTLS) or smtps://…:465 (TLS from the start)."""
    parts = urlsplit(value)
    if not parts.hostname:
        raise refuse(name, "has no host name", "For example: smtp://user:password@mail.example.org:587.")
    encrypted = parts.scheme == "smtps"
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if encrypted else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": encrypted,
        "EMAIL_USE_TLS": not encrypted and dict(parse_qsl(parts.query)).get("tls", "yes") in YES,
        "EMAIL_TIMEOUT": 10,
    }


def secret(name: str, keep_in: Path, required: bool, least: int = 50) -> str:
    """A secret: from the variable or, if not required, generated once and stored in the file `keep_in`.

    Only the owner can read the file. Processes that start at the same time agree on one key.
    """
    fix = "Generate one with: python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    value = text(name)
    if value and len(value) < least:
        raise refuse(name, f"has {len(value)} characters, too few for a secret", fix)
    if value:
        return value
    if required:
        raise refuse(name, "is not set, and this server runs in production", fix)
    return _kept_secret(keep_in)


def _kept_secret(path: Path) -> str:
    # Imported by settings, so Django helpers that need settings cannot be used here.
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # readable only by its owner
        with os.fdopen(descriptor, "w") as file:
            file.write(os.urandom(40).hex())
        try:
            os.link(draft, path)  # atomic: fails if another process was first
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
    return path.read_text().strip()
