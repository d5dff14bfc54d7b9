"""Each loss against hand-worked values, an independent computation in numpy, and numeric gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from functools import partial  # noqa: E402

from baseline.training import losses  # noqa: E402

LOSSES = {
    "cross_entropy": losses.cross_entropy,
    "weighted_cross_entropy": partial(losses.weighted_cross_entropy, weights=torch.tensor([1.0, 7.0])),
    "focal": losses.focal,
    "focal_fractional": partial(losses.focal, gamma=1.5),
    "soft_cross_entropy": losses.soft_cross_entropy,
    "ohem_cross_entropy": losses.ohem_cross_entropy,
    "soft_jaccard": losses.soft_jaccard,
    "lovasz_softmax": losses.lovasz_softmax,
}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 2, 4, 5, generator=generator, dtype=torch.float64) * 2
    labels = (torch.rand(2, 4, 5, generator=generator) < 0.3).to(torch.uint8)
    labels[0, 0, :3] = 255
    return logits, labels


def counted(logits, labels):
    """Softmax probabilities (P, 2) and labels (P,) of the pixels that count, computed in numpy."""
    keep = labels.numpy() != 255
    scores = np.moveaxis(logits.detach().numpy(), 1, -1)[keep]
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(1, keepdims=True), labels.numpy()[keep], scores


def jaccard_loss_of_mispredicted(mispredicted, members):
    """1 − |members without mispredicted| / |members or mispredicted|: the set function behind the Lovász losses."""
    return 1 - len(members - mispredicted) / len(members | mispredicted)


def lovasz_by_definition(errors, members):
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    members = {i for i, y in enumerate(members) if y}
    total, before = 0.0, 0.0
    for k in range(len(order)):
        now = jaccard_loss_of_mispredicted(set(order[: k + 1]), members)
        total += errors[order[k]] * (now - before)
        before = now
    return total


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_numeric_one(name, batch):
    logits, labels = batch
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, labels), logits.clone().requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_do_not_matter(name, batch):
    logits, labels = batch
    other = logits.clone().requires_grad_()
    with torch.no_grad():
        other[0, :, 0, :3] += 5
    loss = LOSSES[name](other, labels)
    loss.backward()
    assert torch.equal(loss.detach(), LOSSES[name](logits, labels))
    assert other.grad[0, :, 0, :3].abs().max() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_counted_is_zero_with_zero_gradient(name):
    logits = torch.randn(1, 2, 3, 3).requires_grad_()
    loss = LOSSES[name](logits, torch.full((1, 3, 3), 255, dtype=torch.uint8))
    loss.backward()
    assert loss == 0
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_logits_are_widened(name, batch):
    logits, labels = batch
    narrow = logits.to(torch.bfloat16)
    loss = LOSSES[name](narrow, labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, LOSSES[name](narrow.float(), labels))


def test_cross_entropy_and_its_weights(batch):
    p, y, _ = counted(*batch)
    losses_of_pixels = -np.log(p[np.arange(len(y)), y])
    assert losses.cross_entropy(*batch).item() == pytest.approx(losses_of_pixels.mean())
    weights = np.where(y == 1, 7.0, 1.0)
    expected = (losses_of_pixels * weights).sum() / weights.sum()
    assert LOSSES["weighted_cross_entropy"](*batch).item() == pytest.approx(expected)
    per_image = torch.tensor([[1.0, 7.0], [1.0, 7.0]])
    assert losses.weighted_cross_entropy(*batch, weights=per_image).item() == pytest.approx(expected)


def test_balancing_weights_by_hand():
    labels = torch.tensor([[[0, 0, 0, 1]], [[0, 0, 0, 255]], [[0, 1, 1, 1]]], dtype=torch.uint8)
    assert losses.balancing_weights(labels).tolist() == [1, 1.75]  # 7 background pixels, 4 landslide pixels
    per_image = losses.balancing_weights(labels, per_image=True, cap=2.5)
    assert per_image[:, 0].tolist() == [1, 1, 1]
    assert per_image[:, 1].tolist() == pytest.approx([2.5, 1, 1 / 3])


def test_balanced_classes_weigh_the_same(batch):
    logits, labels = batch
    p, y, _ = counted(logits, labels)
    balanced = losses.weighted_cross_entropy(logits, labels, losses.balancing_weights(labels, cap=1e9))
    halves = [-np.log(p[y == c, c]).mean() for c in (0, 1)]
    assert balanced.item() == pytest.approx(np.mean(halves), rel=1e-6)


def test_focal(batch):
    p, y, _ = counted(*batch)
    hit = p[np.arange(len(y)), y]
    assert losses.focal(*batch).item() == pytest.approx((-((1 - hit) ** 2) * np.log(hit)).mean())
    expected = (-((1 - hit) ** 1.5) * np.log(hit)).mean()
    assert LOSSES["focal_fractional"](*batch).item() == pytest.approx(expected)
    assert losses.focal(*batch, gamma=0).item() == pytest.approx(losses.cross_entropy(*batch).item())


def test_focal_gradient_stays_finite_for_certain_pixels():
    logits = torch.tensor([-200.0, 200.0]).view(1, 2, 1, 1).requires_grad_()
    losses.focal(logits, torch.ones(1, 1, 1, dtype=torch.uint8), gamma=0.5).backward()
    assert torch.isfinite(logits.grad).all()


def test_soft_cross_entropy(batch):
    p, y, _ = counted(*batch)
    target = np.where(np.arange(2) == y[:, None], 0.95, 0.05)
    expected = -(target * np.log(p)).sum(1).mean()
    assert losses.soft_cross_entropy(*batch, smoothing=0.1).item() == pytest.approx(expected)


def test_ohem_keeps_the_hardest(batch):
    p, y, _ = counted(*batch)
    hardest = np.sort(-np.log(p[np.arange(len(y)), y]))[::-1]
    assert losses.ohem_cross_entropy(*batch, keep=0.2).item() == pytest.approx(
        hardest[: round(0.2 * len(y))].mean()
    )
    assert losses.ohem_cross_entropy(*batch, keep=1.0).item() == pytest.approx(hardest.mean())
    assert losses.ohem_cross_entropy(*batch, keep=0.0).item() == pytest.approx(hardest[0])


def test_soft_jaccard(batch):
    p, y, _ = counted(*batch)
    shared = (p[:, 1] * y).sum()
    expected = 1 - (shared + 1) / ((p[:, 1] + y - p[:, 1] * y).sum() + 1)
    assert losses.soft_jaccard(*batch).item() == pytest.approx(expected)


def test_lovasz_by_the_definition_of_the_extension(batch):
    p, y, _ = counted(*batch)
    softmax = np.mean([lovasz_by_definition(np.abs((y == c) - p[:, c]), y == c) for c in (0, 1)])
    assert losses.lovasz_softmax(*batch).item() == pytest.approx(softmax)


def test_lovasz_equals_the_jaccard_loss_at_certain_predictions():
    labels = torch.tensor([[[1, 1, 1, 0, 0, 0]]], dtype=torch.uint8)
    certain = torch.tensor([1.0, 1, 0, 1, 0, 0]) * 400 - 200  # two hits, one miss, one false alarm
    logits = torch.stack([torch.zeros(6), certain]).view(1, 2, 1, 6)
    background, landslide = 1 - 2 / 4, 1 - 2 / 4
    assert losses.lovasz_softmax(logits, labels).item() == pytest.approx((background + landslide) / 2)


def test_image_level_by_hand():
    labels = torch.zeros(3, 2, 2, dtype=torch.uint8)
    labels[0, 0, 0] = 1
    labels[1] = 255
    scores = torch.tensor([0.0, 2.0, -1.0], dtype=torch.float64).requires_grad_()
    yes = np.log(2.0)
    no = [np.log1p(np.exp(s)) for s in (2.0, -1.0)]
    assert losses.image_level(scores, labels).item() == pytest.approx((yes + sum(no)) / 3)
    assert losses.image_level(scores, labels, two_sided=False).item() == pytest.approx(yes / 3)
    assert torch.autograd.gradcheck(lambda s: losses.image_level(s, labels), scores)
