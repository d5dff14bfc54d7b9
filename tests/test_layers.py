"""Who imports whom: arrows only go down, and no room imports what is not its business.

5 manage, urls, wsgi, the rehearsal > 4 pages, api, admin, export, commands > 3 actions > 2 scoring, reporting,
notifications > 1 models > 0 platform and pure evaluation. Beside them l4s, the client, which stands on evaluation
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("leaderboard", "rehearsal", "evaluation", "l4s", "baseline")

# The room of a module is the longest prefix. Modules of leaderboard that are not named here are pages (4).
LEVELS = {
    "manage": 5,
    "rehearsal": 5,
    "leaderboard.urls": 5,
    "leaderboard.wsgi": 5,
    "leaderboard": 4,
    "leaderboard.actions": 3,
    "leaderboard.scoring": 2,
    "leaderboard.reporting": 2,
    "leaderboard.notifications": 2,
    "leaderboard.models": 1,
    "leaderboard.migrations": 1,
    # What Django, Celery and gunicorn need; knows no row and no rule.
    "leaderboard.platform": 0,
    "leaderboard.apps": 0,
    "leaderboard.celery": 0,
    "leaderboard.settings": 0,
    "evaluation": 0,
    "l4s": 0,
    "baseline": 0,
}
TORCH = ("torch", "torchvision", "timm", "segmentation_models_pytorch")
SERVER = (
    "django",
    "celery",
    "kombu",
    "redis",
    "rest_framework",
    "knox",
    "allauth",
    "structlog",
    "leaderboard",
    "rehearsal",
)
ARCHIVE = ("h5py", "zipfile", "evaluation.archive.hdf5", "evaluation.archive.mask_zip")
# What a room may not import (the longest prefix counts).
FORBIDDEN = {
    "leaderboard": (*TORCH, "baseline", "rehearsal"),
    "leaderboard.management.commands": (*TORCH, "rehearsal"),
    "rehearsal": (*TORCH, "baseline"),
    "leaderboard.models": (
        *TORCH,
        "baseline",
        "celery",
        "django.forms",
        "django.http",
        "django.core.mail",
        "requests",
    ),
    "leaderboard.actions": (
        *TORCH,
        "baseline",
        "django.http",
        "django.shortcuts",
        "django.forms",
        "rest_framework",
    ),
    "evaluation": (*TORCH, *SERVER, "baseline", "httpx", "requests", "urllib.request"),
    "leaderboard.scoring": (*TORCH, "baseline", "rehearsal", *ARCHIVE),
    "leaderboard.scoring.tasks": (*TORCH, "baseline", "rehearsal", *ARCHIVE, "evaluation.scoring.metrics"),
    "leaderboard.scoring.queue": (*TORCH, "baseline", "rehearsal", *ARCHIVE, "celery"),
    "l4s": (*TORCH, *SERVER, "baseline", "requests", "urllib.request"),
    "baseline": SERVER,
}
# Whom nobody else may import, and who may.
CLIENT, CLIENTS_USERS = ("l4s",), ("l4s", "baseline.submitting")


def room(module: str, rooms: dict) -> str | None:
    """The longest key of `rooms` that `module` is or lies in."""
    return max((name for name in rooms if inside(module, (name,))), key=len, default=None)


def inside(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def imports(module: str, source: str, is_package: bool = False) -> Iterator[str]:
    """Every module that `source` imports, at its top or inside a function, by its absolute name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[
                    : None if is_package and node.level == 1 else is_package - node.level
                ]
                base = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{base}.{name.name}" for name in node.names)


def faults(module: str, source: str, is_package: bool = False) -> list[str]:
    """The imports of `source` that the design forbids to `module`, each with the reason."""
    found = []
    for target in imports(module, source, is_package):
        own, other = room(module, LEVELS), room(target, LEVELS)
        forbidden = FORBIDDEN.get(room(module, FORBIDDEN) or "", ())
        generator = inside(module, ("leaderboard.management.commands",)) and inside(
            target, ("baseline.synth",)
        )
        if inside(target, forbidden):
            found.append(f"{module} imports {target}, which is not its business")
        elif own and other and LEVELS[other] > LEVELS[own]:
            found.append(
                f"{module} (level {LEVELS[own]}) imports {target} (level {LEVELS[other]}): arrows go down"
            )
        elif inside(target, ("baseline",)) and not inside(module, ("baseline",)) and not generator:
            found.append(f"{module} imports {target}: only commands may, and only baseline.synth")
        elif inside(target, CLIENT) and not inside(module, CLIENTS_USERS):
            found.append(f"{module} imports {target}: the client is for who submits: {CLIENTS_USERS}")
    return found


def files() -> Iterator[tuple[str, Path]]:
    yield "manage", ROOT / "manage.py"
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_the_rooms_keep_to_the_design():
    found = [
        fault
        for module, path in files()
        for fault in faults(module, path.read_text(), path.name == "__init__.py")
    ]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("leaderboard.models.teams", "from leaderboard.actions import teams"),
        ("leaderboard.models.teams", "def f():\n    from leaderboard.scoring.tasks import work"),
        ("leaderboard.models.teams", "from ..actions.teams import join"),
        ("leaderboard.models.teams", "from django.http import HttpRequest"),
        ("leaderboard.actions.teams", "import leaderboard.pages.teams"),
        ("leaderboard.actions.teams", "from django.http import HttpRequest"),
        ("leaderboard.actions", "from .. import pages"),
        ("leaderboard.pages", "from leaderboard import wsgi"),
        ("leaderboard.pages.boards", "from rehearsal.clock import Clock"),
        ("leaderboard.settings", "from leaderboard.models import Team"),
        ("leaderboard.api.views", "import torch.nn"),
        ("leaderboard.api.views", "from baseline.synth import generate"),
        ("leaderboard.management.commands.demo", "from baseline.train import loop"),
        ("evaluation.archive.mask_zip", "from django.conf import settings"),
        ("evaluation.archive.mask_zip", "from leaderboard.scoring import queue"),
        ("evaluation.archive.mask_zip", "import leaderboard"),
        ("leaderboard.scoring.tasks", "import h5py"),
        ("leaderboard.scoring.tasks", "from leaderboard.actions import submissions"),
        ("evaluation.cli.main", "from l4s import Client"),
        ("leaderboard.management.commands.demo", "from l4s import Client"),
        ("baseline.cli.train", "from l4s import Client"),
        ("l4s.client", "from leaderboard.models import Team"),
        ("l4s.client", "from baseline.synth import generate"),
        ("baseline.train", "from django.db import models"),
        ("baseline.train", "from leaderboard.scoring.queue import claim"),
    ],
)
def test_a_break_is_found(module, source):
    assert len(faults(module, source, is_package=module == "leaderboard.actions")) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "leaderboard.pages.board",
            "from leaderboard.actions import submissions\nfrom evaluation.scoring.metrics import f1",
        ),
        (
            "leaderboard.management.commands.demo",
            "from baseline import synth\nfrom baseline.synth.generate import make",
        ),
        (
            "leaderboard.models.boards",
            "from evaluation.scoring.metrics import rank_key\nfrom .teams import Team",
        ),
        (
            "leaderboard.scoring.tasks",
            "from celery import shared_task\nfrom leaderboard.scoring import queue",
        ),
        ("l4s.client", "import httpx\nfrom evaluation.task import MaskSpec\nfrom .errors import L4SError"),
        ("baseline.submitting.entries", "from l4s import Client"),
        ("baseline.train", "import torch\nfrom evaluation.archive.mask_zip import write"),
    ],
)
def test_what_is_allowed(module, source):
    assert faults(module, source) == []
