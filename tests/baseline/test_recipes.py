"""What each method hands to the training loop, stage by stage: losses, patches, labels, learning rates. Nothing is trained."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from baseline import methods  # noqa: E402
from baseline.data.dataset import OFFICIAL, load  # noqa: E402
from baseline.data.dice import Dice  # noqa: E402
from baseline.data.pool import Pool  # noqa: E402
from baseline.data.spectral import principal_components  # noqa: E402
from baseline.networks.cross_sensor import TARGET, CrossSensorNorm, with_cross_sensor_norm  # noqa: E402
from baseline.networks.unet import UNet  # noqa: E402
from baseline.training import losses, pseudo  # noqa: E402
from baseline.training.augment import flips_and_turns, perturb_colours  # noqa: E402
from baseline.training.options import Options, from_dict  # noqa: E402
from baseline.training.run import Run  # noqa: E402
from baseline.training.world import World  # noqa: E402

kingdrone, seek, tanmlh, sklgp = map(methods.method, ("kingdrone", "seek", "tanmlh", "sklgp"))


@dataclass
class Noted:
    """A stage as it was asked for; keeps_best: by evaluations; trained: the parameters that would be trained."""

    name: str
    objective: torch.nn.Module
    options: Options
    keeps_best: bool
    trained: set[str]


class Rehearsed(Run):
    """Random patches; stages are noted, and go through one forward pass; predictions are random."""

    def __init__(self, method, target="test", **changes):
        options = from_dict(
            method.Options, method.PRESETS["tiny"] | {"batch": 4, "width": 4, "target": target} | changes
        )
        super().__init__(
            Path(), method.__name__.rpartition(".")[2], Path(), options, World(torch.device("cpu"))
        )
        self.stages, self.predictions, self.dropout = [], [], []
        predictor = method.build(options)
        method.train(self, predictor)
        self.predictor = predictor

    def pool(self, split):
        if split not in self._pools:
            generator = torch.Generator().manual_seed(len(split))
            images = len(split) + torch.randn(6, 16, 16, 14, generator=generator).half()
            self._pools[split] = Pool(images, (images[..., 3] > 6).to(torch.uint8), split)
        return self._pools[split]

    def fit(self, stage, objective, options=None, evaluate=None, keep_best=True):
        trained = {name for name, p in objective.named_parameters() if p.requires_grad}
        keeps = evaluate is not None and keep_best
        self.stages.append(Noted(stage, objective, options or self.options, keeps, trained))
        objective.train()
        objective(Dice(0, 0, 4))

    def predicted(self, predictor, pool):
        assert pool.labels is None  # nobody looks at the target's labels
        generator = torch.Generator().manual_seed(len(self.predictions))
        self.predictions.append(torch.rand(len(pool), 16, 16, generator=generator))
        self.dropout.append(any(getattr(m, "on", False) for m in predictor.modules()))
        return self.predictions[-1]


def starts_from(stage, run, word, make):
    """Whether a stage's weights are fresh ones of that word, whatever was drawn before: a resumed run draws less."""
    run.seed(word)
    pairs = zip(stage.objective.network.parameters(), make(run.options).parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def small_networks(monkeypatch):
    monkeypatch.setattr(kingdrone, "_network", lambda name, options: with_cross_sensor_norm(UNet(width=4)))
    monkeypatch.setattr(kingdrone, "scale_up", lambda images, size: images)
    own = tanmlh.with_monte_carlo_dropout
    monkeypatch.setattr(tanmlh, "_network", lambda options: own(UNet(width=4), options.dropout))


def test_kingdrones_rounds(small_networks):
    run = Rehearsed(kingdrone, networks="resunet,segformer", rounds=2, guard=False, round_steps=7)
    names = [
        f"{network}-{number}" for number in ("0", "1-test", "2-test") for network in ("resunet", "segformer")
    ]
    assert [stage.name for stage in run.stages] == names
    first, refining = run.stages[:2], run.stages[2:]
    assert all(stage.options == run.options for stage in first)
    assert {(s.options.steps, s.options.warmup) for s in refining} == {(7, 0)}
    assert {s.options.learning_rate for s in refining} == {run.options.learning_rate / 3}
    assert all(set(stage.objective.pools) == {"source"} for stage in first)
    assert all(stage.objective.loss is kingdrone.imbalance_loss for stage in run.stages)
    assert len(run.predictions) == 2  # the ensemble's, once a round
    for stage, p in zip(refining, [p for p in run.predictions for _ in range(2)], strict=True):
        source, target = stage.objective.pools["source"], stage.objective.pools["target"]
        assert torch.equal(source.labels, run.pool("train").labels)
        assert torch.equal(target.images, run.pool("test").images)
        assert torch.equal(target.labels, pseudo.by_threshold(p, landslide=0.7, background=0.1))


def test_kingdrones_soft_labels_are_the_ensembles_probabilities(small_networks):
    run = Rehearsed(kingdrone, networks="resunet", rounds=1, guard=False, soft="teacher")
    (p,), objective = run.predictions, run.stages[-1].objective
    hard, soft = objective.pools["target"].labels.unbind(1)
    assert torch.equal(hard, pseudo.by_threshold(p, landslide=0.7, background=0.1))
    torch.testing.assert_close(soft.float() / 255, p, atol=0.5 / 255, rtol=0)
    logits, labels = torch.randn(2, 2, 8, 8), torch.randint(0, 2, (2, 8, 8))
    labels[:, 0] = losses.IGNORE
    q = torch.randint(0, 256, (2, 8, 8))
    counted, log_p, target = labels != losses.IGNORE, logits.log_softmax(1), q / 255
    expected = -(target * log_p[:, 1] + (1 - target) * log_p[:, 0])[counted].mean()
    rest = losses.lovasz_softmax(logits, labels) + losses.ohem_cross_entropy(logits, labels)
    found = kingdrone.imbalance_loss(logits, torch.stack([labels, q], 1))
    torch.testing.assert_close(found, rest + expected)


@pytest.mark.parametrize("name", ["kingdrone", "seek", "tanmlh"])
def test_each_split_is_predicted_by_what_adapted_to_it(name, small_networks):
    """From equal weights; each target's stages see its images alone."""
    changes = {"seek": {"network": "unet"}, "kingdrone": {"networks": "resunet", "guard": False}}.get(
        name, {}
    )
    run = Rehearsed(methods.method(name), target="each", **changes)
    last = {split: [s for s in run.stages if s.name.endswith(split)][-1] for split in ("validation", "test")}
    for split, stage in last.items():
        pools = {
            "kingdrone": lambda o: [o.pools["target"]],
            "seek": lambda o: [o.pool],
            "tanmlh": lambda o: [o.pools[1]],
        }[name](stage.objective)
        images = pools[0].images[-6:]
        assert torch.equal(images, run.pool(split).images)
        ours = run.predictor.member(split).networks[0]
        assert ours is stage.objective.network
    assert run.predictor.member("train") is run.predictor.member("test")
    run.predictor.eval()
    images = torch.randn(2, 14, 16, 16)
    for split in last:
        run.predictor.split = split
        own = run.predictor.member(split)
        own.split = split
        if name != "tanmlh":
            assert torch.equal(run.predictor(images), own(images))


def test_kingdrones_target_starts_from_the_source(small_networks):
    network = Rehearsed(kingdrone, networks="resunet", rounds=0).predictor.networks[0]
    norms = [m for m in network.modules() if isinstance(m, CrossSensorNorm)]
    assert norms[0].source.running_mean.abs().max() > 0.01
    assert all(torch.equal(n.source.running_mean, getattr(n, TARGET).running_mean) for n in norms)


def test_kingdrones_patches_are_turned_and_recoloured(small_networks):
    run = Rehearsed(kingdrone, networks="resunet", rounds=1, guard=False)
    objective, seen = run.stages[-1].objective, []
    objective.network.register_forward_hook(lambda module, inputs, logits: seen.append((inputs[0], logits)))
    found = objective(Dice(1, 0, 4))
    dice = Dice(1, 0, 4)
    for (name, pool), (images, logits) in zip(objective.pools.items(), seen, strict=True):
        turned, labels = flips_and_turns(*pool.batch(dice), dice)
        torch.testing.assert_close(images, perturb_colours(turned, dice))
        torch.testing.assert_close(found[name], kingdrone.imbalance_loss(logits, labels))


def test_seeks_three_stages():
    run = Rehearsed(seek, network="unet", confident=0.7, steps=40, learning_rate=0.5)
    first, second, last = run.stages
    assert [stage.name for stage in run.stages] == ["stage-1", "stage-2", "self-training-test"]
    assert first.options == run.options
    assert (second.options.steps, second.options.learning_rate, second.options.warmup) == (10, 0.5, 0)
    assert (last.options.steps, last.options.learning_rate, last.options.warmup) == (10, 0.05, 0)

    weighted, lovasz = first.objective.segmentation
    assert isinstance(weighted, partial)
    assert weighted.func is seek.weighted_loss
    assert lovasz is losses.lovasz_softmax
    assert second.objective.segmentation == (losses.cross_entropy,)
    assert first.objective.two_sided
    assert second.objective.two_sided

    assert any(".encoder." in name for name in first.trained)
    assert second.trained == {name for name in first.trained if ".encoder." not in name}
    everything = {f"network.{name}" for name, _ in run.predictor.networks[0].named_parameters()}
    assert last.trained == everything
    labels = torch.cat([run.pool("train").labels, pseudo.most_confident(run.predictions[0], 0.7)])
    assert torch.equal(last.objective.pool.labels, labels)
    assert last.objective.loss is seek.self_training_loss


@pytest.mark.parametrize(
    ("training", "loss"),
    [("normal", losses.cross_entropy), ("focal", losses.focal), ("lovasz", losses.lovasz_softmax)],
)
def test_seeks_single_stages(training, loss):
    (stage,) = Rehearsed(seek, network="unet", training=training, confident=0.0).stages
    assert stage.objective.loss is loss


def test_seek_as_printed_and_on_principal_components():
    run = Rehearsed(seek, network="unet", bands="pca", one_sided=True, confident=0.0)
    assert not any(stage.objective.two_sided for stage in run.stages)
    expected = principal_components(run.pool("train"), 3)
    assert torch.equal(run.predictor.networks[0].mixture, expected)


def test_tanmlhs_student(small_networks):
    run = Rehearsed(tanmlh, runs=4, mix_up=0.3)
    teacher, student = run.stages
    assert [pool.name for pool in teacher.objective.pools] == ["train"]
    assert [pool.name for pool in student.objective.pools] == ["train", "test"]
    assert run.dropout == [False] + 4 * [True]
    p, *runs = run.predictions
    labels = pseudo.least_uncertain(
        p, torch.stack(runs).var(0, unbiased=False), background=0.9, landslide=0.7
    )
    assert torch.equal(student.objective.pools[1].labels, labels)
    assert teacher.objective.beta == student.objective.beta == 0.3
    assert run.predictor.networks[0] is student.objective.network is not teacher.objective.network
    assert starts_from(student, run, "student", tanmlh._network)


def test_tanmlhs_field_is_guided_by_red_green_and_blue():
    guides = []
    predictor = tanmlh.Sharpened(torch.nn.Conv2d(14, 2, 1), lambda p, guide: guides.append(guide) or p)
    predictor(torch.arange(14.0).view(1, 14, 1, 1).expand(1, 14, 2, 2))
    assert guides[0][0, :, 0, 0].tolist() == [3, 2, 1]  # B4, B3, B2


def test_sklgps_two_trainings():
    run = Rehearsed(sklgp, steps=710, warmup=10)
    first, second = run.stages
    assert [stage.name for stage in run.stages] == ["first", "second"]
    assert (
        first.options == second.options == replace(run.options, cycle=100)
    )  # 100 + 200 + 400 after the warm-up
    assert first.keeps_best
    assert second.keeps_best
    assert first.objective.loss is second.objective.loss is losses.cross_entropy
    annotated = (run.predictions[0] >= 0.5).to(torch.uint8)
    assert torch.equal(second.objective.pool.labels, torch.cat([first.objective.pool.labels, annotated]))
    assert run.predictor.networks[0] is second.objective.network is not first.objective.network
    assert starts_from(second, run, "second", sklgp._network)


def test_sklgps_cycle_is_of_restarts_alone_and_never_shorter_than_a_step():
    assert Rehearsed(sklgp, steps=5, warmup=10).stages[0].options.cycle == 1
    assert Rehearsed(sklgp, steps=710, warmup=10, schedule="cosine").stages[0].options.cycle == 0


def test_splits_are_normalised_by_the_statistics_asked_for(data, tmp_path):
    """Separated: each by its own mean and deviation. Train and official: all by the same."""
    found = {}
    for choice in ("separated", "train", "official"):
        (tmp_path / choice).mkdir()
        run = Run(tmp_path / choice, "unet", data, Options(normalise=choice), World(torch.device("cpu")))
        for split in ("test", "train"):
            values = run.pool(split).images.float().reshape(-1, 14)
            found[choice, split] = values.mean(0).numpy(), values.std(0).numpy()
    for choice, split in (("separated", "train"), ("separated", "test"), ("train", "train")):
        mean, std = found[choice, split]
        np.testing.assert_allclose(mean, 0, atol=2e-3)
        np.testing.assert_allclose(std, 1, atol=2e-3)
    stored = {split: load(data, split).images.mean((0, 2, 3)) for split in ("train", "test")}
    train = load(data, "train").moments.statistics()
    for choice, statistics in (("train", train), ("official", OFFICIAL)):
        expected = (stored["test"] - statistics.mean) / statistics.std
        np.testing.assert_allclose(found[choice, "test"][0], expected, atol=2e-3)
    assert np.abs(found["train", "test"][0]).max() > 0.1
