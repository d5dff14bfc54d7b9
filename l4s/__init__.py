"""A client of the leaderboard for scripts: `Client`, `AsyncClient`, and the command `l4s`.

It stands on `evaluation` alone; talking to a server needs httpx (`pip install 'landslide4sense[client]'`).
"""

from .client import AsyncClient, Client, ClientTooOld
from .errors import L4SError

__all__ = ["AsyncClient", "Client", "ClientTooOld", "L4SError"]
