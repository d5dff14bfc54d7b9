"""CSV that a spreadsheet program opens without running anything."""

import csv
import io
from decimal import Decimal

import pytest

from evaluation.cells import safe_cell
from leaderboard.reporting.spreadsheets import write_csv


@pytest.mark.parametrize("beginning", [*"=+-@＝＋－＠﹦﹢﹣﹫⁼⁺₊", "\t", "\r", "\n"])
def test_no_cell_begins_a_formula(beginning: str) -> None:
    assert safe_cell(f"{beginning}1+1") == f"'{beginning}1+1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0, "0"),
        ("a=b", "a=b"),
        ("−1", "−1"),
        ("", ""),
        (0.5, "0.5"),
        (-0.5, "-0.5"),
        (-3, "-3"),
        (Decimal("-1.50"), "-1.50"),
    ],
)
def test_other_cells_stay_as_they_are(value: object, text: str) -> None:
    assert safe_cell(value) == text


def test_rfc_4180() -> None:
    text = write_csv(["a", "b"], [['say "hi"', "x,y"], ["two\nlines", "=1"]])
    assert text == 'a,b\r\n"say ""hi""","x,y"\r\n"two\nlines",\'=1\r\n'
    assert list(csv.reader(io.StringIO(text, newline="")))[2] == ["two\nlines", "'=1"]
