"""Both clients against a server that is a function, and the pauses that they take."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from l4s import AsyncClient, Client

SERVER = "http://leaderboard.example"
PHASES = [
    {"id": 4, "competition": "l4s", "slug": "validation", "name": "Validation", "is_open": True},
    {"id": 5, "competition": "l4s", "slug": "test", "name": "Test", "is_open": False},
]


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread of its own: a browser test before it may have left an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


class Scripted:
    """Gives the answers in turn and keeps the requests. An exception as an answer is a broken connection."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.requests = list(answers), []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Both:
    """The sync or the async client, called alike: `call("submit", ...)`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def connect(self, handle: Callable[[httpx.Request], httpx.Response], **options: Any) -> "Both":
        options = {"token": "secret", **options}
        if self.kind == "sync":
            self.client: Any = Client(SERVER, transport=httpx.MockTransport(handle), **options)
        else:

            async def answer(request: httpx.Request) -> httpx.Response:
                await request.aread()
                return handle(request)

            self.client = AsyncClient(SERVER, transport=httpx.MockTransport(answer), **options)
        return self

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        result = getattr(self.client, name)(*arguments, **named)
        if not inspect.isawaitable(result):
            return result

        async def finish() -> Any:
            return await result

        return run(finish())
