"""Receipts and commitments are checked without server and database, and nothing changed passes."""

import base64
import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.__main__ import main
from evaluation.archive import mask_zip
from evaluation.scoring import labels
from evaluation.trust import receipts

SECRET = "a secret text of the server"
STATEMENT = {"format": receipts.FORMAT, "team": "Früh & Spät", "scores_percent": {"f1": "74.54"}}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_text(receipts.public_key(SECRET))
    return path


def changed(where: str, value: Any) -> dict[str, Any]:
    receipt = copy.deepcopy(receipts.sign(STATEMENT, SECRET))
    receipt[where] = value if where == "statement" else {**receipt[where], **value}
    return receipt


def test_what_is_signed_is_verified(key: Path) -> None:
    assert receipts.verify(receipts.sign(STATEMENT, SECRET), key.read_text()) == STATEMENT


@pytest.mark.parametrize(
    ("receipt", "sentence"),
    [
        (changed("statement", {**STATEMENT, "scores_percent": {"f1": "74.55"}}), "does not fit"),
        (changed("signature", {"value": base64.b64encode(bytes(64)).decode()}), "does not fit"),
        (changed("signature", {"value": "!"}), "not a receipt"),
        (receipts.sign(STATEMENT, "another secret"), "does not fit"),
        (receipts.sign({"format": "other"}, SECRET), "format"),
        ({}, "not a receipt"),
        ([], "not a receipt"),
        ("text", "not a receipt"),
    ],
)
def test_nothing_else_is(receipt: Any, sentence: str, key: Path) -> None:
    with pytest.raises(receipts.ReceiptInvalid, match=sentence):
        receipts.verify(receipt, key.read_text())


def test_a_key_that_is_none(key: Path) -> None:
    for wrong in ("", "abc", f"{receipts.PEM}\nAAAA\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(receipts.ReceiptInvalid, match="key"):
            receipts.verify(receipts.sign(STATEMENT, SECRET), wrong)


def test_the_command(key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps(receipts.sign(STATEMENT, SECRET), indent=2))
    assert main(["verify", str(receipt), str(key)]) == 0
    said = capsys.readouterr().out
    assert "genuine" in said
    assert "74.54" in said
    receipt.write_text(receipt.read_text().replace("74.54", "84.54"))
    assert main(["verify", str(receipt), str(key), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["valid"] is False
    receipt.write_text("no JSON")
    assert main(["verify", str(receipt), str(key)]) == 1
    assert main(["verify", str(tmp_path / "missing"), str(key)]) == 2


def test_without_cryptography_it_says_what_is_missing(key: Path, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps(receipts.sign(STATEMENT, SECRET)))
    hide = "import sys; sys.modules['cryptography'] = None; from evaluation.__main__ import main; "
    done = subprocess.run(
        [sys.executable, "-c", f"{hide}sys.exit(main(['verify', {str(receipt)!r}, {str(key)!r}]))"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install cryptography" in done.stderr


def test_labels_are_checked_against_their_commitment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[0, 3, 4] = 1
    path, salt = tmp_path / "labels.zip", "ab" * 32
    mask_zip.write(path, masks)
    made = receipts.commitment(salt, labels.sha256(*labels.load(path)))
    assert main(["verify-labels", str(path), made, salt]) == 0
    assert main(["verify-labels", str(path), made, "cd" * 32]) == 1
    masks[1, 0, 0] = 1
    mask_zip.write(path, masks)
    assert main(["verify-labels", str(path), made, salt]) == 1
    assert "other labels" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["verify-labels", str(path), "short", salt])
