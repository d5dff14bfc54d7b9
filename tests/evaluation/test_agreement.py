import numpy as np
from sklearn.metrics import jaccard_score

from evaluation.report.agreement import agreement, majority_vote, pixel_oracle
from evaluation.scoring.counts import count, pack


def bits(masks):
    return np.unpackbits(masks, axis=1).astype(bool)


def test_by_hand():
    # Label 1100 0000; a 1010 0000: wrong on pixels 2 and 3; b 0110 0000: wrong on 1 and 3.
    label, a, b = (np.array([[row]], np.uint8) for row in (0b11000000, 0b10100000, 0b01100000))
    got = agreement([a, b], label)
    assert got.masks[0, 1] == 1 / 3
    assert got.errors[0, 1] == 1 / 3
    assert np.diag(got.masks).tolist() == [1, 1]
    assert pixel_oracle([a, b], label)[0, 0] == 0b11100000
    assert majority_vote([a, b])[0, 0] == 0b00100000  # a draw is not enough
    assert majority_vote([a, b, label])[0, 0] == 0b11100000


def test_agrees_with_sklearn_and_plain_booleans(rng):
    for shape in ((37, 16, 16), (5, 8, 4)):  # rows of whole 64-bit words, and not
        label = rng.random(shape) < 0.1
        masks = [
            (label ^ (rng.random(shape) < p)) & (rng.random(shape) < 0.9) for p in (0.02, 0.05, 0.3, 0.0)
        ]
        packed, truth = [pack(mask) for mask in masks], pack(label)
        got = agreement(packed, truth)
        for k in range(4):
            for m in range(4):
                assert got.masks[k, m] == jaccard_score(masks[k].ravel(), masks[m].ravel(), zero_division=1)
                wrong = [(masks[i] ^ label).ravel() for i in (k, m)]
                assert got.errors[k, m] == jaccard_score(*wrong, zero_division=1)
        right = np.any([mask == label for mask in masks], axis=0)
        np.testing.assert_array_equal(
            bits(pixel_oracle(packed, truth)), np.where(right, label, ~label).reshape(len(label), -1)
        )
        votes = np.sum(masks, axis=0) * 2 > 4
        np.testing.assert_array_equal(bits(majority_vote(packed)), votes.reshape(len(label), -1))
        assert np.array_equal(agreement(np.stack(packed), truth).errors, got.errors)


def test_perfect_and_empty_teams(rng):
    truth = pack(rng.random((3, 8, 8)) < 0.3)
    empty = np.zeros_like(truth)
    got = agreement([truth, truth, empty, empty], truth)
    assert got.errors[0, 1] == 1  # neither is ever wrong
    assert got.masks[2, 3] == 1
    assert got.errors[0, 2] == got.masks[0, 2] == 0


def test_the_oracle_is_at_least_as_good_as_anyone(rng):
    label = rng.random((10, 16, 16)) < 0.1
    truth = pack(label)
    masks = [pack(label ^ (rng.random(label.shape) < 0.1)) for _ in range(5)]
    oracle = count(pixel_oracle(masks, truth), truth)
    for mask in masks:
        alone = count(mask, truth)
        assert (oracle.tp >= alone.tp).all()
        assert (oracle.fp <= alone.fp).all()
