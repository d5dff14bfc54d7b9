"""The commands of `python -m baseline` that train, predict and submit. torch is imported when one of them runs."""

import argparse
import dataclasses
import json
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from baseline.training import deadline
from baseline.training.options import as_flags

if TYPE_CHECKING:
    from baseline.training.run import Run

SPLITS = ("validation", "test")
PRESETS = ("tiny", "small", "medium", "full")


def add_commands(commands: Any) -> None:
    """Add what trains, what uses a finished run, and list to the sub-commands of a parser."""
    _add_trainings(commands)
    _add_predictions(commands)
    _add_submit(commands)
    listing = commands.add_parser("list", help="list the methods, and the runs in a folder")
    listing.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", default=Path("runs"))
    listing.set_defaults(command=run_list)


def _add_trainings(commands: Any) -> None:
    train = commands.add_parser(
        "train", add_help=False, help="train a method, or go on with a run that was stopped"
    )
    train.add_argument("method", nargs="?", metavar="METHOD")
    train.set_defaults(command=run_train, rest=True)
    study = commands.add_parser(
        "study", add_help=False, help="repeat a comparison of the paper: several variants and seeds"
    )
    study.add_argument("method", nargs="?", metavar="METHOD")
    study.add_argument("study", nargs="?", metavar="STUDY")
    study.set_defaults(command=run_study, rest=True)
    pretrain = commands.add_parser(
        "pretrain", add_help=False, help="pretrain an encoder on synthetic ground of other sites, once"
    )
    pretrain.set_defaults(command=run_pretrain, rest=True)


def _add_predictions(commands: Any) -> None:
    _on_run(
        commands,
        "predict",
        run_predict,
        "write the landslide probabilities of a split as RUN/probabilities/SPLIT.npy",
    )
    _on_run(
        commands, "evaluate", run_evaluate, "score a finished run where the labels are at hand", labels=True
    )
    _on_run(
        commands,
        "archive",
        run_archive,
        "predict a split straight into RUN/archives/SPLIT.zip, ready to submit",
    )
    export = _on_run(
        commands,
        "export",
        run_export,
        "write a run's networks, with the normalisation inside, as RUN/export/SPLIT.pt2 (torch) or SPLIT.onnx, and check that they "
        "predict the run's masks",
    )
    kind = export.add_mutually_exclusive_group(required=True)
    kind.add_argument("--torch", action="store_true", help="a program of torch.export")
    kind.add_argument("--onnx", action="store_true", help="for onnxruntime and others")
    scene = _on_run(
        commands,
        "scene",
        run_scene,
        "predict a large GeoTIFF of all bands in overlapping windows and write the mask as a GeoTIFF",
        one_split=True,
    )
    scene.add_argument("image", type=Path, metavar="IMAGE.tif")
    scene.add_argument("out", type=Path, metavar="MASK.tif")


def _add_submit(commands: Any) -> None:
    submit = _on_run(
        commands, "submit", run_submit, "submit a run's archive to a leaderboard through its REST API"
    )
    submit.add_argument("--server", required=True, metavar="URL", help="such as http://127.0.0.1:8000")
    submit.add_argument(
        "--phase",
        help="its name, COMPETITION/NAME where several have it, or number; default: the name of the split",
    )
    submit.add_argument(
        "--token", help="default: the variable L4S_TOKEN, then that of `l4s login`, else asked for"
    )
    submit.add_argument("--name", help="of the method, as the board shows it; default: the run's method")
    submit.add_argument("--description", help="text of the method; default: made from the run")
    submit.add_argument(
        "--reference",
        action="store_true",
        help="mark as the organisers' own: shown, unranked; needs an organiser's token",
    )
    submit.add_argument("--no-wait", action="store_true", help="do not wait for the score")
    submit.add_argument(
        "--patience",
        type=float,
        default=3600,
        metavar="S",
        help="seconds to wait for the score (default: 3600)",
    )


def _on_run(
    commands: Any, name: str, command: Any, text: str, labels: bool = False, one_split: bool = False
) -> argparse.ArgumentParser:
    """A sub-command that takes a run's folder."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    if one_split:
        parser.add_argument(
            "--split",
            choices=SPLITS,
            default="test",
            help="whose networks predict, where a method adapted to both",
        )
    else:
        parser.add_argument("--split", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="where the data are now, if not where they were"
    )
    parser.add_argument("--device", help="default: as trained")
    if name != "predict":
        parser.add_argument(
            "--threshold", type=_share, help="probability from which a pixel is landslide (default: 0.5)"
        )
    if labels:
        parser.add_argument(
            "--labels",
            type=Path,
            metavar="DIR",
            help="where the masks are, if not beside the images: DIR/ValidData/mask, DIR/TestData/mask",
        )
    parser.set_defaults(command=command)
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a probability from 0 to 1")
    return value


def run_train(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from baseline.experiments import records
    from baseline.experiments.results import score_run
    from baseline.training import run
    from baseline.training.options import from_dict, from_file
    from baseline.training.world import world

    if arguments.method is None:
        return _show_methods("train", rest)
    module, flags = _flags("train", arguments.method, rest)
    data, out, preset, end = (flags.pop(name) for name in ("data", "out", "preset", "limit_minutes"))
    stored = from_file(file, arguments.method) if (file := flags.pop("options")) else {}
    options = from_dict(module.Options, module.PRESETS.get(preset, {}) | stored | flags)
    folder = out or Path("runs") / f"{arguments.method}-{preset}-{options.seed}"
    with world(options.device, options.threads, time.monotonic() + 60 * end) as here:
        started = run.start(folder, arguments.method, data, options, here)
        scores = score_run(started, run.train(started))
        if here.main:
            print(f"{folder}: trained. " + " ".join(f"{split}: {score}." for split, score in scores.items()))
            for sentence in records.stop_rule(folder):
                print(sentence)
    return 0


def run_study(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from baseline.experiments import study
    from baseline.training.options import from_dict
    from baseline.training.world import world

    if arguments.method is None or arguments.study is None:
        return _show_methods("study", rest)
    chosen = study.find(arguments.method, arguments.study)
    module, flags = _flags("study", arguments.method, rest)
    names = ("data", "out", "preset", "seeds", "limit_minutes")
    data, out, preset, seeds, end = (flags.pop(name) for name in names)
    base = module.PRESETS.get(preset, {}) | flags
    options = from_dict(module.Options, base)
    folder = out or Path("runs") / f"{arguments.method}-{arguments.study}-{preset}"
    about = {"method": arguments.method, "study": arguments.study, "paper": chosen.paper, "preset": preset}
    about |= {"flags": as_flags(flags)}
    text = ""
    with world(options.device, options.threads, time.monotonic() + 60 * end) as here:
        for rows in study.carry_out(arguments.method, chosen, data, base, seeds, here, folder):
            if here.main:
                text = study.write_tables(folder, about, rows)
    print(text, end="")
    return 0


def run_pretrain(_: argparse.Namespace, rest: Sequence[str]) -> int:
    from baseline.data.spectral import SETS
    from baseline.networks.encoders import swin_options
    from baseline.networks.weights import Encoder
    from baseline.training.pretraining import PretrainOptions, pretrain
    from baseline.training.world import world

    parser = argparse.ArgumentParser(
        prog="python -m baseline pretrain",
        allow_abbrev=False,
        description="Pretrain an encoder on land cover and slope of synthetic sites that no data set has, without landslide labels. Its "
        "weights are kept (the variable LANDSLIDE4SENSE_CACHE names the folder) and are what --weights synthetic starts from; a "
        "training that finds none pretrains by itself.",
    )
    parser.add_argument(
        "encoder", metavar="ENCODER", help="such as resnet18, mit_b0, or a timm name behind tu-"
    )
    parser.add_argument("--bands", choices=SETS, default="all", help="that it is given (default: all)")
    parser.add_argument(
        "--swin-width", type=int, default=0, help="as the methods' option; 0 = that of the name"
    )
    parser.add_argument("--swin-window", type=int, default=8, help="as the methods' option")
    deadline.add_flag(parser)
    skip = {"normalise", "target", "holdout", "holdout_site", "evaluate_every", "width", "weights"}
    add_option_flags(parser, PretrainOptions, skip | {"predict_batch"})
    values = vars(parser.parse_args(rest))
    name, bands, width, window, end = (
        values.pop(key) for key in ("encoder", "bands", "swin_width", "swin_window", "limit_minutes")
    )
    of_swin = swin_options(width, window) if "swin" in name else {}
    options = PretrainOptions(**values)
    with world(options.device, options.threads, time.monotonic() + 60 * end) as here:
        print(pretrain(Encoder(name, bands, of_swin), options, here))
    return 0


def _show_methods(command: str, rest: Sequence[str]) -> int:
    from baseline.methods import METHODS, method

    more = " STUDY" if command == "study" else ""
    print(f"usage: python -m baseline {command} METHOD{more} --data DIR [options]\n")
    for name, text in METHODS.items():
        print(f"  {name:10} {text}")
        studies = getattr(method(name), "STUDIES", {}) if more else {}
        for study_name, study in studies.items():
            print(f"    {study_name:14} {study.paper}")
    return 0 if {"--help", "-h"} & set(rest) else 2


def _flags(command: str, name: str, rest: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """A method's module and the values of the flags given: one flag per field of the method's options."""
    from baseline.methods import method, refuse_idle

    module = method(name)
    parser = argparse.ArgumentParser(
        prog=f"python -m baseline {command} {name}", argument_default=argparse.SUPPRESS, allow_abbrev=False
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data set")
    parser.add_argument("--out", type=Path, default=None, metavar="FOLDER", help="default: a folder in runs/")
    parser.add_argument(
        "--preset", choices=PRESETS, default="full", help="scale of the recipe (default: full)"
    )
    if command == "train":
        parser.add_argument(
            "--options",
            type=Path,
            default=None,
            metavar="FILE",
            help="JSON or TOML with values of the options below, or the options.json of a run; flags override it",
        )
    if command == "study":
        parser.add_argument(
            "--seeds", type=int, nargs="+", default=[0], help="each variant is trained with each"
        )
    deadline.add_flag(parser)
    skip = {"seed"} if command == "study" else set()
    add_option_flags(parser, module.Options, skip, hidden=getattr(module, "IDLE", {}))
    given = vars(parser.parse_args(rest))
    refuse_idle([name], given)
    return module, given


def add_option_flags(parser: Any, kind: type, skip: Collection[str], hidden: Collection[str] = ()) -> None:
    """One flag per field of a class of options; `hidden` ones are not in the help. A flag that is not given leaves no value."""
    types = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in skip:
            continue
        flag = "--" + field.name.replace("_", "-")
        given: dict[str, Any] = {
            "default": argparse.SUPPRESS,
            "help": f"{field.metadata['help']} (full: {field.default})".replace("%", "%%"),
        }
        if field.name in hidden:
            given["help"] = argparse.SUPPRESS
        if types[field.name] is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **given)
        else:
            choices = field.metadata["choices"] or None
            parser.add_argument(flag, type=types[field.name], choices=choices, **given)


def _opened(arguments: argparse.Namespace) -> AbstractContextManager["Run"]:
    """The run of a command, on the device it asks for."""
    return opened(arguments.run, arguments.data, arguments.device, getattr(arguments, "labels", None))


@contextmanager
def opened(
    folder: Path, elsewhere: Path | None = None, device: str | None = None, labels: Path | None = None
) -> Iterator["Run"]:
    """The run in a folder. elsewhere: its data, where they are not where they were."""
    from baseline.training import run
    from baseline.training.world import world

    name, data, options = run.saved(folder)
    if device:
        options = dataclasses.replace(options, device=device)
    with world(options.device, options.threads) as here:
        yield run.Run(folder, name, elsewhere or data, options, here, labels)


def run_predict(arguments: argparse.Namespace) -> int:
    import numpy as np
    from tqdm import tqdm

    with _opened(arguments) as run:
        predictor = run.trained()
        for split in arguments.split:
            chunks = tqdm(run.probabilities(predictor, run.pool(split)), desc=split, disable=None)
            path = run.folder / "probabilities" / f"{split}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, np.concatenate([p.half().cpu().numpy() for p in chunks]))
            print(path)
    return 0


def run_evaluate(arguments: argparse.Namespace) -> int:
    from baseline.data.dataset import FOLDERS
    from baseline.experiments.results import score_run

    with _opened(arguments) as run:
        scores = score_run(run, run.trained(), arguments.split, _threshold(arguments))
        masks = run.labels or run.data
        for split in arguments.split:
            missing = f"no labels in {masks} ({FOLDERS[split]}/mask or annotations/{split}); name their folder with --labels, or submit"
            print(f"{split}: {scores.get(split, missing)}")
    return 0 if scores else 1


def run_archive(arguments: argparse.Namespace) -> int:
    from baseline.submitting.archives import archive_of, write_archive

    with _opened(arguments) as run:
        predictor = run.trained()
        for split in arguments.split:
            path = archive_of(run.folder, split)
            write_archive(run, predictor, run.pool(split), path, _threshold(arguments))
            print(path)
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    from baseline.deploying import export

    wrong = 0
    with _opened(arguments) as run:
        for split in arguments.split:
            path = export.write(run, split, arguments.onnx)
            pixels, differing = export.check(run, split, path, threshold=_threshold(arguments))
            print(f"{path}: {differing} of {pixels} pixels have another class than the run's own prediction.")
            wrong += differing
    return 1 if wrong else 0


def run_scene(arguments: argparse.Namespace) -> int:
    from baseline.deploying import scene

    with _opened(arguments) as run:
        made = scene.predict(run, arguments.image, arguments.out, arguments.split, _threshold(arguments))
    seen = made.landslide + made.background
    share = 100 * made.landslide / seen if seen else 0
    print(
        f"{made.mask}: {made.landslide} of {seen} pixels are landslide ({share:.2f} %), {made.nothing} without data."
    )
    print(f"{made.probabilities}: their probabilities.")
    return 0


def _threshold(arguments: argparse.Namespace) -> float:
    return 0.5 if arguments.threshold is None else arguments.threshold


def run_submit(arguments: argparse.Namespace) -> int:
    from baseline.submitting import entries as submitting
    from baseline.submitting.archives import archive_of, check_count, is_fresh
    from baseline.training.run import saved

    name, _, _ = saved(arguments.run)
    if arguments.phase and len(arguments.split) != 1:
        raise ValueError("--phase names one phase: say with --split which split's archive goes there.")
    with submitting.connect(arguments.server, arguments.token) as client:
        phases = {s: client.phase(arguments.phase or s) for s in arguments.split}
        asked = arguments.data, arguments.threshold
        if missing := [split for split in arguments.split if not is_fresh(arguments.run, split, *asked)]:
            run_archive(argparse.Namespace(**vars(arguments) | {"split": missing}))
        for split in arguments.split:
            check_count(archive_of(arguments.run, split), phases[split])
        states = [
            submitting.submit(
                client,
                phases[split],
                archive_of(arguments.run, split),
                arguments.name or name,
                arguments.description or submitting.description(arguments.run),
                arguments.reference,
                0 if arguments.no_wait else arguments.patience,
            )["state"]
            for split in arguments.split
        ]
    return 1 if {"invalid", "failed"} & set(states) else 0


def run_list(arguments: argparse.Namespace) -> int:
    from baseline.methods import METHODS
    from baseline.training.run import finished_weights

    for name, text in METHODS.items():
        print(f"{name:10} {text}")
    found = sorted(arguments.folder.glob("*/options.json"))
    if not found:
        print(f"No runs in {arguments.folder}.")
    for options in found:
        folder, content = options.parent, json.loads(options.read_text())
        state = "finished" if finished_weights(folder) else "not finished"
        metrics = folder / "metrics.json"
        scores = json.loads(metrics.read_text()) if metrics.exists() else {}
        figures = ", ".join(f"{split} F1 {100 * score['f1']:.2f} %" for split, score in scores.items())
        print(
            f"{folder}: {content['method']}, seed {content['options']['seed']}, {state}"
            + f", {figures}" * bool(figures)
        )
    return 0
