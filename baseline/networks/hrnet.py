"""HRNet with the HRNetV2 head (Sun et al., 2019): four resolutions kept side by side, joined at a quarter of the input's."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from baseline.networks import encoders


class HRNet(nn.Module):
    """backbone: a HRNet of timm, such as "hrnet_w18"; weights: see `Options`."""

    def __init__(
        self, backbone: str = "hrnet_w18", bands: int = 14, classes: int = 2, weights: str = "random"
    ):
        super().__init__()
        made: Any = encoders.features(backbone, bands, weights, feature_location="")
        self.backbone = made
        _, *branches = made.feature_info.channels()  # the stem's, at half resolution, is not used
        joined = sum(branches)
        self.head = nn.Sequential(
            nn.Conv2d(joined, joined, 1, bias=False),
            nn.BatchNorm2d(joined),
            nn.ReLU(inplace=True),
            nn.Conv2d(joined, classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        finest, *coarser = self.backbone(images)[1:]
        size = finest.shape[-2:]
        resized = [
            functional.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in coarser
        ]
        logits = self.head(torch.cat([finest, *resized], dim=1))
        return functional.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)
