"""Run several programs as one: start them, restart any that die, stop them together.

Each program must call `processes.end_with_supervisor()`, which ends it when the supervisor is killed with -9.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

import structlog

from leaderboard.platform.processes import SUPERVISOR_VARIABLE

logger = structlog.get_logger(__name__)

LOOK_SECONDS = 0.2
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
HEALTHY_SECONDS = 30.0  # after running this long, a program restarts without a longer pause
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Program:
    """A child process in its own session, so that Ctrl-C reaches only the supervisor."""

    name: str
    command: Sequence[str]
    pass_fds: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS

    def start(self) -> None:
        environment = {**os.environ, SUPERVISOR_VARIABLE: str(os.getpid())}
        self.process = subprocess.Popen(
            self.command,
            env=environment,
            pass_fds=self.pass_fds,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.started = time.monotonic()
        logger.info("program_started", program=self.name, pid=self.process.pid)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def look(self) -> None:
        """Start it when due; if it has died, schedule the next start."""
        if self.running():
            return
        now = time.monotonic()
        if self.process is not None:
            healthy = now - self.started >= HEALTHY_SECONDS
            self.pause = FIRST_PAUSE_SECONDS if healthy else min(self.pause * 2, LONGEST_PAUSE_SECONDS)
            self.due = now + self.pause
            logger.error(
                "program_ended", program=self.name, status=self.process.returncode, starts_again_in=self.pause
            )
            self.kill()
            self.process = None
        elif now >= self.due:
            self.start()

    def ask_to_stop(self) -> None:
        if self.running():
            assert self.process
            self.process.terminate()

    def kill(self) -> None:
        """Kill it and the rest of its session (such as the pool of a dead worker)."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Supervisor:
    """Runs `programs` until a stop signal; then they have `grace_seconds` to finish.

    A second signal kills them at once, and so does the end of the parent process `parent`.
    """

    def __init__(
        self, programs: Sequence[Program], grace_seconds: float = 20.0, parent: int | None = None
    ) -> None:
        self.programs = programs
        self.grace_seconds = grace_seconds
        self.parent = parent
        self.signals = 0

    def run(self) -> None:
        before = {number: signal.signal(number, self._count_signal) for number in STOP_SIGNALS}
        try:
            while not self.signals and not self._orphaned():
                for program in self.programs:
                    program.look()
                time.sleep(LOOK_SECONDS)
        finally:
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _orphaned(self) -> bool:
        return self.parent not in (None, os.getppid())

    def _count_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1

    def _stop(self) -> None:
        logger.info("stopping", grace_seconds=self.grace_seconds)
        asked = self.signals
        for program in self.programs:
            program.ask_to_stop()
        end = time.monotonic() + self.grace_seconds
        while any(program.running() for program in self.programs):
            if self.signals > asked or self._orphaned() or time.monotonic() > end:
                logger.warning("killing", programs=[p.name for p in self.programs if p.running()])
                break
            time.sleep(LOOK_SECONDS / 4)
        for program in self.programs:
            program.kill()
        logger.info("stopped")
