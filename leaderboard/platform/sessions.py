"""Sessions in the database, asked only for keys that it could have made itself."""

from typing import Any

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """A cookie may hold anything, also NUL, which PostgreSQL refuses with an error."""

    def _validate_session_key(self, key: Any) -> bool:
        return bool(super()._validate_session_key(key)) and key.isascii() and key.isalnum()  # type: ignore[misc]

    @classmethod
    def get_model_class(cls) -> Any:
        return db.SessionStore.get_model_class()
