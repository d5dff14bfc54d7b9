"""Networks of segmentation-models-pytorch and timm, made with any number of bands, and without the network unless asked.

Both libraries are imported only when a method needs one of their networks.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from baseline.networks import weights as stored
from baseline.networks.weights import (
    IMAGENET,
    RANDOM,
    SYNTHETIC,
    Encoder,
    PretrainedWeightsMissing,
    SyntheticWeightsMissing,
)

PATIENCE = 10.0  # seconds for the hub of weights to answer at all


def segmentation_models() -> ModuleType:
    """The package segmentation_models_pytorch, with torchvision made importable first."""
    if importlib.util.find_spec("segmentation_models_pytorch") is None:
        raise ModuleNotFoundError(
            "This method needs segmentation-models-pytorch and timm: pip install -r baseline/requirements.txt"
        )
    make_torchvision_importable()
    import segmentation_models_pytorch

    return segmentation_models_pytorch


def make_torchvision_importable() -> None:
    """Declare the two operators that `import torchvision` expects where its compiled library cannot be loaded.

    The registry's torchvision for Linux is compiled for CUDA. Beside a CPU build of torch its library does not load, and the
    import then stops at an operator that was never declared, although no network here uses any of them.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or hasattr(torch.ops.torchvision, "nms"):
        return
    for library in sorted(Path(spec.origin).parent.glob("_C*")):
        try:
            torch.ops.load_library(str(library))
            return
        except OSError:
            continue
    declared = torch.library.Library("torchvision", "FRAGMENT")
    declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept_alive.append(declared)  # the declaration ends with the object


_kept_alive: list[torch.library.Library] = []


def network(
    architecture: str,
    encoder: str,
    bands: int = 14,
    classes: int = 2,
    weights: str = RANDOM,
    inputs: str = "all",
    **options: Any,
) -> nn.Module:
    """A network of segmentation_models_pytorch: images (N, bands, H, W) -> logits (N, classes, H, W).

    architecture: "Unet", "DeepLabV3", "DeepLabV3Plus", "Segformer", …; encoder: "resnet34", "mit_b2", or a timm name behind
    "tu-"; weights: see `Options`; inputs: name of the set that the bands are, for synthetic weights.
    Raises PretrainedWeightsMissing rather than starting from random weights unasked.
    """
    constructor = getattr(segmentation_models(), architecture)
    hub = weights == IMAGENET and not stored.packaged(encoder)
    with _explained(encoder, hub):
        made: nn.Module = constructor(
            encoder_name=encoder,
            encoder_weights=(True if encoder.startswith("tu-") else "imagenet") if hub else None,
            in_channels=bands,
            classes=classes,
            **options,
        )
    if not hub:
        kept = {name: value for name, value in options.items() if name in _OF_ENCODER}
        load(made.get_submodule("encoder"), Encoder(encoder, inputs, kept), weights)
    return made


_OF_ENCODER = ("embed_dim", "num_heads", "window_size")


def load(module: nn.Module, encoder: Encoder, weights: str) -> None:
    """Load what is at hand into an encoder: nothing, a package's, synthetic weights or a file."""
    if weights == RANDOM:
        return
    if weights == IMAGENET:
        file = stored.packaged(encoder.name)
        assert file is not None
        stored.load_packaged(module, encoder.name, file)
    elif weights == SYNTHETIC:
        if not encoder.file.is_file():
            raise SyntheticWeightsMissing(encoder)
        stored.load_file(module, encoder.file)
    else:
        stored.load_file(module, Path(weights))


def features(encoder: str, bands: int = 14, weights: str = RANDOM, **options: Any) -> nn.Module:
    """A network of timm that returns its feature maps, finest first. Raises as `network` does."""
    segmentation_models()
    import timm

    hub = weights == IMAGENET and not stored.packaged(f"tu-{encoder}")
    with _explained(encoder, hub):
        made: nn.Module = timm.create_model(
            encoder, pretrained=hub, features_only=True, in_chans=bands, **options
        )
    if not hub:
        load(made, Encoder(f"tu-{encoder}"), weights)
    return made


@contextmanager
def _explained(encoder: str, hub: bool) -> Iterator[None]:
    """Weights are stored or downloaded inside; without a network only stored ones are looked for, at once."""
    if not hub:
        yield
        return
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _hub_answers()
    try:
        yield
    except LocalEntryNotFoundError as error:
        raise PretrainedWeightsMissing(
            f"No pretrained weights for {encoder}: they are not in {constants.HF_HUB_CACHE} (the variable HF_HUB_CACHE names another "
            f"folder), and {constants.ENDPOINT} does not give them. Connect to the network once, copy that folder from a machine that "
            "has them, or choose other --weights: synthetic, a file, or random."
        ) from error
    except Exception as error:  # the disk or the encoder: many libraries, many exceptions, one meaning
        told = " ".join(f"{type(error).__name__}: {error}".split())  # some tell in several lines
        raise PretrainedWeightsMissing(
            f"No pretrained weights for {encoder} ({told}). Choose another encoder or other --weights: synthetic, a file, or random."
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _hub_answers() -> bool:
    """Whether the hub of weights can be reached, asked once and not, as its library does, six times for every file."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # no route, no name, a proxy's refusal: of a library that the hub's chooses
        return False
    return True


def swin(
    encoder: str, image_size: int, width: int = 0, window: int = 8, any_size: bool = False, **options: Any
) -> nn.Module:
    """A U-shaped network on a Swin Transformer. Windows of 8 × 8 tokens divide every stage at 128 and 512 pixels.

    width: channels of the first stage where they are not to be those of the name, a multiple of 24; any_size: take images of
    other sizes than image_size too, by padding the windows that do not divide a stage.
    """
    if any_size:
        options |= {"strict_img_size": False, "always_partition": True}
    return network("Unet", f"tu-{encoder}", img_size=image_size, **swin_options(width, window), **options)


def swin_options(width: int, window: int) -> dict[str, Any]:
    """What makes a Swin Transformer of that width and window."""
    if width % 24:
        raise ValueError(f"swin_width is {width}; it must be a multiple of 24, the channels of a head.")
    made: dict[str, Any] = {"window_size": window}
    if width:
        made |= {"embed_dim": width, "num_heads": tuple(width // 24 * 2**stage for stage in range(4))}
    return made
