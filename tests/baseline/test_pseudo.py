import pytest

torch = pytest.importorskip("torch")

from baseline.training import pseudo  # noqa: E402


def image(*values):
    return torch.tensor(values).view(1, 1, -1)


def test_threshold_by_hand():
    labels = pseudo.by_threshold(image(0.05, 0.1, 0.3, 0.69, 0.7, 1.0), landslide=0.7, background=0.1)
    assert labels.flatten().tolist() == [0, 0, 255, 255, 1, 1]
    assert labels.dtype == torch.uint8


def test_most_confident_by_hand():
    p = image(0.01, 0.4, 0.45, 0.55, 0.9)
    assert pseudo.most_confident(p, 0.4).flatten().tolist() == [0, 255, 255, 255, 1]
    assert pseudo.most_confident(p, 0.6).flatten().tolist() == [0, 0, 255, 255, 1]
    assert pseudo.most_confident(p, 1.0).flatten().tolist() == [0, 0, 0, 1, 1]


def test_least_uncertain_selects_within_each_class():
    p = image(0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9)
    uncertainty = image(
        0.4, 0.1, 0.3, 0.2, 9.0, 7.0, 8.0, 6.0
    )  # every landslide pixel is less certain than any other
    labels = pseudo.least_uncertain(p, uncertainty, background=0.75, landslide=0.5)
    assert labels.flatten().tolist() == [255, 0, 0, 0, 255, 1, 255, 1]


def test_shares_are_of_the_pool_and_exact_with_ties():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(3, 20, 20, generator=generator).round(decimals=1)
    labels = pseudo.most_confident(p, 0.7)
    assert (labels == 0).sum() == round(0.7 * float((p < 0.5).sum()))
    assert (labels == 1).sum() == round(0.7 * float((p >= 0.5).sum()))
    labels = pseudo.least_uncertain(p, torch.zeros_like(p), background=0.9, landslide=0.7)
    assert (labels == 0).sum() == round(0.9 * float((p < 0.5).sum()))
    assert (labels == 1).sum() == round(0.7 * float((p >= 0.5).sum()))


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_prior_matched_does_not_mind_the_scale(scale):
    p = torch.linspace(0, 1, 1000).view(1, 10, 100) * scale
    labels = pseudo.prior_matched(p, prior=0.1).flatten()
    assert (labels[:820] == 0).all()
    assert (labels[820:910] == 255).all()
    assert (labels[910:] == 1).all()
