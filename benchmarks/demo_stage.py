"""A demo as `make demo` runs it, in a folder of its own, for the benchmarks that upload to it."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests import services

ROOT = Path(__file__).resolve().parent.parent
NO_LIMITS = dict.fromkeys(("API_RATE_PERSON", "API_RATE_ADDRESS", "API_RATE_UPLOAD"), "1000000")


@dataclass
class Demo:
    """A running demo. `phase` takes archives like `archive`, any number of them."""

    folder: Path
    url: str
    token: str
    phase: int
    archive: bytes
    server: subprocess.Popen[bytes]

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=60, trust_env=False
        )

    def post(self, client: httpx.Client) -> int:
        """Upload the archive once; returns the submission."""
        answer = client.post(
            "/api/v1/submissions/",
            data={"phase": self.phase, "method": "benchmark", "allow_duplicate": "true"},
            files={"archive": ("masks.zip", self.archive, "application/zip")},
        )
        if answer.status_code != 202:
            raise RuntimeError(f"the upload was refused: {answer.status_code} {answer.text[:500]}")
        return int(answer.json()["id"])

    def log(self) -> list[dict[str, Any]]:
        """The lines of the server's log that are JSON."""
        lines = (self.folder / "server.log").read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def workers(self) -> set[int]:
        """The process ids of the Celery workers."""
        family = psutil.Process(self.server.pid).children(recursive=True)
        return {each.pid for each in family if {"celery", "worker"} <= set(each.cmdline())}


@contextmanager
def running_demo(folder: Path, workers: int = 1, patches: int | None = None) -> Iterator[Demo]:
    """The demo of `folder`, made there if need be. With `patches`, a phase of its own with so few."""
    port = services.free_port()
    for name in ("DATABASE_URL", "REDIS_URL", "EMAIL_URL", "DEBUG", "SITE_URL"):
        os.environ.pop(name, None)
    os.environ.update(
        DATA_DIR=str(folder),
        PORT=str(port),
        LOG_JSON="yes",
        WORKER_CONCURRENCY=str(workers),
        **NO_LIMITS,
    )
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.settings")
    made = [sys.executable, "manage.py", "demo"]
    subprocess.run(made, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    told = json.loads((folder / "demo.json").read_text())
    phase, archive = _phase(told, patches)
    with (folder / "server.log").open("wb") as log:
        serve = [sys.executable, "manage.py", "serve", "--with-parent", str(os.getpid())]
        server = subprocess.Popen(serve, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        demo = Demo(folder, f"http://127.0.0.1:{port}", told["token"], phase, archive, server)
        _wait_for(demo, workers)
        yield demo
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _phase(told: dict[str, Any], patches: int | None) -> tuple[int, bytes]:
    """A phase without quotas and an archive for it."""
    import django

    django.setup()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from io import BytesIO

    import numpy as np
    from django.db import connection

    from evaluation.archive import mask_zip
    from evaluation.scoring.counts import pack
    from evaluation.task import MaskSpec
    from leaderboard.actions import judging
    from leaderboard.models import Phase

    phase = Phase.objects.get(pk=told["phase"])
    archive = Path(told["archives"][0]).read_bytes()
    if patches:
        masks = (np.random.default_rng(1).random((patches, 128, 128)) < 0.02).astype(np.uint8)
        written = BytesIO()
        mask_zip.write(written, masks)
        archive = written.getvalue()
        slug = f"patches-{patches}"
        phase = Phase.objects.filter(slug=slug).first() or Phase.objects.create(
            competition=phase.competition, slug=slug, name=slug, opens_at=phase.opens_at
        )
        if phase.labels is None:
            judging.load_labels(None, phase, pack(masks), MaskSpec(patches, 128, 128))
    Phase.objects.filter(pk=phase.pk).update(quota_total=None, quota_per_day=None, quota_on_board=None)
    connection.close()
    return phase.pk, archive


def _wait_for(demo: Demo, workers: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            text = (demo.folder / "server.log").read_text(errors="replace")
            if text.count("ready.") >= workers and httpx.get(f"{demo.url}/readyz", timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the demo did not start: see {demo.folder / 'server.log'}")
