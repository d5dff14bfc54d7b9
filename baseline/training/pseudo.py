"""Pseudo-labels: which pixels of an unlabelled pool are trusted, as labels with 255 for those that are not.

probabilities: (N, H, W) landslide probabilities of all patches of the pool, over which every share is taken; labels come back as
uint8 of that shape.
"""

import torch
from torch import Tensor

from baseline.training.losses import IGNORE


def by_threshold(probabilities: Tensor, landslide: float, background: float) -> Tensor:
    """Landslide from the one probability up, background from the other down, nothing between (Kingdrone, section IV-B)."""
    labels = torch.full_like(probabilities, IGNORE, dtype=torch.uint8)
    labels[probabilities <= background] = 0
    labels[probabilities >= landslide] = 1
    return labels


def most_confident(probabilities: Tensor, share: float) -> Tensor:
    """The predicted class of that share of each class's pixels whose class is most probable (Seek, section V-A, λ = 100 × share).

    Class by class, as in class-balanced self-training (Zou et al., 2018), which section V-A follows: of all pixels together the
    surest are background, and no landslide would be left.
    """
    labels = (probabilities >= 0.5).to(torch.uint8)
    doubt = torch.minimum(probabilities, 1 - probabilities)
    trusted = _least(doubt, labels == 0, share) | _least(doubt, labels == 1, share)
    return labels.masked_fill(~trusted, IGNORE)


def least_uncertain(
    probabilities: Tensor, uncertainty: Tensor, background: float, landslide: float
) -> Tensor:
    """The predicted class of those shares of each class's pixels that have the lowest uncertainty (Tanmlh, section VI-C)."""
    labels = (probabilities >= 0.5).to(torch.uint8)
    trusted = _least(uncertainty, labels == 0, background) | _least(uncertainty, labels == 1, landslide)
    return labels.masked_fill(~trusted, IGNORE)


def prior_matched(
    probabilities: Tensor, prior: float, landslide: float = 0.9, background: float = 1.8
) -> Tensor:
    """As many landslide pixels as the training labels lead to expect, whatever the probabilities' scale.

    prior: share of landslide pixels among the training labels. The most probable landslide × prior of the pixels are landslide,
    all but the most probable background × prior are background, those between are ignored. With fixed thresholds, a
    model that a shift has made under- or overconfident reinforces itself; with this rule it does not.
    """
    order = probabilities.flatten().argsort(descending=True, stable=True)
    labels = torch.zeros_like(order, dtype=torch.uint8)
    labels[order[: round(background * prior * len(order))]] = IGNORE
    labels[order[: round(landslide * prior * len(order))]] = 1
    return labels.view_as(probabilities)


def _least(values: Tensor, members: Tensor, share: float) -> Tensor:
    """Where the share of the members with the least values is: bool, of the shape of values."""
    places = members.flatten().nonzero()[:, 0]
    order = values.flatten()[places].argsort(stable=True)
    chosen = torch.zeros_like(members).flatten()
    chosen[places[order[: round(share * len(places))]]] = True
    return chosen.view_as(members)
