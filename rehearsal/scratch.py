"""A rehearsal runs in its own process, with an environment that points to a new scratch database and data folder."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from django.conf import settings

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "VIRTUAL_ENV", "PYTHONPATH", "SYSTEMROOT")
MARK = "REHEARSAL_FOLDER"
ROOT = Path(__file__).resolve().parent.parent


def environment(folder: Path) -> dict[str, str]:
    """An environment without the server's settings: no database, broker, storage, mail server or keys."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {
        **kept,
        MARK: str(folder),
        "DATA_DIR": str(folder / "data"),
        "DATABASE_URL": f"sqlite://{folder / 'scratch.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "leaderboard.settings",
        "LOG_LEVEL": "INFO",
    }


def capture(file: str, *, seconds: float) -> tuple[int, str]:
    """``run`` for a worker: the exit code and what was printed; -1 if it took longer than that."""
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as name:
        folder = Path(name).resolve()
        command = [sys.executable, str(ROOT / "manage.py"), "rehearse", str(Path(file).resolve())]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment(folder), check=False, timeout=seconds, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return -1, f"The rehearsal took longer than {seconds:.0f} seconds and was ended."
    return done.returncode, done.stdout


def run(file: str, *options: str) -> int:
    """Rehearse a file in a child process and return its exit code; all its data is deleted."""
    path = Path(file)
    if path.exists():
        file = str(path.resolve())
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as name:
        folder = Path(name).resolve()
        command = [sys.executable, str(ROOT / "manage.py"), "rehearse", file, *options]
        return subprocess.run(command, cwd=ROOT, env=environment(folder), check=False).returncode


def is_inside() -> bool:
    """Whether this is the child process. Raises RuntimeError if its database or data are outside its folder."""
    folder = os.environ.get(MARK)
    if not folder:
        return False
    for path in (settings.DATABASES["default"]["NAME"], settings.DATA_DIR):
        if not Path(path).resolve().is_relative_to(folder):
            raise RuntimeError(f"{MARK} is {folder}, but {path} is outside it: unset it and start again.")
    return True
