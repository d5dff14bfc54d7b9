"""Losses for two-class segmentation, as pure functions.

Shapes, unless a docstring says otherwise: logits (N, C, H, W) float, any precision; labels (N, H, W) integer, 0 = background,
1 = landslide, 255 = ignored. Every loss is computed in float32 or wider, is a scalar, and is zero (with zero gradient) where no
pixel counts. Reductions run over the pixels that count of the whole batch, not image by image; of several processes, each reduces
over its own part of the batch, and gradients are averaged.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

IGNORE = 255

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of −log p(label) over the pixels that count."""
    return _mean_over_counted(_pixel_cross_entropy(logits, labels), labels)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy with a weight per class, divided by the sum of the weights used.

    weights: (C,) for the whole batch, or (N, C) with a row per image; `balancing_weights` makes both.
    """
    counted = labels != IGNORE
    classes = labels.long().masked_fill(~counted, 0)
    table = weights.to(logits.device).expand(len(labels), -1)
    pixel_weights = table.gather(1, classes.flatten(1)).view_as(classes) * counted
    losses = _pixel_cross_entropy(logits, labels)
    return (losses * pixel_weights).sum() / pixel_weights.sum().clamp_min(torch.finfo(losses.dtype).tiny)


def balancing_weights(labels: Tensor, cap: float = 100.0, per_image: bool = False) -> Tensor:
    """Weights (1, N_negative / N_positive) of background and landslide: (2,), or (N, 2) when taken per image.

    The ratio is undefined without a landslide pixel and huge with a single one: it is capped, and is 1 where none is.
    """
    rows = labels.flatten(1) if per_image else labels.reshape(1, -1)
    positive, negative = (rows == 1).sum(1), (rows == 0).sum(1)
    ratio = torch.where(positive > 0, negative / positive.clamp_min(1), 1.0).clamp(max=cap)
    weights = torch.stack([torch.ones_like(ratio), ratio], dim=1)
    return weights if per_image else weights[0]


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean of −(1 − p)^gamma log p with p the probability of the label (Lin et al., 2017), neither class weighted."""
    losses = _pixel_cross_entropy(logits, labels)
    # 1 − p underflows to exactly 0 for confident pixels, where the gradient of a fractional power is infinite.
    miss = (-torch.expm1(-losses)).clamp_min(torch.finfo(losses.dtype).tiny)
    return _mean_over_counted(miss**gamma * losses, labels)


def soft_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy against labels of which the share `smoothing` is spread evenly over all classes."""
    log_p = functional.log_softmax(_wide(logits), dim=1)
    hit = _pixel_cross_entropy(logits, labels)
    return _mean_over_counted((1 - smoothing) * hit - smoothing * log_p.mean(dim=1), labels)


def cross_entropy_to(logits: Tensor, probabilities: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy against landslide probabilities (N, H, W), as a teacher gives them, over the pixels whose label counts."""
    log_p = functional.log_softmax(_wide(logits), dim=1)
    q = probabilities.to(log_p.dtype)
    return _mean_over_counted(-q * log_p[:, 1] - (1 - q) * log_p[:, 0], labels)


def ohem_cross_entropy(logits: Tensor, labels: Tensor, keep: float = 0.25) -> Tensor:
    """Online hard example mining: mean cross-entropy of the hardest share `keep` of the pixels that count, at least one."""
    losses = _pixel_cross_entropy(logits, labels)[labels != IGNORE]
    if losses.numel() == 0:
        return logits.sum() * 0.0
    return losses.topk(max(1, round(keep * losses.numel())), sorted=False).values.mean()


def soft_jaccard(logits: Tensor, labels: Tensor) -> Tensor:
    """1 − Σ p y / Σ (p + y − p y) over the batch, p the landslide probability, y the label (Rahman and Wang, 2016).

    One pixel is added to both sums, so that a batch without landslides has a finite loss that falls with false alarms.
    """
    counted = labels != IGNORE
    p = functional.softmax(_wide(logits), dim=1)[:, 1] * counted
    y = (labels == 1).to(p.dtype)
    shared = (p * y).sum()
    return 1 - (shared + 1) / (p.sum() + y.sum() - shared + 1)


def lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Lovász extension of the Jaccard loss on softmax probabilities (Berman et al., 2018): mean over the classes present."""
    p = functional.softmax(_wide(logits), dim=1)
    counted = labels != IGNORE
    total, present = p.new_zeros(()), p.new_zeros(())
    for c in range(logits.shape[1]):
        members = labels == c
        is_present = members.any()
        total = total + is_present * _lovasz_extension(
            (members.to(p.dtype) - p[:, c]).abs() * counted, members
        )
        present = present + is_present
    return total / present.clamp_min(1)


def image_level(scores: Tensor, labels: Tensor, two_sided: bool = True) -> Tensor:
    """Loss of one logit per image that says whether a landslide is in it: scores (N,), labels (N, H, W).

    One-sided, only images with a landslide count (−log p, others 0), which "always yes" satisfies; two-sided is the binary
    cross-entropy. Both divide by the number of images.
    """
    present = (labels == 1).flatten(1).any(dim=1).to(_wide(scores).dtype)
    losses = functional.binary_cross_entropy_with_logits(_wide(scores), present, reduction="none")
    return (losses if two_sided else losses * present).mean()


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _pixel_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p(label) per pixel (N, H, W); 0 where the label is ignored."""
    return functional.cross_entropy(_wide(logits), labels.long(), ignore_index=IGNORE, reduction="none")


def _mean_over_counted(losses: Tensor, labels: Tensor) -> Tensor:
    counted = labels != IGNORE
    return (losses * counted).sum() / counted.sum().clamp_min(1)


def _lovasz_extension(errors: Tensor, members: Tensor) -> Tensor:
    """Sum of the sorted errors, each times the growth of the Jaccard loss when its pixel joins the mispredicted ones.

    errors at least 0, and 0 where a pixel does not count: such pixels come last and add nothing. members, of the same shape:
    the pixels of the class.
    """
    errors, order = errors.flatten().sort(descending=True)
    members = members.flatten()[order].to(errors.dtype)
    total = members.sum()
    intersection = total - members.cumsum(0)
    union = total + (1 - members).cumsum(0)
    jaccard = 1 - intersection / union
    growth = torch.cat([jaccard[:1], jaccard.diff()])
    return errors @ growth
