"""`make audit` fails when the public list knows a vulnerability, and says so when it cannot be reached."""

import json
import subprocess
from typing import Any

import pytest

from tests import audit

KNOWN = {"name": "django", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
FINE = {"name": "numpy", "version": "2.4", "vulns": []}


@pytest.mark.parametrize(
    ("output", "status", "sentence"),
    [
        (
            json.dumps({"dependencies": [FINE, KNOWN]}),
            1,
            "KNOWN VULNERABILITY: django 1.0: PYSEC-1, fixed in 1.1",
        ),
        (json.dumps({"dependencies": [FINE]}), 0, "1 packages looked up, 0 known"),
        ("no network", 0, "NOT AUDITED"),
    ],
)
def test_the_end_of_an_audit(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, output: str, status: int, sentence: str
) -> None:
    monkeypatch.setattr(
        audit.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=output)
    )
    assert audit.main() == status
    assert sentence in capsys.readouterr().out
