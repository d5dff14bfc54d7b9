"""Cells of CSV files that spreadsheet programs do not run as formulas."""

import unicodedata
from decimal import Decimal
from fractions import Fraction
from typing import Any

BEGINNINGS = "=+-@\t\r\n"


def safe_cell(value: Any) -> str:
    """The value as text; a text that a spreadsheet would run as a formula gets an apostrophe in front.

    Some programs fold full-width and other forms of the signs (`＝`, `﹣`, `⁺`) into the plain ones, so those count too.
    """
    if isinstance(value, int | float | Decimal | Fraction):
        return str(value)  # a negative number is not a formula
    text = "" if value is None else str(value)
    begins = unicodedata.normalize("NFKC", text[:1]).startswith(tuple(BEGINNINGS))
    return f"'{text}" if begins else text
