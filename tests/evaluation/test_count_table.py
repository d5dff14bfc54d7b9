import numpy as np
import pytest

from evaluation.statistics.table import CountTable


def table(tp, fp, fn, site=None):
    tp, fp, fn = (np.atleast_2d(np.array(x)) for x in (tp, fp, fn))
    return CountTable(
        tuple(f"t{k}" for k in range(len(tp))), tuple(f"p{i}" for i in range(tp.shape[1])), tp, fp, fn, site
    )


def test_pooled_f1_and_its_parts_by_hand():
    t = table([[3, 0], [4, 0]], [[1, 2], [0, 0]], [[1, 0], [0, 0]])
    assert t.f1().tolist() == [6 / 10, 1.0]
    assert t.positives.tolist() == [4, 0]
    assert t.predicted.tolist() == [[4, 2], [4, 0]]


def test_summed_by_site():
    t = table([[1, 2, 3]], [[0, 1, 0]], [[4, 0, 0]], site=("b", "a", "b"))
    s = t.by_site()
    assert s.patches == ("a", "b")
    assert s.clustered
    assert (s.tp.tolist(), s.fp.tolist(), s.fn.tolist()) == ([[2, 4]], [[1, 0]], [[0, 4]])
    assert s.f1() == t.f1()
    with pytest.raises(ValueError, match="no sites"):
        table([[1]], [[0]], [[0]]).by_site()


def test_other_labels_are_named():
    with pytest.raises(
        ValueError, match=r"patch p1: TP \+ FN is 2 for team t0 but 3 for team t1.*same labels"
    ):
        table([[1, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 1], [0, 2]])


@pytest.mark.parametrize(
    ("tp", "fp", "fn", "words"),
    [
        ([[0]], [[1]], [[0]], "no positive pixel"),
        ([[1]], [[-1]], [[0]], "negative"),
        ([[1.5]], [[1]], [[0]], "whole numbers"),
        ([[1, 2]], [[1]], [[0]], "shape"),
    ],
)
def test_refusals(tp, fp, fn, words):
    with pytest.raises(ValueError, match=words):
        table(tp, fp, fn)


def test_digest_depends_on_counts_and_names():
    base = table([[1, 2]], [[0, 0]], [[0, 0]])
    assert base.digest() == table([[1, 2]], [[0, 0]], [[0, 0]]).digest()
    assert base.digest() != table([[1, 2]], [[0, 1]], [[0, 0]]).digest()
    assert base.digest() != table([[1, 2]], [[0, 0]], [[0, 0]], site=("a", "b")).digest()


def test_take_keeps_the_order_asked_for():
    t = table([[1], [2]], [[0], [0]], [[1], [0]]).take([1, 0])
    assert t.teams == ("t1", "t0")
    assert t.tp.tolist() == [[2], [1]]
