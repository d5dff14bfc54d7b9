"""The simplest objective: one network, one labelled pool, one loss."""

from collections.abc import Callable

from torch import Tensor, nn

from baseline.data.dice import Dice
from baseline.data.pool import Pool
from baseline.training.loop import Objective
from baseline.training.losses import Loss

Augment = Callable[[Tensor, Tensor, Dice], tuple[Tensor, Tensor]]


class Supervised(Objective):
    def __init__(self, network: nn.Module, pool: Pool, loss: Loss, augment: Augment | None = None):
        super().__init__()
        self.network = network
        self.pool = pool
        self.loss = loss
        self.augment = augment

    def forward(self, dice: Dice) -> dict[str, Tensor]:
        images, labels = self.pool.batch(dice)
        if self.augment:
            images, labels = self.augment(images, labels, dice)
        return {"loss": self.loss(self.network(images), labels)}
