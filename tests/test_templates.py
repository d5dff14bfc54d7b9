"""Templates stay readable in an editor and in a diff."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 120


def test_lines_of_templates_are_at_most_120_characters() -> None:
    too_long = [
        f"{path.relative_to(ROOT)}:{number} has {len(line)} characters"
        for path in sorted((ROOT / "templates").rglob("*.html"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > LONGEST
    ]
    assert not too_long, "\n".join(too_long)
