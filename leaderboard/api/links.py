"""`Link` headers (RFC 8288) beside the addresses in the body of a page."""

from typing import Any


def with_links(response: Any, **links: str | None) -> Any:
    """Add a ``Link`` of each relation (first, prev, next, last) that there is."""
    found = [f'<{address}>; rel="{relation}"' for relation, address in links.items() if address]
    response["Link"] = ", ".join(found)
    return response
