"""The broker of a server on one host: each message reaches one worker, at once, whatever happens to its files."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from kombu import Connection, Consumer, Producer, Queue
from kombu.simple import SimpleQueue

from leaderboard.celery import app
from leaderboard.platform import broker
from leaderboard.platform.bell import ENOUGH, ring, ring_again
from leaderboard.scoring import tasks

ROOT = Path(__file__).resolve().parent.parent.parent
SOON = 1.0  # seconds, where a look at the rows every now and then would take LONGEST_WAIT


def connection(folder: Path) -> Connection:
    return Connection("local://localhost", transport_options={"folder": str(folder)})


class Listener:
    """Consumes a queue, as a worker does."""

    def __init__(self, folder: Path, queue: str = "celery") -> None:
        self.link, self.heard = connection(folder), []
        self.consumer = Consumer(
            self.link, [Queue(queue, routing_key=queue)], callbacks=[self._hear], accept=["json"]
        )
        self.consumer.consume()

    def _hear(self, body, message) -> None:
        self.heard.append(body)
        message.ack()

    def listen(self, seconds: float) -> bool:
        """Whether a message comes within this time."""
        end, before = time.monotonic() + seconds, len(self.heard)
        while len(self.heard) == before and (left := end - time.monotonic()) > 0:
            try:
                self.link.drain_events(timeout=left)
            except TimeoutError:
                pass
        return len(self.heard) > before

    def close(self) -> None:
        self.link.close()


@pytest.fixture
def listener(tmp_path):
    made = Listener(tmp_path)
    yield made
    made.close()


def put(folder: Path, body: object, queue: str = "celery") -> None:
    with connection(folder) as link:
        Producer(link).publish(body, routing_key=queue, serializer="json")


def test_messages_come_in_order_and_once(tmp_path, listener):
    for number in range(5):
        put(tmp_path, number)
    while listener.listen(0.2):
        pass
    assert listener.heard == [0, 1, 2, 3, 4]


def test_who_waits_is_woken_at_once(tmp_path, listener, monkeypatch):
    monkeypatch.setattr(broker, "LONGEST_WAIT", 60.0)
    threading.Timer(0.3, put, (tmp_path, "wake up")).start()
    began = time.monotonic()
    assert listener.listen(30)
    assert 0.2 < time.monotonic() - began < 0.3 + SOON


def test_queues_are_apart(tmp_path, listener):
    put(tmp_path, "a mail", queue="mail")
    assert not listener.listen(0.2)
    mailer = Listener(tmp_path, "mail")
    assert mailer.listen(1)
    mailer.close()


LISTEN = """
import sys
from pathlib import Path
import django
django.setup()
from tests.leaderboard.test_broker import Listener
listener = Listener(Path(sys.argv[1]))
listener.listen(0.01)  # now there is a pipe
print("ready", flush=True)
while listener.listen(3):
    pass
print(*listener.heard, flush=True)
listener.close()
"""


def listening_process(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(folder)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "leaderboard.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_each_message_reaches_one_of_several_processes(tmp_path):
    listening = [listening_process(tmp_path) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda n=n: [put(tmp_path, 100 * n + each) for each in range(50)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard = Counter(int(each) for process in listening for each in process.communicate(timeout=60)[0].split())
    assert heard == Counter(100 * n + each for n in range(4) for each in range(50))


def test_a_killed_listener_leaves_nothing_that_blocks(tmp_path):
    process = listening_process(tmp_path)
    put(tmp_path, 1)
    process.kill()
    process.wait(10)
    assert list(tmp_path.glob("*.bell"))
    put(tmp_path, 2)
    assert not list(tmp_path.glob("*.bell"))


def test_a_frozen_listener_blocks_nobody(tmp_path):
    process = listening_process(tmp_path)
    process.send_signal(signal.SIGSTOP)
    for _ in range(100_000):  # more bytes than a pipe holds
        broker.wake(tmp_path)
    process.kill()
    process.wait(10)


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + bytes(4080)])
def test_a_damaged_file_is_begun_again(tmp_path, listener, content):
    put(tmp_path, "lost")
    (tmp_path / "messages.sqlite3").write_bytes(content)
    assert not listener.listen(0.2)
    (tmp_path / "messages.sqlite3").write_bytes(content)
    put(tmp_path, "kept")
    assert listener.listen(1)
    assert listener.heard == ["kept"]


def test_an_unreadable_file_is_no_crash(tmp_path, listener):
    (tmp_path / "messages.sqlite3").unlink()
    (tmp_path / "messages.sqlite3").mkdir()
    assert not listener.listen(0.3)
    (tmp_path / "messages.sqlite3").rmdir()
    put(tmp_path, "now")
    assert listener.listen(1)


def test_an_emptied_folder_is_filled_again(tmp_path, listener, monkeypatch):
    monkeypatch.setattr(broker, "LONGEST_WAIT", 0.1)
    assert not listener.listen(0.1)
    for file in tmp_path.iterdir():
        file.unlink()
    assert not listener.listen(0.3)
    assert len(list(tmp_path.glob("*.bell"))) == 1
    put(tmp_path, "heard")
    assert listener.listen(1)


def test_a_closed_listener_leaves_no_pipe(tmp_path):
    made = Listener(tmp_path)
    made.listen(0.1)
    assert len(list(tmp_path.glob("*.bell"))) == 1
    made.close()
    assert not list(tmp_path.glob("*.bell"))
    assert not list(tmp_path.glob("*.draft"))


def test_a_signal_ends_the_wait(tmp_path, listener):
    """So that a worker stops at once, and not only after its wait."""
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        assert not listener.listen(0.1)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            listener.link.drain_events(timeout=30)
        assert time.monotonic() - began < 0.2 + SOON
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_waiting_messages_are_counted_and_cleared(tmp_path):
    put(tmp_path, 1)
    put(tmp_path, 2)
    with connection(tmp_path) as link:
        queue = Queue("celery", routing_key="celery").bind(link.channel())
        assert queue.queue_declare(passive=True).message_count == 2
        assert queue.purge() == 2
        assert queue.queue_declare(passive=True).message_count == 0


def test_the_tasks_of_an_older_demo_are_left_alone(tmp_path, listener):
    """Until 1.0 messages were files in DATA_DIR/broker/messages."""
    (tmp_path / "messages").mkdir()
    (tmp_path / "messages" / "1_2.celery.msg").write_text("")
    put(tmp_path, "new")
    assert listener.listen(1)


def test_a_long_queue_does_not_hold_up_the_sweep(db):
    """Of both brokers: messages that announce submissions come after all others."""
    with app.connection_for_read() as link:
        queue = SimpleQueue(link, Queue("celery", routing_key="celery"))
        queue.clear()
        for _ in range(3):
            ring(tasks.work)
        ring(tasks.sweep)
        names = []
        for _ in range(4):
            message = queue.get(timeout=5)
            names.append(message.headers["task"].rpartition(".")[2])
            message.ack()
        queue.close()
    assert names == ["sweep", "work", "work", "work"]


def test_rows_that_wait_leave_no_growing_heap_of_messages(db):
    """Each evaluation rings for the next, and each submission rings too: a long queue must not double its messages."""
    with app.connection_for_read() as link:
        queue = SimpleQueue(link, Queue("celery", routing_key="celery"))
        queue.clear()
        for _ in range(ENOUGH + 10):
            ring_again(tasks.work)
        assert link.default_channel.queue_declare("celery").message_count == ENOUGH
        ring(tasks.work)
        assert link.default_channel.queue_declare("celery").message_count == ENOUGH + 1
        queue.clear()
        queue.close()


def test_celery_uses_it_without_redis(settings):
    expected = "redis" if settings.REDIS_URL else "local"
    assert app.connection_for_write().as_uri().startswith(f"{expected}://")
