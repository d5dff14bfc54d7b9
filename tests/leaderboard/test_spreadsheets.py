"""CSV that a spreadsheet program opens without running anything."""

import csv
import io

import pytest

from leaderboard.reporting.spreadsheets import safe_cell, write_csv


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1+1", "＋1", "－1", "＠SUM(A1)", "\tx", "\r=1"]
)
def test_no_cell_begins_a_formula(text: str) -> None:
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0, "0"), ("a=b", "a=b"), ("", ""), (0.5, "0.5"), (-0.5, "-0.5")]
)
def test_other_cells_stay_as_they_are(value: object, text: str) -> None:
    assert safe_cell(value) == text


def test_rfc_4180() -> None:
    text = write_csv(["a", "b"], [['say "hi"', "x,y"], ["two\nlines", "=1"]])
    assert text == 'a,b\r\n"say ""hi""","x,y"\r\n"two\nlines",\'=1\r\n'
    assert list(csv.reader(io.StringIO(text, newline="")))[2] == ["two\nlines", "'=1"]
