import io

import numpy as np
import pytest

from evaluation.statistics.count_files import CountFileError, read_counts
from tests.evaluation.population import made_up_counts, write_counts

GOOD = "team,patch,tp,fp,fn\na,1,3,1,1\na,2,0,2,0\nb,1,4,0,0\nb,2,0,0,0\n"


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "counts.csv"
    path.write_bytes(text.encode(encoding))
    return read_counts(path)


def test_reads_what_it_should(tmp_path):
    table = read(tmp_path, GOOD)
    assert (table.teams, table.patches, table.site) == (("a", "b"), ("1", "2"), None)
    assert table.tp.tolist() == [[3, 0], [4, 0]]
    assert table.fp.tolist() == [[1, 2], [0, 0]]
    assert table.fn.tolist() == [[1, 0], [0, 0]]


def test_any_order_of_rows_and_columns_a_mark_of_spreadsheets_and_blank_lines(tmp_path):
    text = (
        "\ufeffFN, TP,Patch,Site,FP,Team\r\n0,4,2,x,0,b\r\n\r\n1,1,1,y,0,a\r\n2,0,1,y,7,b\r\n1,3,2,x,0,a\r\n"
    )
    table = read(tmp_path, text)
    assert (table.teams, table.patches, table.site) == (("b", "a"), ("2", "1"), ("x", "y"))
    assert table.tp.tolist() == [[4, 0], [3, 1]]
    assert table.fp.tolist() == [[0, 7], [0, 0]]


def test_an_empty_site_column_is_none(tmp_path):
    assert read(tmp_path, "team,patch,tp,fp,fn,site\na,1,1,0,0,\n").site is None


def test_written_and_read_again(tmp_path, rng):
    for sites in (0, 3):
        table = made_up_counts(rng, 20, 3, sites=sites)
        file = io.StringIO()
        write_counts(table, file)
        again = read(tmp_path, file.getvalue())
        assert again.digest() == table.digest()
        assert np.array_equal(again.fn, table.fn)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", ["line 1: no column team, patch, tp, fp, fn"]),
        ("team;patch;tp;fp;fn\na;1;1;1;1\n", ["is the separator a comma?"]),
        ("team,patch,tp,fn\n", ["line 1: no column fp; needed are team, patch, tp, fp, fn"]),
        ("team,patch,tp,fp,fn\n", ["line 2: no counts"]),
        (GOOD + "b,3,1\n", ["line 6: 3 cells, but the header has 5 columns"]),
        (GOOD.replace("b,1,4", "b,1,4.0"), ["line 4: tp is '4.0', not a whole number"]),
        (GOOD.replace("b,1,4", "b,1,-4"), ["line 4: tp is '-4'"]),
        (GOOD.replace("b,1,4", "b,1,"), ["line 4: tp is ''"]),
        (GOOD.replace("b,1,4", "b,1,²"), ["line 4: tp is '²'"]),
        (GOOD.replace("b,1,4", f"b,1,{10**11}"), ["line 4: tp is '100000000000'"]),
        (GOOD.replace("b,2", ",2"), ["line 5: the team is empty"]),
        (GOOD + "a,2,0,2,0\n", ["line 6: team a, patch 2 was given on line 3 already"]),
        (GOOD.replace("b,2,0,0,0\n", ""), ["team b: no counts for patch 2; every team needs every patch"]),
        (
            GOOD.replace("b,1,4,0,0", "b,1,4,0,9"),
            ["line 4: patch 1 has TP + FN = 13 for team b, but 4 for team a on line 2; all teams must"],
        ),
        ("team,patch,tp,fp,fn\na,1,0,5,0\n", ["no positive pixel"]),
        (
            "team,patch,tp,fp,fn,site\na,1,1,0,0,x\na,2,1,0,0,\nb,1,1,0,0,y\nb,2,1,0,0,\n",
            ["line 4: patch 1 is in site y, but on line 2 in x"],
        ),
        (
            "team,patch,tp,fp,fn,site\na,1,1,0,0,x\na,2,1,0,0,\n",
            ["patch 2: no site, but other patches have one"],
        ),
        ('team,patch,tp,fp,fn\n"a,1,0,5,0\n', ["line 2: "]),
        (GOOD.replace("4,0,0", "x,y,z").replace("3,1,1", ",,"), ["line 2: tp", "line 2: fn", "line 4: fp"]),
    ],
)
def test_problems_name_the_line(tmp_path, text, sentences):
    with pytest.raises(CountFileError) as error:
        read(tmp_path, text)
    for sentence in sentences:
        assert sentence in str(error.value)


def test_problems_are_capped(tmp_path):
    with pytest.raises(CountFileError) as error:
        read(tmp_path, "team,patch,tp,fp,fn\n" + "".join(f"a,{i},x,0,0\n" for i in range(50)))
    assert len(error.value.problems) == 20
    assert str(error.value).endswith("and 30 more problems")


def test_other_encodings_are_refused(tmp_path):
    with pytest.raises(CountFileError, match="byte 20 is not UTF-8"):
        read(tmp_path, "team,patch,tp,fp,fn\nä,1,1,0,0\n", "latin-1")
