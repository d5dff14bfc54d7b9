"""The guards themselves: the system-call filter of both architectures, Landlock, a hidden memory."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from evaluation.archive.problems import InvalidArchive
from evaluation.sandbox import guards, reader
from evaluation.sandbox.reader import Reader, ReaderKilled, ReaderNotConfined
from tests.evaluation import corpus
from tests.evaluation.test_reader import wait_until
from tests.evaluation.zips import build

ROOT = Path(__file__).resolve().parents[2]
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
both = pytest.mark.parametrize("name", guards.ARCHITECTURES)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this guard")


def verdict(code, audit, call, third=0):
    """What the kernel's interpreter of filters makes of a system call."""
    data, accumulator, at = {0: call, 4: audit, 32: third}, 0, 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            accumulator = data[value]
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}
            at += if_true if holds[operation] else if_false


@both
def test_the_filter_allows_its_list_and_nothing_else(name):
    machine = guards.ARCHITECTURES[name]
    code = guards.filter_code(machine)
    memory = machine.never_executable.values()
    for call in range(1000):
        expected = guards.ALLOW if call in machine.allowed.values() or call in memory else guards.EPERM
        assert verdict(code, machine.audit, call) == expected, call
    for call, protection in itertools.product(memory, range(8)):
        expected = guards.EPERM if protection & 4 else guards.ALLOW
        assert verdict(code, machine.audit, call, protection) == expected
    others = {other.audit for other in guards.ARCHITECTURES.values()} - {machine.audit} | {0, 0x40000003}
    for audit, call in itertools.product(others, (0, 60, 93, 231)):
        assert verdict(code, audit, call) == guards.KILL
    if machine.foreign_from is not None:
        assert verdict(code, machine.audit, machine.foreign_from + 60) == guards.KILL


@both
def test_the_numbers_are_those_of_the_kernel_s_headers(name):
    if not HEADERS[name].exists():
        pytest.skip(f"{HEADERS[name]} is not installed (Debian: linux-libc-dev)")
    text = HEADERS[name].read_text()
    numbers = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
    machine = guards.ARCHITECTURES[name]
    for call, number in (machine.allowed | machine.never_executable).items():
        assert int(numbers[call]) == number, call


def test_both_architectures_allow_the_same_calls():
    x86, arm = guards.ARCHITECTURES.values()
    assert (x86.allowed.keys(), x86.never_executable.keys()) == (
        arm.allowed.keys(),
        arm.never_executable.keys(),
    )


def run(program):
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@linux
def test_landlock_takes_files_sockets_signals_and_tracing_away():
    version, *refused = run("""
        import os, socket
        from evaluation.sandbox import guards
        kept = open("/etc/hostname")
        guards._prctl(guards._PR_SET_NO_NEW_PRIVS, guards.ctypes.c_ulong(1))
        print(guards.landlock())
        acts = {
            "read": lambda: open("/etc/passwd"),
            "write": lambda: open("/tmp/written-under-landlock", "w"),
            "list": lambda: os.listdir("/"),
            "memory": lambda: open(f"/proc/{os.getppid()}/mem", "rb"),
            "connect": lambda: socket.socket().connect(("127.0.0.1", 9)),
            "signal": lambda: os.kill(os.getppid(), 0),
        }
        kept.read()
        for name, act in acts.items():
            try:
                act()
            except PermissionError:
                print(name)
            except OSError:
                pass
    """)
    if version == "0":
        pytest.skip("this kernel has no Landlock")
    expected = ["read", "write", "list", "memory"]
    expected += ["connect"] if int(version) >= 4 else []
    expected += ["signal"] if int(version) >= 6 else []
    assert refused == expected


@linux
def test_a_worker_can_hide_its_memory():
    before, after = run("""
        from evaluation.sandbox import guards
        state = lambda: guards._LIBC.prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
        print(state())
        guards.hide_memory()
        print(state())
    """)
    assert (before, after) == ("1", "0")


def test_without_a_filter_a_confined_reader_does_not_read(monkeypatch):
    monkeypatch.setattr(reader, "_MODULES", ("tests.evaluation.unfiltered_reader",))
    data = build(corpus.entries())
    with Reader(confined=True) as made:
        with pytest.raises(ReaderNotConfined, match="does not filter system calls"):
            made.read(data, corpus.SPEC)
        assert made.pids == []
    with Reader() as made:
        assert made.read(data, corpus.SPEC).any()
        assert made.guards[0]["system_calls"] is False


@pytest.fixture
def spinning(monkeypatch):
    monkeypatch.setattr(reader, "_MODULES", ("tests.evaluation.misbehaving_reader",))
    with Reader(wall_s=3, cpu_s=15) as made:
        made.start()
        yield made


def kill_children(made, times):
    """SIGKILL the next children of the reader process, as the system does when memory runs out."""
    killed = set()

    def children():
        found = set()
        for pid in made.pids:
            with suppress(
                psutil.NoSuchProcess
            ):  # it ends when its child was killed, at any moment of this look
                found |= {child.pid for child in psutil.Process(pid).children()}
        return found - killed

    def work():
        for _ in range(times):
            assert wait_until(children)
            for pid in children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@linux
def test_a_kill_from_outside_is_tried_again_and_is_never_the_archive_s_fault(spinning):
    spin = build(corpus.entries(b"spin "))
    thread = kill_children(spinning, 1)
    with pytest.raises(InvalidArchive) as found:  # the second try ends at the wall clock
        spinning.read(spin, corpus.SPEC)
    thread.join()
    assert found.value.problems[0].code == "unreadable"
    thread = kill_children(spinning, 2)
    with pytest.raises(ReaderKilled):
        spinning.read(spin, corpus.SPEC)
    thread.join()
    assert spinning.read(build(corpus.entries()), corpus.SPEC).any()


@linux
def test_the_limit_of_processor_time_is_not_a_kill_from_outside(monkeypatch):
    monkeypatch.setattr(reader, "_MODULES", ("tests.evaluation.misbehaving_reader",))
    with Reader(cpu_s=1, wall_s=30) as made, pytest.raises(InvalidArchive) as found:
        made.read(build(corpus.entries(b"stubborn ")), corpus.SPEC)
    assert found.value.problems[0].code == "unreadable"


AS_IN_THE_COMPOSE_FILE = """
import json, os, pathlib, sys
from evaluation.archive import mask_zip
from evaluation.sandbox.reader import Reader
from evaluation.task import MaskSpec
import io, numpy
made = io.BytesIO()
mask_zip.write(made, numpy.ones((2, 8, 8), numpy.uint8))
with Reader(user=10002) as reader:
    packed = reader.read(made.getvalue(), MaskSpec(2, 8, 8))
    [pid] = reader.pids
    status = dict(line.split(":\t") for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    out = {name: status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "Groups")}
    out |= {"guards": reader.guards[0], "me": os.geteuid(), "pixels": int(packed.sum())}
print(json.dumps(out | {"gone": not pathlib.Path(f"/proc/{pid}").exists()}))
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_a_worker_that_is_not_root_gives_its_reader_a_user_without_capabilities():
    """The command of the compose file's worker, with the numbers of the image's users."""
    caps = "+setuid,+setgid,+kill"
    command = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups"]
    command += [f"--inh-caps={caps}", f"--ambient-caps={caps}"]
    libraries = f"{ROOT}:{Path(np.__file__).parents[1]}"

    def run(python, program):
        return subprocess.run(
            [*command, python, "-c", program],
            cwd="/",
            env={"PYTHONPATH": libraries},
            capture_output=True,
            text=True,
        )

    pythons = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")
    again = "import h5py, subprocess, sys; subprocess.check_call([sys.executable, '-c', '1'])"
    python = next((each for each in pythons if not run(each, again).returncode), None)
    if python is None:
        pytest.skip("another user may not run an interpreter with h5py here")
    done = run(python, AS_IN_THE_COMPOSE_FILE)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["me"], told["guards"]["user"]) == (10001, 10002)
    assert {int(told[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
    assert told["Groups"].strip() == ""
    assert told["pixels"] == 2 * 8 * 255
    assert told["gone"]
