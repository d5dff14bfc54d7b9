"""After thousands of new rows at once: what the database's planner should know of them."""

from django.db import connection


def tell_planner() -> None:
    """PostgreSQL plans by counts that it takes some minutes to renew by itself; until then a board took seconds."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
