import numpy as np
import pytest

torch = pytest.importorskip("torch")

from baseline.networks.crf import DenseCRF  # noqa: E402


def mean_field_by_loops(p, guide, field):
    """The same inference over explicit matrices of all pairs of pixels, two classes, in numpy."""
    height, width = p.shape
    places = (
        np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1)
        .reshape(-1, 2)
        .astype(float)
    )
    colours = guide.reshape(len(guide), -1).T
    far = ((places[:, None] - places[None]) ** 2).sum(-1)
    unlike = ((colours[:, None] - colours[None]) ** 2).sum(-1)
    kernels = [
        (field.appearance, np.exp(-far / (2 * field.appearance_pixels**2) - unlike / (2 * field.colour**2))),
        (field.smoothness, np.exp(-far / (2 * field.smoothness_pixels**2))),
    ]
    normalised = [(w, k / np.sqrt(np.outer(k.sum(1), k.sum(1)))) for w, k in kernels]
    q = np.stack([1 - p.ravel(), p.ravel()], 1)
    unary = -np.log(np.clip(q, 1e-6, 1))
    potts = 1 - np.eye(2)
    for _ in range(field.iterations):
        energy = unary + sum(w * (k @ q) @ potts for w, k in normalised)
        q = np.exp(-energy)
        q /= q.sum(1, keepdims=True)
    return q[:, 1].reshape(height, width)


def test_equals_inference_over_all_pairs():
    generator = np.random.default_rng(0)
    p, guide = generator.uniform(0.01, 0.99, (2, 7, 6)), generator.normal(size=(2, 3, 7, 6))
    field = DenseCRF(radius=7)
    q = field(torch.from_numpy(p).float(), torch.from_numpy(guide).float()).numpy()
    for i in range(2):
        np.testing.assert_allclose(q[i], mean_field_by_loops(p[i], guide[i], field), atol=2e-5)


def test_window_cuts_nothing_that_counts():
    generator = torch.Generator().manual_seed(1)
    p, guide = torch.rand(1, 26, 26, generator=generator), torch.randn(1, 3, 26, 26, generator=generator)
    whole = DenseCRF(radius=25)(p, guide)
    for field, most in ((DenseCRF(), 0.05), (DenseCRF(radius=12), 0.01)):
        assert (field(p, guide) - whole).abs().max() < most


def test_removes_noise_and_keeps_an_edge_of_the_guide():
    truth = torch.zeros(1, 32, 32)
    truth[:, :, 16:] = 1
    guide = truth.unsqueeze(1).expand(1, 3, 32, 32) * 4
    noise = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(2))
    p = torch.where(noise < 0.2, 1 - truth, truth) * 0.6 + 0.2
    q = DenseCRF()(p, guide)
    wrong_before = ((p > 0.5) != (truth > 0.5)).float().mean()
    wrong_after = ((q > 0.5) != (truth > 0.5)).float().mean()
    assert wrong_before > 0.15
    assert wrong_after < 0.01


def test_without_kernels_nothing_changes():
    p = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(3))
    same = DenseCRF(appearance=0, smoothness=0, radius=2)(p, torch.randn(1, 3, 8, 8))
    torch.testing.assert_close(same, p, atol=1e-5, rtol=0)
