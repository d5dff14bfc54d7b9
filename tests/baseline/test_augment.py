import numpy as np
import pytest

torch = pytest.importorskip("torch")

from baseline.data.dice import Dice, derived_seed  # noqa: E402
from baseline.training import augment, losses  # noqa: E402


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(64, 14, 6, 6, generator=generator)
    labels = (images[:, 0] > 0).to(torch.uint8)
    return images, labels


def test_orientations_are_the_eight_and_labels_follow(batch):
    images, labels = batch
    turned, turned_labels = augment.flips_and_turns(images, labels, Dice(1, 0, 64))
    assert torch.equal(turned_labels, (turned[:, 0] > 0).to(torch.uint8))
    seen = set()
    for before, after in zip(images, turned, strict=True):
        candidates = [np.rot90(before, k, (1, 2)) for k in range(4)]
        candidates += [np.flip(c, 2) for c in candidates]
        seen.add(next(i for i, c in enumerate(candidates) if np.array_equal(c, after)))
    assert seen == set(range(8))


def test_orientation_does_not_change_the_given_batch(batch):
    images, labels = batch
    before = images.clone()
    augment.flips_and_turns(images, labels, Dice(1, 0, 64))
    assert torch.equal(images, before)


def test_colours_change_spectral_bands_only_and_within_bounds(batch):
    images, _ = batch
    changed = augment.perturb_colours(images, Dice(2, 0, 64), gain=0.2, offset=0.3)
    assert torch.equal(changed[:, 12:], images[:, 12:])
    difference = (changed - images)[:, :12].abs()
    assert (difference <= 0.2 * images[:, :12].abs() + 0.3 + 1e-6).all()
    assert (difference.flatten(2).amax(2) > 0).all()  # every band of every patch, each by its own amount
    offsets = augment.perturb_colours(torch.zeros(64, 14, 1, 1), Dice(2, 0, 64))[:, :12].flatten()
    assert len(offsets.unique()) == 64 * 12


def test_scale_up_keeps_the_field_of_view():
    ramp = torch.linspace(0, 1, 128).expand(1, 1, 128, 128)
    large = augment.scale_up(ramp, 512)
    assert large.shape == (1, 1, 512, 512)
    shrunk = torch.nn.functional.avg_pool2d(large, 4)  # every pixel is in its place again
    torch.testing.assert_close(shrunk[..., 2:-2], ramp[..., 2:-2], atol=1e-4, rtol=0)
    assert augment.scale_up(ramp, 128) is ramp


def test_mix_up_mixes_images_and_losses_alike(batch):
    images, labels = batch
    mixed = augment.MixUp(images, labels, 0.3)
    torch.testing.assert_close(mixed.images[3], 0.3 * images[3] + 0.7 * images[2])
    logits = torch.randn(64, 2, 6, 6)
    expected = 0.3 * losses.cross_entropy(logits, labels)
    expected += 0.7 * losses.cross_entropy(logits, labels.roll(1, 0))
    torch.testing.assert_close(mixed.loss(losses.cross_entropy, logits), expected)
    alone = augment.MixUp(images, labels, 1)
    assert alone.images is images
    assert torch.equal(alone.loss(losses.cross_entropy, logits), losses.cross_entropy(logits, labels))


def test_processes_draw_the_same_for_a_patch():
    whole, second = Dice(9, 3, 8), Dice(9, 3, 8, slice(4, 8))
    assert (len(whole), len(second)) == (8, 4)
    assert np.array_equal(whole.integers(100)[4:], second.integers(100))
    assert np.array_equal(whole.uniform(0, 1, 3)[4:], second.uniform(0, 1, 3))
    assert whole.beta(2, 2) == second.beta(2, 2)
    assert np.array_equal(whole.patches(50)[4:], second.patches(50))


def test_an_epoch_visits_every_patch_once_in_its_own_order():
    drawn = np.concatenate([Dice(0, step, 4).patches(10) for step in range(5)])
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert not np.array_equal(drawn[:10], drawn[10:])
    assert not np.array_equal(Dice(0, 0, 10).patches(10), Dice(0, 0, 10).patches(10, "target"))


def test_seeds_are_fixed_and_differ():
    pinned = 6923901444616324292  # a run made elsewhere can be repeated
    assert derived_seed(0, "unet", 1) == pinned
    assert derived_seed(0, "unet", 2) != pinned
