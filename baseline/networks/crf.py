"""Fully connected conditional random field for two classes (Krähenbühl and Koltun, 2011), in torch, for batches on any device.

Mean-field inference with an appearance and a smoothness kernel, Potts compatibility and symmetric normalisation. "Fully" is cut
to a window of (2 × radius + 1)² pixels, two standard deviations of the wider kernel to either side: on noisy SynthL4S masks 3 of
100,000 pixels had another class under radius 20. The outcome paper gives no kernel; weights and widths are choices.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DenseCRF:
    """appearance, smoothness: weights of the kernels; *_pixels: their standard deviations in pixels; colour: that of the
    appearance kernel over the guide's channels, in the guide's units.
    """

    iterations: int = 5
    radius: int = 8
    appearance: float = 2.0
    appearance_pixels: float = 4.0
    colour: float = 0.5
    smoothness: float = 1.0
    smoothness_pixels: float = 1.5

    def __call__(self, probabilities: Tensor, guide: Tensor) -> Tensor:
        """Landslide probabilities (N, H, W) after the field's inference; guide (N, C, H, W): the image that edges come from."""
        unary = torch.logit(probabilities.float(), eps=1e-6)
        guide = guide.float()
        ones = torch.ones_like(unary)
        norms = [sums.rsqrt() for sums in self._messages(ones, ones, guide)]
        reach = [n * m for n, m in zip(norms, self._messages(norms[0], norms[1], guide), strict=True)]
        q = probabilities.float()
        for _ in range(self.iterations):
            received = self._messages(q * norms[0], q * norms[1], guide)
            weights = (self.appearance, self.smoothness)
            logits = unary
            # Potts: what a pixel receives for landslide less what it receives for background.
            for weight, norm, message, all_of_it in zip(weights, norms, received, reach, strict=True):
                logits = logits + weight * (2 * norm * message - all_of_it)
            q = torch.sigmoid(logits)
        return q

    def _messages(self, for_appearance: Tensor, for_smoothness: Tensor, guide: Tensor) -> list[Tensor]:
        """For each kernel, Σ over the window (the pixel itself included) of kernel × values: two (N, H, W)."""
        appearance, smoothness = for_appearance.clone(), for_smoothness.clone()
        for dy, dx, here, there in self._pairs(guide.shape[-2:]):
            square = float(dy * dy + dx * dx)
            near = torch.exp(torch.tensor(-square / (2 * self.smoothness_pixels**2)))
            difference = (guide[..., *here] - guide[..., *there]).square().sum(1)
            exponent = -square / (2 * self.appearance_pixels**2) - difference / (2 * self.colour**2)
            alike = exponent.exp()
            for values, result, kernel in (
                (for_appearance, appearance, alike),
                (for_smoothness, smoothness, near.to(guide.device)),
            ):
                result[..., *here] += kernel * values[..., *there]
                result[..., *there] += kernel * values[..., *here]
        return [appearance, smoothness]

    def _pairs(self, size: torch.Size) -> Iterator[tuple[int, int, tuple[slice, slice], tuple[slice, slice]]]:
        """Each offset of half the window, with the pixels that have a partner there and those partners."""
        height, width = size
        for dy in range(min(self.radius, height - 1) + 1):
            for dx in range(-min(self.radius, width - 1), min(self.radius, width - 1) + 1):
                if dy == 0 and dx <= 0:
                    continue
                rows = slice(0, height - dy), slice(dy, height)
                columns = (
                    (slice(0, width - dx), slice(dx, width))
                    if dx >= 0
                    else (slice(-dx, width), slice(0, width + dx))
                )
                yield dy, dx, (rows[0], columns[0]), (rows[1], columns[1])
