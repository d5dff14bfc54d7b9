"""`Client` and `AsyncClient`: run the operations over httpx."""

from __future__ import annotations

import io
import platform
import warnings
from asyncio import sleep as sleep_async
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, MutableMapping
from functools import wraps
from pathlib import Path
from time import sleep
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload
from urllib.parse import urlsplit

from evaluation import __version__

from . import credentials, operations
from .errors import ConnectionBroken, NotInstalled
from .exchange import Answer, Pause, Progress, Request, Slice, Steps

httpx: Any
try:
    import httpx
except ImportError:  # who only checks and scores needs no network
    httpx = None

P = ParamSpec("P")
T = TypeVar("T")
Operation = Callable[Concatenate[operations.Session, P], Steps[T]]
BLOCK = 256 * 1024
MINIMUM = "l4s-client-minimum"  # the oldest version that the server supports


class ClientTooOld(UserWarning):
    """The server supports newer clients only."""


class _Connection:
    """What both clients know: where the server is, who we are, and what was said about our age."""

    def __init__(
        self,
        server: str | None = None,
        token: str | None = None,
        *,
        uploads: MutableMapping[str, str] | None = None,
        warn: Callable[[str], None] | None = None,
        on_retry: Callable[[str], None] = lambda text: None,
        **options: Any,
    ) -> None:
        """`server` and `token`: by default L4S_SERVER and L4S_TOKEN, else what `l4s login` kept; an empty token: none.

        `uploads` keeps the addresses of begun uploads; give one that outlives the process to resume them.
        `warn` is called once, where the server supports newer clients only; `on_retry` with the reason before each pause
        after which a request is sent again. Other options are httpx's.
        """
        need_httpx()
        self.server = credentials.server(server)
        token = credentials.token(self.server) if token is None else token
        self._session = operations.Session({} if uploads is None else uploads)
        self._warn = warn or (lambda text: warnings.warn(text, ClientTooOld, stacklevel=4))
        self._on_retry = on_retry
        self._old = False
        headers = {"User-Agent": user_agent(), "Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        options.setdefault("timeout", httpx.Timeout(60, write=600))
        self._options = {**options, "headers": headers}

    def _announced(self, pause: Pause) -> float:
        """The seconds to sleep; says why, where something failed."""
        if pause.failure is not None:
            self._on_retry(f"{pause.failure}\nTrying again in {pause.seconds:.0f} s.")
        return pause.seconds

    def _sent(self, request: Request, file: Any) -> dict[str, Any]:
        """The request as httpx takes it."""
        more: dict[str, Any] = {}
        if request.form is not None:
            parts: list[Any] = [(name, (None, text)) for name, text in request.form.items()]
            if request.archive is not None:
                parts.append(("archive", (request.archive.name, file, "application/zip")))
            more["files"] = parts
        if request.slice is not None:
            more["content"] = _read(request.slice)
        return {
            "method": request.method,
            "url": self._address(request.path),
            "params": dict(request.params) or None,
            "headers": dict(request.headers),
            "json": request.json,
            **more,
        }

    def _address(self, path: str) -> str:
        """Never on another server: the token goes along. Of an address the server gives, path and query count."""
        parts = urlsplit(path)
        if parts.scheme:
            base = urlsplit(self.server)
            return f"{base.scheme}://{base.netloc}{parts.path}{'?' + parts.query if parts.query else ''}"
        return f"{self.server}{path}" if path.startswith("/") else f"{self.server}/api/v1/{path}"

    def _answer(self, response: Any, content: bytes) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        self._look_at(headers.get(MINIMUM, ""))
        return Answer(response.status_code, headers, content, str(response.url))

    def _look_at(self, minimum: str) -> None:
        if not self._old and minimum and _numbers(minimum) > _numbers(__version__):
            self._old = True
            self._warn(
                f"{self.server} supports l4s from version {minimum} on; this is {__version__}. "
                "Update it: pip install --upgrade 'landslide4sense[client]'"
            )

    def _broken(self, error: Exception) -> ConnectionBroken:
        host = urlsplit(self.server).netloc
        return ConnectionBroken(f"{host} cannot be reached ({type(error).__name__}: {error}).")


class _Method(Generic[P, T]):
    """An operation as a method: it blocks in `Client` and is a coroutine in `AsyncClient`."""

    def __init__(self, operation: Operation[P, T]) -> None:
        self.operation = operation
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, client: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: Any) -> Any:
        if client is None:
            return self

        @wraps(self.operation)
        def method(*arguments: P.args, **named: P.kwargs) -> Any:
            return client._run(self.operation(client._session, *arguments, **named))

        return method


class _Operations(_Connection):
    """What both clients do, each in its own way."""

    phases = _Method(operations.phases)
    phase = _Method(operations.phase)
    submit = _Method(operations.submit)
    wait = _Method(operations.wait)
    submissions = _Method(operations.submissions)
    show = _Method(operations.show)
    withdraw = _Method(operations.withdraw)
    select = _Method(operations.select)
    download = _Method(operations.download)
    receipt = _Method(operations.receipt)
    receipt_key = _Method(operations.receipt_key)
    verify = _Method(operations.verify)
    board = _Method(operations.board)
    board_if_changed = _Method(operations.board_if_changed)
    board_csv_if_changed = _Method(operations.board_csv_if_changed)
    teams = _Method(operations.teams)
    check_token = _Method(operations.check_token)


class Client(_Operations):
    """A leaderboard, as a script uses it. Answers are the API's own JSON; `l4s.errors` has what is raised.

    with Client("https://leaderboard.example") as client:
        made = client.submit("masks.zip", phase="validation", method="U-Net")
        print(client.wait(made)["f1"])
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http = httpx.Client(**self._options)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._do(step)
                except httpx.RequestError as error:
                    step = steps.throw(self._broken(error))
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return end.value

    def _do(self, step: Request | Pause) -> Answer | None:
        if isinstance(step, Pause):
            sleep(self._announced(step))
            return None
        with _opened(step) as file, self._http.stream(**self._sent(step, file)) as response:
            if step.save_to is None or response.status_code >= 300:
                return self._answer(response, response.read())
            _save(response.iter_bytes(BLOCK), step, _length(response))
            return self._answer(response, b"")


class AsyncClient(_Operations):
    """`Client` with coroutines."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http = httpx.AsyncClient(**self._options)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._do(step)
                except httpx.RequestError as error:
                    step = steps.throw(self._broken(error))
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return end.value

    async def _do(self, step: Request | Pause) -> Answer | None:
        if isinstance(step, Pause):
            await sleep_async(self._announced(step))
            return None
        with _opened(step) as file:
            async with self._http.stream(**self._sent(step, file)) as response:
                if step.save_to is None or response.status_code >= 300:
                    return self._answer(response, await response.aread())
                await _save_async(response.aiter_bytes(BLOCK), step, _length(response))
                return self._answer(response, b"")


class _Reader(io.FileIO):
    """An archive that tells how much of it was read."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        super().__init__(path, "rb")
        self._size, self._progress = path.stat().st_size, progress

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if self._progress:
            self._progress(self.tell(), self._size)
        return content


def _opened(request: Request) -> Any:
    """The request's archive as a context; an empty one without."""
    return _Reader(request.archive, request.progress) if request.archive is not None else io.BytesIO()


def _read(part: Slice) -> bytes:
    with part.path.open("rb") as file:
        file.seek(part.start)
        return file.read(part.length)


def _length(response: Any) -> int:
    text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0


def _save(blocks: Iterator[bytes], request: Request, size: int) -> None:
    assert request.save_to is not None
    with request.save_to.open("wb") as file:
        for block in blocks:
            file.write(block)
            if request.progress:
                request.progress(file.tell(), max(size, file.tell()))


async def _save_async(blocks: AsyncIterator[bytes], request: Request, size: int) -> None:
    assert request.save_to is not None
    with request.save_to.open("wb") as file:
        async for block in blocks:
            file.write(block)
            if request.progress:
                request.progress(file.tell(), max(size, file.tell()))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def user_agent() -> str:
    """How logs of servers know this client."""
    return f"l4s/{__version__} python/{platform.python_version()}"


def need_httpx() -> None:
    """Raises NotInstalled where the client's packages are missing."""
    if httpx is None:
        raise NotInstalled(
            "Talking to a server needs the package httpx: run `pip install 'landslide4sense[client]'`."
        )
