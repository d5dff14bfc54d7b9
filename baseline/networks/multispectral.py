"""The Multi-spectral U-Net of the Sklgp team (section VII and Fig. 12 of the outcome paper).

Two branches end in feature maps of equal shape, which are concatenated for the pixel-wise prediction: at the paper's width
2 × (128, 128, 128) -> (256, 128, 128).
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

HIGH_RESOLUTION = (1, 2, 3, 7)  # indices of B2, B3, B4 and B8, the bands of 10 m


class MultispectralUNet(nn.Module):
    """width: channels of the general branch's first level; both branches end in 2 × width channels.

    Between the 4 bands and those channels the high-resolution branch has `width`, which the paper leaves open. The prediction is one
    point-wise convolution.

    blocks, expansion: of the inverted residuals. The paper gives neither; at full resolution MobileNetV2's expansion of 6 would
    take most of the time, so 2 is the default.
    """

    def __init__(
        self, bands: int = 14, classes: int = 2, width: int = 64, blocks: int = 3, expansion: int = 2
    ):
        super().__init__()
        self.high = nn.Sequential(
            cba(len(HIGH_RESOLUTION), width),
            cba(width, 2 * width),
            *(InvertedResidual(2 * width, expansion) for _ in range(blocks)),
        )
        self.general = GeneralBranch(bands, width)
        self.classify = nn.Conv2d(4 * width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        high = self.high(images[:, list(HIGH_RESOLUTION)])
        return self.classify(torch.cat([high, self.general(images)], dim=1))


class GeneralBranch(nn.Module):
    """A U-Net with three downsamplings by strided convolution, bilinear upsampling, additive skips and residual blocks.

    The paper keeps the original U-Net's channels as far as it says: width, doubled at each downsampling; 128 × 128 pixels
    come down to 16 × 16. One residual block per level, and a last convolution from width to 2 × width channels, are choices.
    """

    def __init__(self, bands: int, width: int):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.stem = nn.Sequential(cba(bands, width), Residual(width))
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(nn.Sequential(cba(a, b, stride=2), Residual(b)) for a, b in pairs)
        self.up = nn.ModuleList(cba(b, a) for a, b in reversed(pairs))
        self.refine = nn.ModuleList(Residual(a) for a, _ in reversed(pairs))
        self.out = cba(width, 2 * width)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        for up, refine in zip(self.up, self.refine, strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = refine(up(x) + skips.pop())
        return self.out(x)


class InvertedResidual(nn.Module):
    """Point-wise expansion, depth-wise 3 × 3, point-wise linear projection, and the input added (MobileNetV2)."""

    def __init__(self, channels: int, expansion: int):
        super().__init__()
        wide = expansion * channels
        self.block = nn.Sequential(
            cba(channels, wide, kernel=1),
            cba(wide, wide, groups=wide),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Residual(nn.Module):
    """Two convolution blocks with the input added, as in ResNet."""

    def __init__(self, channels: int):
        super().__init__()
        self.block = nn.Sequential(cba(channels, channels), cba(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class SMU(nn.Module):
    """Smooth maximum unit, equations 10 and 11: (x (1 + α) + x (1 − α) erf(μ (1 − α) x)) / 2, α fixed and μ learnt.

    Computed as α x + (1 − α) / c · GELU(c x) with c = √2 μ (1 − α), which is the same and one kernel. The paper gives neither α
    nor μ: α = 0.25 is that of Biswas et al. (2022), and μ starts at 1, where the unit is smooth.
    """

    def __init__(self, alpha: float = 0.25, mu: float = 1.0):
        super().__init__()
        self.alpha = alpha
        self.mu = nn.Parameter(torch.tensor(mu))

    def forward(self, x: Tensor) -> Tensor:
        c = math.sqrt(2) * (1 - self.alpha) * self.mu
        return self.alpha * x + (1 - self.alpha) / c * functional.gelu(c * x)


def cba(before: int, after: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, activation: the "CBA" of Fig. 12."""
    convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), SMU())
