"""Hosts of one machine: network namespaces with addresses of their own, joined by a switch. Needs root on Linux.

Each host has an address, a folder and its processes; a host can be cut off from the others and brought back.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PREFIX, NETWORK = "l4s-", "10.83.0."


@dataclass
class Host:
    """A network namespace with one address, and what runs there."""

    name: str
    address: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def space(self) -> str:
        return PREFIX + self.name

    def command(self, words: Sequence[str | Path]) -> list[str]:
        """The command as it runs on this host."""
        return ["ip", "netns", "exec", self.space, *map(str, words)]

    def start(
        self,
        words: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process here that ends with this program. user: whom it runs as."""
        as_user = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"] if user else []
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self.command([*as_user, *words]),
                env=dict(environment) if environment is not None else None,
                cwd=cwd or self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self.processes.append(process)
        return process

    def stop(
        self, process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM, seconds: int = 60
    ) -> None:
        """End one of its processes and what it started; with SIGKILL, at once."""
        self.processes.remove(process)
        if how == signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        process.wait(seconds)

    def cut(self) -> None:
        """Unplug the cable: nothing arrives and nothing leaves, and nobody is told."""
        _ip("link", "set", f"{PREFIX}{self.name[:10]}", "down", space=PREFIX + "switch")

    def reconnect(self) -> None:
        _ip("link", "set", f"{PREFIX}{self.name[:10]}", "up", space=PREFIX + "switch")

    def end(self) -> None:
        for process in list(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)  # PR_SET_PDEATHSIG


def _ip(*words: str, space: str = "") -> None:
    where = ["-n", space] if space else []
    subprocess.run(["ip", *where, *words], check=True, capture_output=True)


def possible() -> str:
    """Why hosts cannot be made here; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        _ip("netns", "add", PREFIX + "try")
        _ip("netns", "del", PREFIX + "try")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"this machine makes no network namespaces ({error})"
    return ""


@contextmanager
def network(names: Mapping[str, int], folder: Path) -> Iterator[dict[str, Host]]:
    """Hosts by name, each with the last number of its address, on a switch of their own; all gone afterwards."""
    hosts: dict[str, Host] = {}
    with ExitStack() as stack:
        switch = _space(stack, "switch")
        _ip("link", "add", "switch", "type", "bridge", space=switch)
        _ip("link", "set", "switch", "up", space=switch)
        for name, number in names.items():
            space, cable = _space(stack, name), f"{PREFIX}{name[:10]}"
            _ip("link", "add", cable, "netns", switch, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", cable, "master", "switch", "up", space=switch)
            _ip("addr", "add", f"{NETWORK}{number}/24", "dev", "eth0", space=space)
            for device in ("eth0", "lo"):
                _ip("link", "set", device, "up", space=space)
            own = folder / name
            own.mkdir(mode=0o755)
            hosts[name] = Host(name, f"{NETWORK}{number}", own)
            stack.callback(hosts[name].end)
        yield hosts


def _space(stack: ExitStack, name: str) -> str:
    space = PREFIX + name
    subprocess.run(
        ["ip", "netns", "del", space], capture_output=True, check=False
    )  # what a killed run left behind
    _ip("netns", "add", space)
    stack.callback(subprocess.run, ["ip", "netns", "del", space], capture_output=True, check=False)
    return space
