"""Sites as CSV: read back as written; every problem with its line."""

import io

import pytest

from evaluation.trust.site_files import (
    MOST_BYTES,
    MOST_PROBLEMS,
    SiteFileError,
    read_site_file,
    read_sites,
    write_sites,
)


def test_what_was_written_is_read_back() -> None:
    sites = ("Kodagu", "Iburi, east", "Kodagu")
    assert read_sites(write_sites(sites), 3) == sites


def test_order_blanks_and_a_byte_order_mark_do_not_matter() -> None:
    assert read_sites("\ufeffsite , patch\n b  c ,2\n a,1\n", 2) == ("a", "b c")
    assert read_sites("patch,site,tile\n1,a,7\n2,b,8\n", 2) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("patch;site\n1;a\n", ["line 1: the columns are patch;site; write CSV with the columns patch,site"]),
        ("", ["line 1: the columns are none; write CSV with the columns patch,site"]),
        ("patch,site\n1,a\n", ["patch 2: no site; name one for each of 1 to 2"]),
        (
            "patch,site\n0,a\n1,\n1,a\n1,b\nx,c\n3,d\n1\n",
            [
                "line 2: patch 0 does not exist; patches are numbered 1 to 2",
                "line 3: the site of patch 1 has 0 characters; 1 to 80 are taken",
                "line 5: patch 1 has a site already, a",
                "line 6: patch x does not exist; patches are numbered 1 to 2",
                "line 7: patch 3 does not exist; patches are numbered 1 to 2",
                "line 8: patch 1 has a site already, a",
            ],
        ),
    ],
)
def test_every_problem_is_named(text: str, problems: list[str]) -> None:
    with pytest.raises(SiteFileError) as caught:
        read_sites(text, 2)
    assert caught.value.problems == problems


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"patch,site\n1," + b"a" * 200_000, "this is not CSV: field larger than field limit"),
        (b"patch,site\n1,a\rb\x00\n", "line 2|not CSV"),
        (bytes(MOST_BYTES + 1), "more than 1,048,576 bytes"),
        (b"patch,site\n1,\xff\n", "not UTF-8 text"),
        (b"," * 600_000 + b"\n", "line 1: the columns are"),
    ],
    ids=["cell", "line end", "file", "bytes", "columns"],
)
def test_what_no_reader_of_csv_takes_is_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(SiteFileError, match=sentence) as caught:
        read_site_file(io.BytesIO(content), 2)
    assert len(str(caught.value)) < 1000


def test_problems_are_bounded() -> None:
    with pytest.raises(SiteFileError) as caught:
        read_site_file(io.BytesIO(b"patch,site\n" + b"9,a\n" * 200_000), 2)
    assert len(caught.value.problems) == MOST_PROBLEMS


def test_an_open_file_is_read_as_its_text() -> None:
    assert read_site_file(io.BytesIO("\ufeffpatch,site\n1,ä\n".encode()), 1) == ("ä",)
