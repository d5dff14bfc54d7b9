"""The methods, by name. Each is one module with

- TITLE: the name of its entries on a board;
- Options: a dataclass whose defaults are the method's recipe at the competition's scale;
- PRESETS: what the presets tiny, small and medium change of it;
- build(options) -> Predictor: the untrained networks;
- looks_at(options): the splits, beside that of training, whose images the training looks at;
- KEEPS_BEST, if it keeps the weights of its best evaluation rather than the last;
- train(run, predictor): trains them in place, in stages;
- SOURCE_STAGES: patterns of the names of stages that look at labelled patches alone;
- IDLE, if some shared options do nothing in this method: the reason per option;
- STUDIES, if the paper compares variants of the method, and UNSEEN: see baseline/experiments/study.py.
"""

from collections.abc import Collection, Iterable
from importlib import import_module
from types import ModuleType

from baseline.training.options import OptionError

METHODS = {
    "unet": "the organisers' U-Net baseline",
    "kingdrone": "first place: ensemble at 512 pixels, separated normalisation, label refinement",
    "seek": "second place: Swin Transformer on RGB, two-stage balanced training, self-training",
    "tanmlh": "third place: self-training with Monte Carlo dropout, mix-up, dense CRF",
    "sklgp": "special prize: Multi-spectral U-Net, validation pseudo-labels",
    "consensus": "our own: one U-Net on any radiometry, averaged weights, eight views",
}


class UnknownMethod(ValueError):
    pass


def method(name: str) -> ModuleType:
    """The module of a method; imports torch."""
    if name not in METHODS:
        raise UnknownMethod(f"There is no method {name!r}. The methods are: {', '.join(METHODS)}.")
    return import_module(f"baseline.methods.{name}")


def refuse_idle(names: Collection[str], given: Iterable[str]) -> None:
    """Raise OptionError if a given option does nothing in any of these methods."""
    idle = {name: getattr(method(name), "IDLE", {}) for name in names}
    for option in given:
        if all(option in reasons for reasons in idle.values()):
            why = "; ".join(f"{name}: {reasons[option]}" for name, reasons in idle.items())
            raise OptionError(f"--{option.replace('_', '-')} does nothing here. {why}. Leave it out.")
