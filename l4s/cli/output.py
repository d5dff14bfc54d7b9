"""What the commands print: one JSON value with `--json`, else text; progress and remarks go to stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from l4s import Client
from l4s.credentials import Uploads
from l4s.exchange import Progress

tqdm: Any = None
try:
    from tqdm import tqdm as installed_tqdm
except ImportError:  # part of the extra `client`; without it there is no bar
    pass
else:
    tqdm = installed_tqdm


def connect(arguments: argparse.Namespace) -> Client:
    """A client of the server that the arguments, the environment or the last log-in name."""
    return Client(
        arguments.server,
        uploads=Uploads(),
        warn=lambda text: print(text, file=sys.stderr),
        on_retry=lambda text: remark(arguments, text),
    )


def show(arguments: argparse.Namespace, content: Any, text: str | Iterable[str]) -> None:
    """The command's result on stdout."""
    if arguments.json:
        print(json.dumps(content, ensure_ascii=False))
    else:
        print(text if isinstance(text, str) else "\n".join(text))


def remark(arguments: argparse.Namespace, text: str) -> None:
    """Something beside the result, unless it was asked to be quiet."""
    if not arguments.quiet:
        print(text, file=sys.stderr)


@contextmanager
def progress_bar(arguments: argparse.Namespace, title: str) -> Iterator[Progress | None]:
    """A bar of the bytes sent, where a person looks at stderr."""
    if tqdm is None or arguments.quiet or not sys.stderr.isatty():
        yield None
        return
    with tqdm(desc=title, unit="B", unit_scale=True, unit_divisor=1024, leave=False) as bar:
        yield _moving(bar)


def _moving(bar: Any) -> Callable[[int, int], None]:
    def move(done: int, total: int) -> None:
        bar.update(done - bar.n)
        if bar.total != total:
            bar.total = total
            bar.refresh()

    return move
