"""The table of codes: closed, documented, and the only source of problems."""

import re
from pathlib import Path

import pytest

import evaluation
from evaluation.archive import problems
from evaluation.archive.problems import CODES, MOST, InvalidArchive, Problem
from evaluation.archive.sentences import PARTS, SENTENCES, code_of, sentence

ROOM = Path(evaluation.__file__).parent


def test_the_documented_table_is_the_code_s():
    text = (ROOM / "README.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (.+?) \|$", text, re.MULTILINE)
    assert dict(rows) == CODES
    assert [code for code, _ in rows] == list(CODES)


def test_every_code_has_a_sentence_and_every_sentence_is_used():
    assert {code_of(key) for key in SENTENCES} == set(CODES)
    source = "".join(path.read_text() for path in ROOM.rglob("*.py") if path.name != "sentences.py")
    for key in SENTENCES:
        variant = key.removeprefix("unexpected_file.")  # its variants are put together with the code
        assert f'"{key}"' in source or f'"{variant}"' in source, key


def test_a_sentence_is_filled_with_its_values_and_parts():
    values = {"found": 1234, "patches": 2000, "first": "mask_1.h5", "last": "mask_{9}.h5"}
    assert sentence("missing_file", values).startswith("Missing: the archive holds 1,234 of 2,000 masks.")
    assert "; expected mask_1.h5 to mask_{9}.h5 and nothing else." in sentence(
        "unexpected_file.other", values
    )
    assert sentence("zip_damaged.directory", {}).endswith(PARTS["_again"])
    with pytest.raises(KeyError):
        sentence("missing_file", {})
    with pytest.raises(KeyError):
        sentence("no_such_sentence", {})


def test_a_problem_outside_the_table_is_a_mistake():
    with pytest.raises(ValueError, match="not in the table"):
        Problem("no_such_code", "", "")


def test_as_dict_and_str():
    problem = Problem("not_hdf5", "mask_1.h5", "Text.")
    assert problem.as_dict() == {
        "code": "not_hdf5",
        "file": "mask_1.h5",
        "message": "Text.",
        "count": 1,
        "files": ["mask_1.h5"],
    }
    assert str(problem) == "mask_1.h5: Text."
    assert str(Problem("empty_file", "", "Text.")) == "Text."


@pytest.mark.parametrize("number", [1, MOST, MOST + 1, 800])
def test_the_list_is_capped_and_counts_the_rest(number):
    listed = InvalidArchive(Problem("not_hdf5", f"mask_{i}.h5", f"Text {i}.") for i in range(number)).problems
    assert len(listed) == min(number, MOST)
    if number > MOST:
        left = number - MOST + 1
        assert listed[-1].message.startswith(f"{left} more problems are not shown: not_hdf5 {left}.")


def test_equal_sentences_become_one_problem_in_the_order_of_the_first():
    found = InvalidArchive(
        [
            Problem("not_hdf5", "mask_1.h5", "Text."),
            Problem("missing_file", "mask_9.h5", "Text."),
            *(Problem("not_hdf5", f"mask_{i}.h5", "Text.") for i in range(2, 246)),
        ]
    ).problems
    assert [(p.code, p.file, p.count) for p in found] == [
        ("not_hdf5", "mask_1.h5", 245),
        ("missing_file", "mask_9.h5", 1),
    ]
    assert len(found[0].files) == problems.MOST_NAMED
    assert found[0].heading == "not_hdf5 in 245 files: mask_1.h5, mask_2.h5, mask_3.h5 …"
    assert str(found[0]) == "245 files (mask_1.h5, mask_2.h5, mask_3.h5 …): Text."
    assert problems.from_dicts([p.as_dict() for p in found]) == found


def test_problems_stored_before_they_were_grouped_are_grouped_when_they_are_read():
    stored = [{"code": "not_hdf5", "file": f"mask_{i}.h5", "message": "Text."} for i in (1, 2)]
    (problem,) = problems.from_dicts(stored)
    assert (problem.count, problem.files) == (2, ("mask_1.h5", "mask_2.h5"))
    assert problems.from_dicts(None) == []


def test_sentences_for_the_server():
    for made in (
        problems.too_large(100, 50),
        problems.empty_file(),
        problems.unreadable("mask_1.h5"),
        problems.evaluation_crashed(),
        problems.internal_error(),
    ):
        assert made.code in CODES
        assert made.message.endswith(".")


def test_importing_the_package_is_light():
    import subprocess
    import sys

    program = "import sys, evaluation; print(evaluation.__version__, *[m for m in ('numpy', 'h5py') if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOM.parent, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [evaluation.__version__]
