"""The check in the browser against the server's own, over the corpus of archives; and the page around it."""

import base64
import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.archive import mask_zip
from evaluation.archive.browser_rules import spec_rules
from evaluation.archive.problems import InvalidArchive
from evaluation.task import MaskSpec
from tests.browser.screenshots import VARIANTS, violations
from tests.browser.test_main_job import sign_in, submit
from tests.evaluation import corpus, fuzz
from tests.evaluation.zips import Entry, build
from tests.leaderboard.factories import (
    TINY,
    Cast,
    make_archive,
    make_cast,
    make_labels,
    make_masks,
    make_phase,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AT_ONCE = 8
RUN = """([texts, spec]) => Promise.all(texts.map((text) => {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return runCheck(new File([bytes], "masks.zip"), spec);
}))"""
# What the page does not read, of the corpus: it says so and leaves it to the server.
UNREAD = {
    *(f"libver {version}, gzip" for version in ("latest", "v110", "v112", "v114", "v200")),
    "HDF5: external link",
    "HDF5: external link, relative",
    "HDF5: soft link to a dataset",  # beside an external link
    "HDF5: soft link to an external link",
    "HDF5: no deflate stream",
    "HDF5: cut deflate stream",
}


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def submit_page(page: Any, cast: Cast) -> Any:
    sign_in(page, "owner")
    page.goto(f"/c/{cast.competition.slug}/submit/")
    return page


def check(page: Any, archives: list[bytes], spec: MaskSpec = corpus.SPEC) -> list[dict[str, Any]]:
    """What the page finds in each archive."""
    found: list[dict[str, Any]] = []
    for i in range(0, len(archives), AT_ONCE):
        texts = [base64.b64encode(data).decode() for data in archives[i : i + AT_ONCE]]
        found += page.evaluate(RUN, [texts, spec_rules(spec)])
    return found


def server_problems(data: bytes, spec: MaskSpec = corpus.SPEC) -> list[dict[str, Any]]:
    try:
        mask_zip.read(data, spec)
    except InvalidArchive as invalid:
        return [problem.as_dict() for problem in invalid.problems]
    return []


def choose(page: Any, name: str, data: bytes) -> None:
    """Choose a file and wait for the end of its check."""
    page.get_by_label("Archive", exact=True).set_input_files(
        {"name": name, "mimeType": "application/zip", "buffer": data}
    )
    page.wait_for_selector("[data-check-panel]:not([data-state=running])")


def rows(page: Any) -> dict[str, str]:
    """The state of each row of the panel."""
    states: dict[str, str] = page.eval_on_selector_all(
        "[data-check]",
        "rows => Object.fromEntries(rows.map((row) => [row.dataset.check, row.dataset.state]))",
    )
    return states


def rezipped(change: Callable[[str, bytes], tuple[str, bytes] | None]) -> bytes:
    """The right archive with every entry changed, or left out."""
    made = BytesIO()
    with zipfile.ZipFile(BytesIO(make_archive())) as source, zipfile.ZipFile(made, "w") as target:
        for name in source.namelist():
            if (kept := change(name, source.read(name))) is not None:
                target.writestr(*kept)
    return made.getvalue()


def test_both_checkers_say_the_same_about_every_archive(submit_page: Any, tmp_path: Path) -> None:
    label = tmp_path / "label.h5"
    label.write_bytes(corpus.mask_file(corpus.MASKS[0]))
    os.mkfifo(tmp_path / "pipe")
    cases = [*corpus.valid(), *corpus.hostile(label)]
    found = check(submit_page, [case.data for case in cases])
    unread = set()
    for case, said in zip(cases, found, strict=True):
        expected = server_problems(case.data)
        if said["unchecked"]:
            unread.add(case.name)
            assert all(problem in expected for problem in said["problems"]), case.name
        else:
            assert said["problems"] == expected, case.name
    assert unread <= UNREAD
    assert len(cases) > 250


def test_a_damaged_archive_is_never_called_good_nor_a_good_one_bad(submit_page: Any) -> None:
    """Mutants of small archives: where the page is sure, the server agrees that there is a problem, or that there is none."""
    archives = list(fuzz.mutants(3, 0, 400))
    sure = 0
    for number, said in enumerate(check(submit_page, archives, fuzz.SPEC)):
        is_good = not server_problems(archives[number], fuzz.SPEC)
        if said["problems"]:
            assert not is_good, number
        elif not said["unchecked"]:
            assert is_good, number
        sure += not said["unchecked"]
    assert sure > 200


def test_names_of_all_kinds_at_once_and_a_capped_list(submit_page: Any) -> None:
    """Many kinds of wrong names in one archive, and more kinds of problems than are listed."""
    content = corpus.mask_file(corpus.MASKS[0])
    mixed = [
        b"mask_%03d.h5",
        b"Mask_%d.h5",
        b"pred/mask_%d.h5",
        b"x%d_v2.png",
        b"image_%d.h5",
        b"\xc3\xa9%d.h5",
    ]
    names = [pattern % i for pattern in mixed for i in range(4)]
    wild = [
        b"a.zip",
        b"\xf0\x9f\x8e\x89.h5",
        b"\xef\xbc\x92.hdf5",
        b"notes",
        b"a/",
        b"deep/b/",
        b"../x",
        b"x.H5.h5",
    ]
    shapes = [corpus.dataset(np.zeros((i + 1, 3), np.uint8)) for i in range(40)]
    many = build([Entry(b"mask_%d.h5" % (i + 1), shape) for i, shape in enumerate(shapes)])
    archives = [
        build([Entry(name, content) for name in [*names, *wild]]),
        build([Entry(name, content) for name in wild]),
        build([Entry(b"d%d/%s" % (i % 3, name), content) for i, name in enumerate(names)]),
        many,
    ]
    for data, said in zip(archives, check(submit_page, archives), strict=True):
        assert said["problems"] == server_problems(data)
        assert said["unchecked"] == []


def test_a_good_archive_is_ticked_before_anything_is_sent(submit_page: Any) -> None:
    requests: list[str] = []
    submit_page.on("request", lambda request: requests.append(request.method))
    submit_page.evaluate("addEventListener('archive:checked', (event) => { window.verdict = event.detail; })")
    choose(submit_page, "masks.zip", make_archive())
    assert rows(submit_page) == dict.fromkeys(("zip", "flat", "names", "masks"), "good")
    panel = submit_page.locator("[data-check-panel]").inner_text()
    assert "3 of 3" in panel
    assert "No problem found in 3 masks." in panel
    assert set(requests) == {"GET"}
    verdict = submit_page.evaluate("window.verdict")
    assert (verdict["problems"], verdict["unchecked"], verdict["read"]) == ([], [], 3)


def test_each_fault_is_named_and_the_button_stays(submit_page: Any) -> None:
    def spoil(name: str, content: bytes) -> tuple[str, bytes] | None:
        if name == "mask_2.h5":
            return None
        return name, b"no HDF5" if name == "mask_3.h5" else content

    choose(submit_page, "masks.zip", rezipped(spoil))
    assert rows(submit_page) == {"zip": "good", "flat": "good", "names": "bad", "masks": "bad"}
    panel = submit_page.locator("[data-check-panel]").inner_text()
    for words in ("2 of 3, 1 missing", "1 of 2, 1 faulty", "missing_file mask_2.h5", "not_hdf5 mask_3.h5"):
        assert words in panel
    assert submit_page.get_by_role("main").get_by_role("button", name="Submit", exact=True).is_enabled()

    choose(submit_page, "folder.zip", rezipped(lambda name, content: (f"predictions/{name}", content)))
    assert rows(submit_page) == {"zip": "good", "flat": "bad", "names": "good", "masks": "good"}

    choose(submit_page, "text.zip", b"hello")
    assert rows(submit_page) == {"zip": "bad", "flat": "unknown", "names": "unknown", "masks": "unknown"}


def test_the_chosen_phase_says_how_many_masks(page: Any, cast: Cast) -> None:
    labelled = make_phase(cast.competition, slug="large", labels=False)
    make_labels(labelled, make_masks(MaskSpec(5, TINY.height, TINY.width)))
    sign_in(page, "owner")
    page.goto(f"/c/{cast.competition.slug}/submit/")
    choose(page, "masks.zip", make_archive())
    assert rows(page)["names"] == "good"
    page.get_by_text("Large", exact=True).click()
    page.wait_for_selector("[data-check=names][data-state=bad]")
    page.get_by_text("3 of 5, 2 missing").wait_for()


def test_a_file_that_is_dropped_is_checked(submit_page: Any) -> None:
    submit_page.evaluate(
        """(text) => {
            const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], "dropped.zip"));
            const zone = document.querySelector("[data-drop-zone]");
            for (const kind of ["dragenter", "dragover", "drop"]) {
                zone.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
            }
        }""",
        base64.b64encode(make_archive()).decode(),
    )
    submit_page.wait_for_selector("[data-check-panel][data-state=good]")
    assert submit_page.evaluate("document.querySelector('input[type=file]').files[0].name") == "dropped.zip"


# What a browser lacks, and what an archive asks too much of


@pytest.mark.parametrize(
    ("lacks", "reason"),
    [
        ("delete window.Worker", "This browser cannot check archives."),
        (
            "window.Worker = class { constructor() { throw new Error('no') } }",
            "This browser cannot check archives.",
        ),
        (
            "const Old = Worker; window.Worker = function () { return new Old('/nowhere.js'); }",
            "could not be run",
        ),
    ],
)
def test_a_browser_without_workers_says_so_and_still_submits(
    page: Any, cast: Cast, lacks: str, reason: str
) -> None:
    page.add_init_script(lacks)
    sign_in(page, "owner")
    page.goto(f"/c/{cast.competition.slug}/submit/")
    choose(page, "masks.zip", make_archive())
    assert reason in page.locator("[data-check-panel]").inner_text()
    assert set(rows(page).values()) == {"unknown"}
    page.get_by_label("Method").fill("U-Net")
    submit(page)
    page.wait_for_url("**/submissions/*/")


def test_a_worker_that_hangs_is_stopped(page: Any, cast: Cast) -> None:
    page.route(
        "**/check/worker.js", lambda route: route.fulfill(body="for (;;);", content_type="text/javascript")
    )
    page.add_init_script(
        "const later = setTimeout; window.setTimeout = (f, ms) => later(f, ms >= 20000 ? 300 : ms);"
    )
    sign_in(page, "owner")
    page.goto(f"/c/{cast.competition.slug}/submit/")
    choose(page, "masks.zip", make_archive())
    assert "Checking took too long and was stopped." in page.locator("[data-check-panel]").inner_text()


def test_scripts_of_the_worker_that_do_not_load_are_named_at_once(page: Any, cast: Cast) -> None:
    page.context.route("**/check/names.js", lambda route: route.abort())
    sign_in(page, "owner")
    page.goto(f"/c/{cast.competition.slug}/submit/")
    choose(page, "masks.zip", make_archive())
    assert "could not be run" in page.locator("[data-check-panel]").inner_text()


def test_a_file_of_4_gb_and_100_000_entries_end_at_once(submit_page: Any) -> None:
    """Neither is read as a whole: the first by its size, the second by its directory's."""
    large = submit_page.evaluate(
        """async (spec) => {
            const block = new Blob([new Uint8Array(1 << 20)]);
            const file = new File(Array(4200).fill(block), "large.zip");
            const began = performance.now();
            const verdict = await runCheck(file, spec);
            return { ...verdict, size: file.size, ms: performance.now() - began };
        }""",
        spec_rules(corpus.SPEC),
    )
    assert large["size"] > 1 << 32
    assert [problem["code"] for problem in large["problems"]] == ["too_large"]
    assert large["ms"] < 5000

    (many,) = check(
        submit_page, [build([Entry(b"%d" % i, b"", method=0) for i in range(60_000)] * 2, zip64=True)]
    )
    assert [problem["code"] for problem in many["problems"]] == ["too_many_entries"]


def test_without_javascript_the_form_submits(browser: Any, live_server: Any, cast: Cast) -> None:
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, "owner")
    page.goto(f"/c/{cast.competition.slug}/submit/")
    assert not page.locator("[data-check-panel]").is_visible()
    page.get_by_label("Archive", exact=True).set_input_files(
        {"name": "masks.zip", "mimeType": "application/zip", "buffer": make_archive()}
    )
    page.get_by_label("Method").fill("U-Net")
    submit(page)
    page.wait_for_url("**/submissions/*/")
    context.close()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_page_has_no_fault_of_access(browser: Any, live_server: Any, cast: Cast, variant: str) -> None:
    """axe, with the ticks and problems of a bad archive shown; nothing scrolls sideways."""
    context = browser.new_context(base_url=live_server.url, **VARIANTS[variant])
    page = context.new_page()
    sign_in(page, "owner")
    page.goto(f"/c/{cast.competition.slug}/submit/")
    choose(page, "folder.zip", rezipped(lambda name, _: (f"predictions/{name}", b"x")))
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    context.close()
