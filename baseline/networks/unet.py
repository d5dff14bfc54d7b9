"""The U-Net of the organisers' baseline (Ronneberger et al., 2015), padded so that the output is as large as the input.

The paper counts 23 convolutions, 4 of them transposed (31.05 million parameters); the organisers' repository by default replaces
the transposed ones by bilinear interpolation and halves the channels that it meets (17.27 million). Batch normalisation is the
repository's; the paper names none.
"""

import torch
from torch import Tensor, nn


class UNet(nn.Module):
    """width: channels of the first level, doubled at each of four downsamplings; `bilinear` as in the repository."""

    def __init__(self, bands: int = 14, classes: int = 2, width: int = 64, bilinear: bool = False):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 16 * width // (2 if bilinear else 1)]
        self.channels = widths
        self.encoder = nn.ModuleList(
            two_convolutions(before, after) for before, after in zip([bands, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.decoder = nn.ModuleList()
        below = widths[-1]
        for skip in reversed(widths[:-1]):
            after = skip // 2 if bilinear and skip != width else skip
            self.decoder.append(Up(below, skip, after, bilinear))
            below = after
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def encode(self, images: Tensor) -> list[Tensor]:
        """The feature maps of the encoder's levels, finest first."""
        features = [self.encoder[0](images)]
        for level in self.encoder[1:]:
            features.append(level(self.pool(features[-1])))
        return features

    def decode(self, features: list[Tensor]) -> Tensor:
        """The logits that the decoder makes of them."""
        *skips, x = features
        for up in self.decoder:
            x = up(x, skips.pop())
        return self.classify(x)


class Up(nn.Module):
    """Doubles the resolution, joins the skip connection, and convolves twice."""

    def __init__(self, below: int, skip: int, after: int, bilinear: bool):
        super().__init__()
        if bilinear:
            self.up: nn.Module = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.convolutions = two_convolutions(below + skip, after, (below + skip) // 2)
        else:
            self.up = nn.ConvTranspose2d(below, below // 2, 2, stride=2)
            self.convolutions = two_convolutions(below // 2 + skip, after)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.convolutions(torch.cat([skip, self.up(x)], dim=1))


def two_convolutions(before: int, after: int, between: int | None = None) -> nn.Sequential:
    """Two 3 × 3 convolutions, each with batch normalisation and ReLU; `between`: channels between the two, else `after`."""
    between = between or after
    layers: list[nn.Module] = []
    for wide, narrow in ((before, between), (between, after)):
        layers += [nn.Conv2d(wide, narrow, 3, padding=1), nn.BatchNorm2d(narrow), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
