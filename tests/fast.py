"""`make test-fast`: the tests that belong to what you changed, then the quickest others, for about a minute.

    python -m tests.fast [--seconds 40] [--list] [pytest options]

First the changed test files, then those that name a changed module, then guards of the whole repository, then all others from
the quickest on, until the remembered seconds (tests/timing.py) are used up. Leaves out what starts workers, servers or browsers.
"""

import argparse
import re
import subprocess
import sys

from tests.timing import ROOT, by_file, remembered

UNKNOWN_SECONDS = 4.0  # of a file that has not run yet
GUARDS = ("tests/test_layers.py", "tests/test_docs.py", "tests/test_templates.py")
LEFT_OUT = "not slow and not worker and not browser"
STARTS = re.compile(r"pytestmark = .*(worker|browser|slow)|fixture\(scope=\"module\"\)\ndef site")


def changed() -> list[str]:
    """Files that differ from the main branch, committed or not."""
    base = _git("merge-base", "HEAD", "origin/main") or _git("merge-base", "HEAD", "main") or ["HEAD"]
    return _git("diff", "--name-only", "--diff-filter=d", base[0]) + _git(
        "ls-files", "--others", "--exclude-standard"
    )


def _git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.split() if done.returncode == 0 else []


def names_of(path: str) -> re.Pattern[str] | None:
    """What a test that imports this module says of it."""
    if not path.endswith(".py") or path.startswith("tests/"):
        return None
    package, _, name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".").rpartition(".")
    words = [rf"\b{re.escape(f'{package}.{name}' if package else name)}\b"]
    if package:
        words.append(rf"from {re.escape(package)} import [^\n]*\b{name}\b")
    return re.compile("|".join(words))


def chosen(budget: float, changes: list[str]) -> tuple[list[str], list[str]]:
    """Test files to run, and those that belong to the changes but do not fit."""
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
    }
    files = {name: text for name, text in files.items() if not STARTS.search(text)}
    patterns = [pattern for path in changes if (pattern := names_of(path))]
    seconds = by_file(remembered())
    own = [name for name in files if name in changes]
    near = [name for name, text in files.items() if any(pattern.search(text) for pattern in patterns)]
    rest = sorted(files, key=lambda name: seconds.get(name, UNKNOWN_SECONDS))
    run: list[str] = []
    spent = 0.0
    for name in dict.fromkeys(
        [*own, *GUARDS, *sorted(near, key=lambda name: seconds.get(name, UNKNOWN_SECONDS)), *rest]
    ):
        cost = seconds.get(name, UNKNOWN_SECONDS)
        if name in own or spent + cost <= budget:
            run.append(name)
            spent += cost
    return run, [name for name in near if name not in run]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fast", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=40, help="processor time of the tests (40)")
    parser.add_argument("--list", action="store_true", help="only name the files")
    options, more = parser.parse_known_args()
    changes = changed()
    run, missing = chosen(options.seconds, changes)
    print(f"{len(changes)} changed files; {len(run)} test files.", flush=True)
    if missing:
        print(f"Not in this run, although they test what changed: {' '.join(missing)}", flush=True)
    if options.list:
        print("\n".join(run))
        return 0
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", LEFT_OUT, *more, *run], cwd=ROOT
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
