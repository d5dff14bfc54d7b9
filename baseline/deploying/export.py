"""A finished run for programs without this code: an exported program of torch, or ONNX, checked against the run itself."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from baseline.data.dataset import BANDS, SIZE, find_split, read_image
from baseline.deploying.deployable import deployable
from baseline.training.run import Run

CLOSE = 1e-4
"""A pixel whose probability is nearer to the threshold may fall on either side of it: rounding differs between the programs."""

Predict = Callable[[np.ndarray], np.ndarray]


class ExportError(RuntimeError):
    """A run cannot be exported, or the exported program predicts other masks."""


def write(run: Run, split: str, onnx: bool) -> Path:
    """Write RUN/export/SPLIT.pt2 or SPLIT.onnx: float32 images (n, 14, 128, 128) in file units -> probabilities (n, 128, 128).

    Raises ExportError where the method's prediction cannot be exported.
    """
    module = deployable(run, split).cpu()
    path = run.folder / "export" / f"{split}.{'onnx' if onnx else 'pt2'}"
    path.parent.mkdir(exist_ok=True)
    example = torch.zeros(2, len(BANDS), SIZE, SIZE)
    count = torch.export.Dim("patches", min=1, max=4096)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, (example,), dynamic_shapes=({0: count},))
            if onnx:
                _write_onnx(program, path)
            else:
                torch.export.save(program, path)
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{error}. Exporting needs: pip install -r baseline/requirements-extras.txt"
        ) from error
    except Exception as error:  # of torch's tracer: many exceptions, one meaning
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"{run.name} cannot be exported as {path.suffix[1:]}: {reason}") from error
    return path


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    exported = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=["images"], output_names=["probabilities"]
    )
    assert exported is not None
    exported.save(str(path))


def check(run: Run, split: str, path: Path, patches: int = 64, threshold: float = 0.5) -> tuple[int, int]:
    """Predict the first patches of the split by the run and by the exported file: (pixels, pixels with another class).

    Both compute in float32. Pixels whose probability is within CLOSE of the threshold do not count as different.
    """
    module, exported = deployable(run, split).cpu(), _loaded(path)
    pixels = differing = 0
    for images in _chunks(run, split, patches):
        with torch.inference_mode():
            expected = module(torch.from_numpy(images)).numpy()
        found = exported(images)
        other = (found >= threshold) != (expected >= threshold)
        differing += int((other & (np.abs(expected - threshold) > CLOSE)).sum())
        pixels += expected.size
    return pixels, differing


def _chunks(run: Run, split: str, patches: int, size: int = 8) -> Iterator[np.ndarray]:
    files = find_split(run.data, split, masks=False).images[:patches]
    for start in range(0, len(files), size):
        yield np.stack([read_image(path) for path in files[start : start + size]])


def _loaded(path: Path) -> Predict:
    if path.suffix == ".onnx":
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise ExportError("Checking an ONNX file needs: pip install onnxruntime") from error
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"images": images})[0]
    program = torch.export.load(path).module()

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found: Tensor = program(torch.from_numpy(images))
        return found.numpy()

    return predict
