"""What is Landslide4Sense's own stands in evaluation/task.py alone."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from evaluation.task import TASK

ROOT = Path(__file__).resolve().parents[2]
OWN = re.compile(
    r"(mask|image)_(1|N|\{\w+\}|\{\{.*?\}\})\.h5"  # names of files
    r'|\["(img|mask)"\]|create_dataset\(\s*"(img|mask)"'  # names of datasets
    r"|\b14 bands|\bno landslide\b|(RGB|RED_GREEN_BLUE) = \("  # classes and bands
)
SOURCES = (("evaluation", "*.py"), ("leaderboard", "*.py"), ("templates", "*.html"), ("baseline", "*.py"))
SEARCHED = [
    path
    for folder, kind in SOURCES
    for path in (ROOT / folder).rglob(kind)
    if path != ROOT / "evaluation/task.py" and "migrations" not in path.parts
]


def test_nothing_of_the_task_is_written_anywhere_else():
    found = []
    for path in SEARCHED:
        text = path.read_text()
        if path.suffix == ".py":  # docstrings and comments may give examples
            text = re.sub(r'"{3}.*?"{3}', "", text, flags=re.DOTALL)
            text = re.sub(r"(^|  )# .*", "", text, flags=re.MULTILINE)
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in OWN.finditer(text)]
    assert found == []
    assert len(SEARCHED) > 200


@pytest.mark.parametrize(
    "text", ["mask_1.h5", "mask_{n}.h5", "image_N.h5", '["mask"]', 'create_dataset("img"', "14 bands"]
)
def test_a_copy_would_be_found(text):
    assert OWN.search(text)


def test_the_red_green_and_blue_bands_are_those_of_sentinel_2():
    assert [TASK.bands[band] for band in TASK.rgb] == ["B4", "B3", "B2"]


def test_another_task_is_one_description(tmp_path):
    """Other names and classes: what is written is read, and problems are named in the task's own words."""
    program = """
        import io, zipfile
        from dataclasses import replace
        import h5py
        import numpy as np
        import evaluation.task as task
        task.TASK = replace(task.TASK, mask_stem="fire-", mask_dataset="burnt", extension=".hdf5",
                            classes=("unburnt", "burnt area"))
        from evaluation.archive import mask_zip
        from evaluation.archive.problems import InvalidArchive
        from evaluation.scoring import labels

        masks = np.eye(16, dtype=np.uint8)[None].repeat(3, 0)
        mask_zip.write("good.zip", masks)
        print(*zipfile.ZipFile("good.zip").namelist())
        print(labels.load("good.zip")[1])
        with zipfile.ZipFile("bad.zip", "w") as archive:
            for number, name, value in ((1, "burnt", 7), (2, "mask", 1)):
                content = io.BytesIO()
                with h5py.File(content, "w") as file:
                    file[name] = masks[0] * value
                archive.writestr(f"fire-{number}.hdf5", content.getvalue())
            archive.writestr("fire-003.hdf5", b"")
        try:
            mask_zip.read(open("bad.zip", "rb").read(), task.MaskSpec(3, 16, 16))
        except InvalidArchive as invalid:
            print(invalid)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    names, spec, *problems = done.stdout.splitlines()
    assert names == "fire-1.hdf5 fire-2.hdf5 fire-3.hdf5"
    assert spec == "MaskSpec(patches=3, height=16, width=16)"
    text = "\n".join(problems)
    for part in (
        "Rename fire-003.hdf5 to fire-3.hdf5",
        "fire-3.hdf5: Missing: the archive holds 2 of 3 masks",
        "fire-1.hdf5: The mask holds the value 7, expected 0 (unburnt) and 1 (burnt area)",
        "fire-2.hdf5: There is no dataset named burnt, only mask",
    ):
        assert part in text
