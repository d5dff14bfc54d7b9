"""The reader process: what a child may not do, what its end costs, and that nothing stays behind."""

import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from evaluation.archive import mask_zip
from evaluation.archive.problems import InvalidArchive
from evaluation.sandbox import reader
from evaluation.sandbox.reader import Reader
from evaluation.scoring.counts import pack
from evaluation.task import MaskSpec
from tests.evaluation import corpus
from tests.evaluation.zips import build

SPEC = corpus.SPEC
GOOD = build(corpus.entries())
PACKED = pack(corpus.MASKS)
CHUNKED = next(case.data for case in corpus.valid() if "gzip" in case.name)
ROOT = Path(__file__).resolve().parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this guard")


@pytest.fixture(scope="module")
def good_reader():
    with Reader() as made:
        yield made


@pytest.fixture
def misbehaving(monkeypatch):
    monkeypatch.setattr(reader, "_MODULES", ("tests.evaluation.misbehaving_reader",))
    with Reader(wall_s=20, cpu_s=15) as made:
        yield made


def told(made, act, argument=""):
    """What a child says that was told to do this."""
    data = build(corpus.entries(f"{act} {argument}".encode()))
    with pytest.raises(InvalidArchive) as caught:
        made.read(data, SPEC)
    (problem,) = caught.value.problems
    return problem


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_reads_bytes_paths_and_open_files(good_reader, tmp_path):
    path = tmp_path / "masks.zip"
    path.write_bytes(GOOD)
    with path.open("rb") as file, path.open("r+b") as writable:
        file.seek(99)
        for source in (GOOD, path, str(path), file, writable, io.BytesIO(GOOD)):
            packed = good_reader.read(source, SPEC)
            assert (packed == PACKED).all()
            assert not packed.flags.writeable
    assert good_reader.usage.cpu_s > 0
    assert good_reader.usage.peak_bytes > 1 << 20


def test_official_archives_do_not_start_the_reader_with_libhdf5():
    with Reader() as made:
        made.read(GOOD, SPEC)
        assert len(made.pids) == 1
        maps = Path(f"/proc/{made.pids[0]}/maps")
        if os.geteuid() == 0 and maps.exists():
            assert "libhdf5" not in maps.read_text()
        assert (made.read(CHUNKED, SPEC) == PACKED).all()
        assert len(made.pids) == 2


def test_a_sender_of_other_layouts_is_read_by_the_explaining_reader_at_once(monkeypatch):
    with Reader() as made:
        asked, ask = [], made._ask
        monkeypatch.setattr(made, "_ask", lambda module, *rest: asked.append(module) or ask(module, *rest))

        def readers(data, sender):
            asked.clear()
            assert np.array_equal(made.read(data, SPEC, sender), PACKED)
            return len(asked)

        assert [readers(CHUNKED, 7) for _ in range(18)] == [2, *[1] * 15, 2, 1]
        assert readers(CHUNKED, None) == readers(CHUNKED, 8) == 2  # others are unknown
        assert readers(GOOD, 7) == 1
        assert asked == [reader._MODULES[-1]]
        while asked == [reader._MODULES[-1]]:
            readers(GOOD, 7)
        assert readers(GOOD, 7) == 1
        assert asked == [reader._MODULES[0]]  # it sends official files again


def test_other_sizes_and_numbers_take_turns(good_reader):
    for shape in ((1, 8, 8), (5, 256, 256), (3, 128, 128), (2, 64, 32)):
        masks = np.random.default_rng(0).integers(0, 2, shape)
        made = io.BytesIO()
        mask_zip.write(made, masks)
        assert (good_reader.read(made.getvalue(), MaskSpec(*shape)) == pack(masks)).all()


def test_a_missing_file_is_not_an_archive_problem(good_reader, tmp_path):
    with pytest.raises(FileNotFoundError):
        good_reader.read(tmp_path / "nothing.zip", SPEC)
    (tmp_path / "empty.zip").touch()
    with pytest.raises(InvalidArchive) as caught:
        good_reader.read(tmp_path / "empty.zip", SPEC)
    assert [p.code for p in caught.value.problems] == ["empty_file"]


@pytest.mark.parametrize("act", ["crash", "exit", "kill"])
def test_a_crash_costs_one_archive_a_clear_problem(misbehaving, act):
    if act == "kill":
        pytest.importorskip("resource")
        assert told(misbehaving, act).message == "refused: PermissionError"
        return
    problem = told(misbehaving, act, "3")
    assert (problem.code, problem.file) == ("unreadable", "mask_2.h5")
    assert (misbehaving.read(GOOD, SPEC) == PACKED).all()


def test_a_hang_ends_at_the_wall_clock(monkeypatch):
    monkeypatch.setattr(reader, "_MODULES", ("tests.evaluation.misbehaving_reader",))
    with Reader(wall_s=1) as made:
        made.start()
        (pid,) = made.pids
        started = time.monotonic()
        assert told(made, "spin").code == "unreadable"
        assert time.monotonic() - started < 5
        assert (made.read(GOOD, SPEC) == PACKED).all()
        assert made.pids == [pid]


def test_cpu_time_is_bounded(monkeypatch):
    monkeypatch.setattr(reader, "_MODULES", ("tests.evaluation.misbehaving_reader",))
    with Reader(cpu_s=1, wall_s=30) as made:
        assert told(made, "spin").code == "unreadable"
        assert made.usage.cpu_s < 3


@LINUX
def test_memory_is_bounded(misbehaving):
    misbehaving.memory_bytes = 64 << 20
    assert told(misbehaving, "grow").message == "refused: MemoryError"
    assert misbehaving.usage.peak_bytes < 160 << 20


@LINUX
@pytest.mark.parametrize(
    ("act", "argument"),
    [
        ("open", "/etc/passwd"),
        ("open", "/proc/self/environ"),
        ("write", "/tmp/written-by-a-reader"),
        ("list", "/"),
        ("unlink", "/tmp/nothing"),
        ("socket", ""),
        ("fork", ""),
        ("execute", ""),
        ("limit", ""),
        ("say", ""),
        ("setuid", ""),
        ("sleep", "0.01"),
        ("executable", ""),
    ],
)
def test_a_child_may_do_nothing_but_read(misbehaving, act, argument):
    misbehaving.start()
    if not misbehaving.guards[0]["system_calls"] and act in ("unlink", "sleep", "executable"):
        pytest.skip("no system-call filter on this architecture")
    assert told(misbehaving, act, argument).message.startswith("refused: ")


def test_nothing_of_the_worker_reaches_a_child(misbehaving, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "s3cret")
    assert "s3cret" not in told(misbehaving, "environment").message
    (pid,) = misbehaving.pids
    environment = Path(f"/proc/{pid}/environ")
    if os.geteuid() == 0 and environment.exists():
        assert environment.read_bytes() == b""
        opened = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
        assert len([name for name in opened if name.startswith("socket:")]) == 1
        assert all(name == "/dev/null" or name.startswith(("socket:", "pipe:")) for name in opened)


def test_nothing_of_one_archive_reaches_the_next(misbehaving):
    for text in ("one", "two"):
        assert told(misbehaving, "remember", text).message == str([text])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_root_becomes_nobody(misbehaving):
    assert misbehaving.guards == []
    misbehaving.start()
    assert misbehaving.guards[0]["user"] == 65534
    (pid,) = misbehaving.pids
    assert set(psutil.Process(pid).uids()) == {65534}
    assert psutil.Process(pid).num_threads() == 1


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make the program unreadable for the reader's user"
)
def test_root_may_keep_the_program_where_nobody_else_can_read(tmp_path):
    """All that a reader needs is open before it becomes nobody."""
    home = tmp_path / "home"
    shutil.copytree(ROOT / "evaluation", home / "evaluation")
    (home / "good.zip").write_bytes(GOOD)
    (home / "chunked.zip").write_bytes(CHUNKED)
    home.chmod(0o700)
    program = """
        from evaluation.sandbox.reader import Reader
        from evaluation.task import MaskSpec
        import evaluation
        with Reader() as reader:
            for name in ("good.zip", "chunked.zip"):
                print(evaluation.__file__, reader.read(name, MaskSpec(3)).sum())
            try:
                reader.read("good.zip", MaskSpec(4))
            except Exception as error:
                print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=home, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0] == lines[1] == f"{home}/evaluation/__init__.py {PACKED.sum()}"
    assert "mask_4.h5" in lines[2]


@pytest.mark.skipif(not shutil.which("unshare"), reason="util-linux is not installed")
@pytest.mark.parametrize("user", [1000, 0])
def test_a_normal_user_and_a_powerless_root_read_too(tmp_path, user):
    """The whole of it in a user namespace: as user 1000 without any capability, and as a root with nobody else in it."""
    become = ["unshare", "--user", f"--map-user={user}", f"--map-group={user}"]
    if subprocess.run([*become, "true"], capture_output=True).returncode:
        pytest.skip("this kernel gives no user namespaces")
    (tmp_path / "good.zip").write_bytes(GOOD)
    program = """
        from evaluation.sandbox.reader import Reader
        from evaluation.task import MaskSpec
        with Reader() as reader:
            print(reader.read("good.zip", MaskSpec(3)).sum(), *[held["user"] for held in reader.guards])
    """
    run = subprocess.run(
        [*become, sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    total, held = run.stdout.split()
    assert int(total) == PACKED.sum()
    assert int(held) == user


def test_survives_the_loss_of_its_process(good_reader):
    good_reader.start()
    for _ in range(2):
        for pid in good_reader.pids:
            os.kill(pid, signal.SIGKILL)
        assert (good_reader.read(GOOD, SPEC) == PACKED).all()
        assert (good_reader.read(CHUNKED, SPEC) == PACKED).all()


def test_close_leaves_nothing_and_read_starts_again():
    made = Reader()
    made.start()
    pids = made.pids
    made.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert (made.read(GOOD, SPEC) == PACKED).all()
    made.close()


@LINUX
def test_a_killed_worker_leaves_no_process_behind(tmp_path):
    """kill -9 of the worker while a child is busy ends reader process and child."""
    (tmp_path / "spin.zip").write_bytes(build(corpus.entries(b"spin ")))
    program = """
        from evaluation.sandbox import reader
        from evaluation.task import MaskSpec
        reader._MODULES = ("tests.evaluation.misbehaving_reader",)
        made = reader.Reader(wall_s=60, cpu_s=60)
        made.start()
        print(*made.pids, flush=True)
        made.read("spin.zip", MaskSpec(3))
    """
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        pid = int(worker.stdout.readline())
        assert wait_until(lambda: psutil.Process(pid).children())  # one, which spins until it is killed
        (child,) = psutil.Process(pid).children()
        worker.kill()
    assert wait_until(lambda: not alive(pid) and not alive(child.pid))


def _read_in_a_fork(made, results):
    results.put((made.read(GOOD, SPEC) == PACKED).all() and made.pids)


def test_works_in_a_forked_daemonic_worker(good_reader):
    """As in Celery's prefork pool: a handle that the parent has used, in a child that may not have children."""
    good_reader.read(GOOD, SPEC)
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    worker = fork.Process(target=_read_in_a_fork, args=(good_reader, results), daemon=True)
    worker.start()
    pids = results.get(timeout=60)
    worker.join(10)
    assert pids
    assert not set(pids) & set(good_reader.pids)
    assert wait_until(lambda: not any(map(alive, pids)))
    assert (good_reader.read(GOOD, SPEC) == PACKED).all()


def test_threads_share_a_reader(good_reader):
    wrong = []

    def work(data, expected):
        for _ in range(5):
            if not (good_reader.read(data, SPEC) == expected).all():
                wrong.append(data)

    other = np.roll(corpus.MASKS, 1, axis=0)
    made = io.BytesIO()
    mask_zip.write(made, other)
    jobs = [(GOOD, PACKED), (made.getvalue(), pack(other)), (CHUNKED, PACKED)]
    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_interrupted_read_leaves_nothing_to_the_next(monkeypatch):
    """A task's time limit raises in the midst of a read: its child ends, its answer is nobody's."""
    monkeypatch.setattr(reader, "_MODULES", ("tests.evaluation.misbehaving_reader",))

    class OutOfTime(Exception):
        pass

    def ring(*_):
        raise OutOfTime

    with Reader() as made:
        made.start()
        pids = made.pids
        before = signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(OutOfTime):
                made.read(build(corpus.entries(b"spin ")), SPEC)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert not any(map(alive, pids))
        assert (made.read(GOOD, SPEC) == PACKED).all()


def test_survives_the_end_of_the_thread_that_started_it():
    """The kernel ends a reader process with the thread that is its parent."""
    with Reader() as made:
        starter = threading.Thread(target=made.start)
        starter.start()
        starter.join()
        for data in (GOOD, CHUNKED, GOOD):
            assert (made.read(data, SPEC) == PACKED).all()


def test_memory_of_the_worker_stays_flat(good_reader):
    good_reader.read(GOOD, SPEC)
    process = psutil.Process()
    base, opened = process.memory_info().rss, process.num_fds()
    for _ in range(150):
        good_reader.read(GOOD, SPEC)
    assert process.memory_info().rss - base < 4 << 20
    assert process.num_fds() == opened


def test_a_program_that_does_not_start_says_why(monkeypatch):
    monkeypatch.setattr(reader, "_MODULES", ("evaluation.no_such_module",))
    with Reader() as made, pytest.raises(reader.ReaderNotStarted, match="no_such_module"):
        made.read(GOOD, SPEC)
    assert made.pids == []


def test_a_hijacked_child_cannot_say_anything_it_likes():
    for text in (
        b"",
        b"{}",
        b"[]",
        b'[{"code": "no_such", "file": "", "message": "x"}]',
        b"\xff",
        b"[1]",
        b"null",
        b'[{"code": "not_hdf5", "file": "", "message": "x", "count": 4}]',
        b'[{"code": "not_hdf5", "file": "", "message": "x", "count": "3"}]',
        b'[{"code": "not_hdf5", "file": "", "message": "x", "files": [1]}]',
        b'[{"code": "not_hdf5", "file": "", "message": "x", "files": [%s"a"]}]' % (b'"a", ' * 20),
    ):
        assert [p.code for p in reader._problems(text, 3)] == ["unreadable"]
    long = b'[{"code": "not_hdf5", "file": "", "message": "%s"}]' % (b"x" * 5000)
    assert [p.code for p in reader._problems(long, 3)] == ["unreadable"]
