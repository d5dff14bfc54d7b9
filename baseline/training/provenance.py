"""What produced a run: versions, machine, code and data, so that it can be repeated or differences explained."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from baseline.training.world import World

PACKAGES = ("numpy", "h5py", "timm", "segmentation-models-pytorch")


def provenance(world: World) -> dict[str, Any]:
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "code": _commit(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__}
        | {name: _version(name) for name in PACKAGES},
        "machine": device_name(world.device),
        "processes": world.size,
        "threads": torch.get_num_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this code, with "+" where files differ from it; None outside a repository."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, f"{platform.system()} {platform.machine()} {platform.processor()}".strip())
