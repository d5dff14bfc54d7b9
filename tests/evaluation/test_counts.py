"""Packed masks, counts and their stored forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import precision_recall_fscore_support

from evaluation.scoring import counts, labels, metrics
from evaluation.task import MaskSpec

sizes = st.tuples(st.integers(1, 5), st.integers(1, 9), st.sampled_from([8, 16, 24]))
masks = sizes.flatmap(lambda s: hnp.arrays(np.uint8, s, elements=st.integers(0, 1)))


@given(masks)
def test_packing_and_storing_lose_nothing(array):
    spec = MaskSpec(*array.shape)
    packed = counts.pack(array)
    assert packed.shape == spec.packed_shape
    assert (counts.unpack(packed, spec) == array).all()
    assert labels.positive_pixels(packed) == array.sum()
    assert (labels.decompress(labels.compress(packed), spec) == packed).all()


@settings(max_examples=60)
@given(masks, st.randoms(use_true_random=False))
def test_counts_and_metrics_agree_with_scikit_learn(truth, random):
    prediction = np.array(
        [[[random.getrandbits(1) for _ in row] for row in mask] for mask in truth], np.uint8
    )
    result = counts.count(counts.pack(prediction), counts.pack(truth))
    tp, fp, fn = result.total
    p, r, f, _ = precision_recall_fscore_support(
        truth.ravel(), prediction.ravel(), average="binary", zero_division=0
    )
    assert (metrics.precision(tp, fp), metrics.recall(tp, fn)) == pytest.approx((p, r), abs=1e-15)
    assert metrics.f1(tp, fp, fn) == pytest.approx(f, abs=1e-15)
    assert result.tp.tolist() == (prediction & truth).sum(axis=(1, 2)).tolist()
    assert result.fp.tolist() == (prediction & (1 - truth)).sum(axis=(1, 2)).tolist()
    assert result.fn.tolist() == ((1 - prediction) & truth).sum(axis=(1, 2)).tolist()
    assert counts.Counts.from_bytes(result.to_bytes()) == result


def test_counts_of_large_masks_and_of_many_blocks():
    rng = np.random.default_rng(0)
    truth, prediction = (rng.random((150, 512, 512)) < p for p in (0.3, 0.9))
    result = counts.count(counts.pack(prediction), counts.pack(truth))
    assert result.tp.tolist() == (prediction & truth).sum(axis=(1, 2)).tolist()
    assert result.fn.tolist() == (~prediction & truth).sum(axis=(1, 2)).tolist()
    assert counts.Counts.from_bytes(result.to_bytes()) == result
    assert len(result) == 150


def test_sha256_depends_on_pixels_and_size():
    spec = MaskSpec(2, 8, 16)
    packed = counts.pack(np.zeros((2, 8, 16)))
    assert counts.sha256(packed, spec) == labels.sha256(packed.copy(), spec)
    assert counts.sha256(packed, spec) != counts.sha256(packed, MaskSpec(2, 16, 8))
    assert counts.sha256(packed, spec) != counts.sha256(packed | 1, spec)


@pytest.mark.parametrize(
    "bad", [np.full((1, 8, 8), 2), np.zeros((8, 8)), np.full((1, 8, 8), np.nan), np.zeros((1, 3, 3))]
)
def test_pack_refuses_what_is_not_a_mask(bad):
    with pytest.raises(ValueError, match=r"\w"):
        counts.pack(bad)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"abc",
        b"\x02\x05\x00\x00\x00abc",
        b"\x09\x01\x00\x00\x00",
        labels.compress(np.zeros((2, 8), np.uint8)),
    ],
)
def test_stored_forms_refuse_other_bytes(bad):
    with pytest.raises(ValueError, match="not stored"):
        counts.Counts.from_bytes(bad)
    with pytest.raises(ValueError, match="not the stored masks"):
        labels.decompress(bad, MaskSpec(1, 8, 8))


def test_masks_of_different_sets_are_not_compared():
    with pytest.raises(ValueError, match="Cannot compare"):
        counts.count(counts.pack(np.zeros((1, 8, 8))), counts.pack(np.zeros((2, 8, 8))))
