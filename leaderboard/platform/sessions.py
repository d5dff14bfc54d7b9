"""Database sessions that look up only well-formed keys."""

from typing import Any

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """A cookie may contain anything, even NUL, for which PostgreSQL raises an error."""

    def _validate_session_key(self, key: Any) -> bool:
        return bool(super()._validate_session_key(key)) and key.isascii() and key.isalnum()  # type: ignore[misc]

    @classmethod
    def get_model_class(cls) -> Any:
        return db.SessionStore.get_model_class()
