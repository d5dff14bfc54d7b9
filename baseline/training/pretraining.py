"""Synthetic pretraining: an encoder learns land cover and slope from unlimited synthetic patches of other sites.

No landslide label is used, and no site, terrain or scene of a benchmark's data: the sites are drawn by seeds that no data set has.
What it knows is the generator's ground, so a result that rests on it is called "synthetic pretraining".
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from baseline.data.dice import Dice, derived_seed
from baseline.data.spectral import SETS
from baseline.networks import encoders
from baseline.networks.weights import Encoder, PretrainedWeightsMissing
from baseline.synth.settings import SETTINGS
from baseline.synth.spectra import NAMES
from baseline.synth.tiles import draw_tile
from baseline.training.augment import flips_and_turns, perturb_colours
from baseline.training.loop import Objective, Stage
from baseline.training.options import Options, option
from baseline.training.world import World

FIRST_SEED = 1_000_000_000  # of the sites: data sets have smaller ones
TILES, STEPS = 24, 250  # tiles of ground that so many steps look at before others come
SLOPE = 12  # the band that slope and, after it, height stand in


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(Options):
    steps: int = option(3000, "optimiser steps")
    batch: int = option(16, "crops per step")
    crop: int = option(64, "pixels of the crops")
    optimiser: str = option("adamw", "rule of the update", ("adam", "adamw", "sgd"))
    weight_decay: float = option(1e-2, "L2 penalty (adam, sgd) or decoupled decay (adamw)")
    schedule: str = option("cosine", "learning rate over the steps", ("constant", "cosine", "restarts"))
    warmup: int = option(100, "steps of linear warm-up")


def pretrain(encoder: Encoder, options: PretrainOptions, world: World) -> Path:
    """The file of the encoder's weights, pretrained now if they are not there; goes on with a pretraining that was stopped.

    A second process waits for the first. Raises TimeIsUp at the world's deadline.
    """
    if encoder.inputs not in SETS:
        raise PretrainedWeightsMissing(
            f"There is no synthetic pretraining on {encoder.inputs}; choose --weights random or other bands."
        )
    encoder.file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(encoder.file.with_suffix(".lock")):
        if not encoder.file.exists():
            _pretrain(encoder, options, world)
    return encoder.file


def _pretrain(encoder: Encoder, options: PretrainOptions, world: World) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(derived_seed(options.seed, "pretraining"))
    more = {}
    if "window_size" in encoder.options:
        more = {"img_size": options.crop, "strict_img_size": False, "always_partition": True}
    network = encoders.network(
        "Unet", encoder.name, len(SETS[encoder.inputs]), len(NAMES) + 1, **(dict(encoder.options) | more)
    )
    checkpoint = encoder.file.with_suffix(".partial.pt")
    objective = GroundCover(network, encoder.inputs, options)
    Stage(f"pretraining {encoder.name} on {encoder.inputs}", objective, options, world, checkpoint).fit()
    if world.main:
        tensors = {
            k: v.detach().cpu().contiguous() for k, v in network.get_submodule("encoder").state_dict().items()
        }
        partial = encoder.file.with_suffix(".partial")
        save_file(tensors, partial)
        partial.replace(encoder.file)
        checkpoint.unlink(missing_ok=True)
    _block.cache_clear()
    world.wait()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Waits until no other process holds the lock; it ends with the process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class GroundCover(Objective):
    """Cross-entropy to the shares of land covers, and the absolute error of the slope, of crops in any radiometry.

    Slope and height are among the bands; half of the crops are without them, so that the slope has to be seen.
    """

    def __init__(self, network: nn.Module, inputs: str, options: PretrainOptions):
        super().__init__()
        self.network = network
        self.bands = list(SETS[inputs])
        self.crop = options.crop
        self.batch = options.batch

    def forward(self, dice: Dice) -> dict[str, Tensor]:
        device = next(self.network.parameters()).device
        images, ground = (x.to(device) for x in self._crops(dice))
        images, ground = flips_and_turns(images, ground, dice)
        shares, slope = ground[:, :-1], ground[:, -1]
        images = perturb_colours(images, dice, 0.2, 0.2)
        kept = torch.from_numpy(dice.integers(2)).to(images)
        images[:, SLOPE:] *= kept[:, None, None, None]
        predicted = self.network(images[:, self.bands]).float()
        cover = -(shares * functional.log_softmax(predicted[:, :-1], dim=1)).sum(1).mean()
        return {"cover": cover, "slope": (predicted[:, -1] - slope).abs().mean()}

    def _crops(self, dice: Dice) -> tuple[Tensor, Tensor]:
        """Images (n, 14, S, S) and ground (n, covers + slope, S, S), float32."""
        images, ground = _block(dice.step // STEPS)
        room = images.shape[2] - self.crop
        places = zip(
            dice.integers(len(images)), dice.integers(room + 1), dice.integers(room + 1), strict=True
        )
        chosen = [(n, slice(None), slice(y, y + self.crop), slice(x, x + self.crop)) for n, y, x in places]
        crops, truths = (torch.stack([part[where].float() for where in chosen]) for part in (images, ground))
        return crops, truths


@lru_cache(maxsize=1)
def _block(number: int) -> tuple[Tensor, Tensor]:
    """The ground that the steps of one block look at: normalised images and their covers and slope, float16."""
    images, ground = [], []
    for tile in range(TILES):
        seed = FIRST_SEED + number * TILES + tile
        image, _, cover = draw_tile(seed, "train", tile % 8, 0, SETTINGS["drawn"])
        images.append(image)
        ground.append(np.concatenate([cover, image[SLOPE : SLOPE + 1]]))
    stacked = np.stack(images)
    mean, std = stacked.mean((0, 2, 3), keepdims=True), stacked.std((0, 2, 3), keepdims=True)
    return (
        torch.from_numpy((stacked - mean) / np.maximum(std, 1e-6)).half(),
        torch.from_numpy(np.stack(ground)).half(),
    )
