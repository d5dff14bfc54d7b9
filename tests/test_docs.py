"""The documents name only what exists, and every command of the server is documented."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("*/*/*.md")])
PAGES = [page for page in PAGES if not {".venv", "node_modules"} & set(page.relative_to(ROOT).parts)]
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
ALL = "\n".join(TEXTS.values())
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+(?: [a-z-]+)*):.*##", MAKEFILE, re.MULTILINE))
TARGETS = {name for names in TARGETS for name in names.split()}


def test_every_command_is_documented_and_every_documented_one_exists():
    ours = {name for name, app in get_commands().items() if app in ("leaderboard", "rehearsal")}
    documented = set(re.findall(r"^\| `([a-z_]+)", TEXTS["docs/deployment.md"], re.MULTILINE))
    assert documented == ours
    mentioned = set(re.findall(r"manage\.py ([a-z_]+)", ALL))
    assert mentioned <= set(get_commands()), mentioned - set(get_commands())


def test_every_mentioned_make_target_exists():
    code = re.findall(r"`([^`\n]+)`", ALL) + re.findall(r"^(make [a-z -]+)", ALL, re.MULTILINE)
    mentioned = {name for text in code for name in re.findall(r"\bmake ([a-z][a-z-]*)\b", text)}
    assert {"demo", "test"} <= mentioned
    assert mentioned <= TARGETS, mentioned - TARGETS


@pytest.mark.parametrize("name", sorted(name for name in TARGETS if name.startswith("bench-")))
def test_every_benchmark_target_has_its_program(name):
    assert 'if __name__ == "__main__"' in (ROOT / f"benchmarks/{name.removeprefix('bench-')}.py").read_text()


def test_every_benchmark_has_a_target():
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    others = {"chaos", "cluster"}  # they measure no speed
    assert {f"bench-{name}" for name in programs - others} | others <= TARGETS


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", TEXTS[page]):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", TEXTS)
def test_named_files_exist(page):
    """Paths with a folder in them, as in `leaderboard/models/locks.py`, from the root, the page's folder or leaderboard/."""
    folders = (ROOT, (ROOT / page).parent, ROOT / "leaderboard")
    named = re.findall(r"`([\w.-]+/[\w./-]*\w\.(?:py|md|toml|txt|yml|conf|c))`", TEXTS[page])
    missing = [path for path in named if not any((folder / path).exists() for folder in folders)]
    assert not missing, f"{page} names files that do not exist: {missing}"
