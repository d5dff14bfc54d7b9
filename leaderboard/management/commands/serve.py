"""`manage.py serve`: web server, Celery worker and beat under one command, for one host."""

import fcntl
import os
import signal
import socket
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, TextIO

import waitress
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.module_loading import import_string
from waitress.task import WSGITask

from leaderboard.api.early import EarlyChannel, EarlyParser
from leaderboard.platform import arrival, processes
from leaderboard.platform.supervisor import Program, Supervisor

# Without Django's checks, which need every page of the site: `serve` has made them before it starts these.
CELERY = [sys.executable, "-m", "celery", "--quiet", "--skip-checks", "--app", "leaderboard"]
WORKER = [
    *CELERY,
    "worker",
    "--pool",
    "solo",  # no pool: its processes share a lock, and one killed while holding it blocks them all
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
]


class Command(BaseCommand):
    """Run the whole server. Ctrl-C stops all of it; kill -9 also ends its children."""

    help = "Run web server, worker and beat together, and restart any that die. Ctrl-C stops all of them."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--web-on", type=int, metavar="FD", help="internal: only serve pages on this open socket"
        )
        parser.add_argument("--grace", type=float, default=20, help="seconds for running work to finish (20)")
        parser.add_argument(
            "--with-parent", type=int, metavar="PID", help="stop when this parent process ends"
        )

    def handle(
        self, *args: Any, web_on: int | None, grace: float, with_parent: int | None, **options: Any
    ) -> None:
        if web_on is not None:
            return serve_pages(web_on)
        self.check()
        self._refuse_an_old_database()
        with self._locked_data_folder(), self._listening_socket() as listener:
            os.environ["TMPDIR"] = str(
                settings.FILE_UPLOAD_TEMP_DIR
            )  # spool bodies next to their final place
            web = [
                sys.executable,
                str(settings.BASE_DIR / "manage.py"),
                "serve",
                "--web-on",
                str(listener.fileno()),
            ]
            programs = [
                Program("web", web, pass_fds=[listener.fileno()]),
                *(
                    Program(f"worker {number}", [*WORKER, "--hostname", f"worker{number}@%h"])
                    for number in range(1, settings.WORKER_CONCURRENCY + 1)
                ),
                Program("beat", [*CELERY, "beat"]),
            ]
            self.stdout.write(f"The leaderboard is at {settings.SITE_URL}/ (Ctrl-C stops it).")
            self.stdout.flush()
            Supervisor(programs, grace, with_parent).run()

    def _refuse_an_old_database(self) -> None:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        connection.close()
        if missing:
            raise CommandError(
                f"The database lacks {len(missing)} migrations. First run: python manage.py migrate"
            )

    def _locked_data_folder(self) -> TextIO:
        path = Path(settings.DATA_DIR) / "serve.lock"
        lock = path.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"Another server is already running on the data folder {settings.DATA_DIR}. "
                "Stop it, or use another folder: DATA_DIR=/path/to/folder"
            ) from None
        return lock

    def _listening_socket(self) -> socket.socket:
        """The listening socket, held here so that visitors wait, instead of failing, while the web process starts."""
        family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.HOST == "::":  # all addresses of both kinds, whatever the system's default
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listener.bind((settings.HOST, settings.PORT))
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {settings.HOST} port {settings.PORT}: {error.strerror}. "
                f"Stop the program that uses the port, or choose another: PORT={settings.PORT + 1}"
            ) from None
        listener.listen(1024)
        return listener


class ClockedParser(EarlyParser):
    """Notes when the first bytes of a request arrive: waitress passes a request on only after its last byte."""

    def __init__(self, adjustments: Any) -> None:
        super().__init__(adjustments)
        self.began = time.time()


class ClockedTask(WSGITask):
    def get_environment(self) -> dict[str, Any]:
        return {**super().get_environment(), arrival.BEGAN: self.request.began}


class ClockedChannel(EarlyChannel):
    parser_class = ClockedParser
    task_class = ClockedTask


def serve_pages(descriptor: int) -> None:
    """Answer requests on the listening socket `descriptor` until SIGTERM."""
    processes.end_with_supervisor()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    server = waitress.create_server(
        import_string("leaderboard.wsgi.application"),  # loads every page, which the supervisor does not need
        sockets=[socket.socket(fileno=descriptor)],
        threads=settings.WEB_THREADS,
        connection_limit=1000,
        # Twice the limit, so that the page can reject a slightly too large file with a clear error.
        max_request_body_size=2 * settings.MAX_UPLOAD_BYTES,
        clear_untrusted_proxy_headers=False,  # ProxyMiddleware must see them; nothing believes them
        ident="",
    )
    server.channel_class = ClockedChannel
    server.run()
