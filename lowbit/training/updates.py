"""The updates of a run: one training loop, whatever is kept of it."""

import abc
import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import nn

from lowbit import quantizers
from lowbit.datasets import Batch, Dataset, Recipe
from lowbit.layers import cells, kernels, networks
from lowbit.layers.networks import Network, detach
from lowbit.layers.recurrent import Design
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, weights

# updates done, updates planned, validations so far
Watch = Callable[[int, int, list], None]


def build(spec: RunSpec, data: Dataset | None = None, recipe: Recipe | None = None) -> Network:
    """The untrained network of a spec, or of its choices on other data and sizes; its weights follow from the seed."""
    torch.manual_seed(spec.seed)
    data, recipe = data or spec.data, recipe or spec.recipe
    design = Design(
        cells.build(spec.cell),
        quantizers.build(spec.quantizer),
        spec.norm,
        cells.parse_parts(spec.quantized),
        quantizers.build(spec.activations),
        recipe.init,
        recipe.chrono,
        recipe.start,
    )
    return networks.registry[data.task](data.inputs, data.outputs, recipe, design)


class Updates(abc.ABC):
    """One run while it lasts: network, optimizer, place in the data, curve, and the best network so far."""

    def __init__(self, spec: RunSpec, data: Dataset, recipe: Recipe, device: torch.device):
        self.spec, self.data, self.recipe, self.device = spec, data, recipe, device
        self._start()

    @abc.abstractmethod
    def _keep(self) -> None:
        """What is done after each validation."""

    def _start(self) -> None:
        self.network = build(self.spec, self.data, self.recipe).to(self.device)
        for layer in self.network.recurrent().values():
            layer.kernels = kernels.fastest()
        self.optimizer = optimizer(self.network, self.recipe)
        self.update, self.epoch, self.seen = 0, 0, 0  # updates; passes over the data; batches of this pass
        self.skipped, self.ran = 0, set()  # updates whose gradient was not finite; kernels of training steps
        self.rate, self.curve = self.recipe.rate, []
        self.best, self.states = None, None  # the network of the best validation; the state to carry on

    def run(self, watch: Watch | None = None, until: float = math.inf) -> None:
        """Trains to the end, until validation stops improving, or to the first validation after `until` updates."""
        loss, points = 0.0, 0
        self.network.train()
        for batch in self._batches():
            if self.finished or (self.curve and until <= self.update == self.curve[-1]["update"]):
                break
            step_loss, step_points = self._step(batch.to(self.device))
            loss, points = loss + step_loss, points + step_points
            self.update, self.seen = self.update + 1, self.seen + 1
            if self.update % self.recipe.evaluate_every == 0 or self.update == self.recipe.updates:
                self._validate(loss / points if points else math.nan)
                loss, points = 0.0, 0
                self._keep()
            if watch is not None:
                watch(self.update, self.recipe.updates, self.curve)

    @property
    def finished(self) -> bool:
        """All updates done, or patience at its end."""
        if self.update >= self.recipe.updates:
            return True
        scores = [point["valid"] for point in self.curve]
        waited = len(scores) - 1 - scores.index(min(scores)) if scores else 0
        return 0 < self.recipe.patience <= waited

    def scores(self) -> dict:
        """The three evaluations of the best network."""
        if self.best is not None:
            self.network.load_state_dict(self.best)
        torch.manual_seed(self.spec.seed)
        quantizer = quantizers.build(self.spec.quantizer)
        return evaluate.three(self.network, self.data, self.recipe, quantizer.stochastic)

    def _batches(self) -> Iterator[Batch]:
        recipe = self.recipe
        while True:
            if recipe.carry:
                stream = self.data.streams("train", recipe.batch, recipe.steps)
            else:
                order = torch.Generator().manual_seed(1_000_003 * self.spec.seed + self.epoch)
                stream = self.data.batches("train", recipe.batch, recipe.steps, order)
            yield from itertools.islice(stream, self.seen, None)
            if self.seen == 0:
                raise InputError(f"{self.data.title}: no batch of {recipe.batch} sequences in the data")
            self.epoch, self.seen = self.epoch + 1, 0

    def _step(self, batch: Batch) -> tuple[float, int]:
        before = None if batch.fresh or self.states is None else detach(self.states)
        outputs, self.states = self.network(batch.x, before, None, batch.lengths)
        self.ran.update(layer.kernel_name for layer in self.network.recurrent().values())
        total, points = self.data.loss.total(outputs, batch), self.data.loss.points(batch)
        self.optimizer.zero_grad()
        (total / points).backward()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        if not nn.utils.get_total_norm(gradients, math.inf).isfinite():  # one such step would end the run
            self.skipped, self.states = self.skipped + 1, None
            return 0.0, 0
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        before_step = weights.masters(self.network) if self.recipe.clip_steps else None
        self.optimizer.step()
        if before_step is not None:
            weights.clip_steps(self.network, before_step)
        if self.recipe.clip_masters:
            weights.clip_masters(self.network)
        weights.follow_curvature(self.network, self.optimizer)
        return total.item(), points

    def _rate(self) -> float:
        if self.recipe.divide:
            return self.rate
        done = self.update / self.recipe.updates
        return self.recipe.rate * (self.recipe.final_rate / self.recipe.rate) ** done

    def _validate(self, nats: float) -> None:
        valid = evaluate.validation(self.network, self.data, self.recipe)
        self.network.train()
        scores = [point["valid"] for point in self.curve]
        rate = self._rate()
        valid = valid if math.isfinite(valid) else math.inf
        self.curve.append({"update": self.update, "train_nats": nats, "valid": valid, "rate": rate})
        if self.skipped:
            self.curve[-1]["skipped"] = self.skipped
        if not scores or valid < min(scores):
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}
        elif self.recipe.divide:
            self.rate /= self.recipe.divide
        if self.recipe.restart:
            self.optimizer.state.clear()


def optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam with its usual constants, or plain SGD."""
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[recipe.optimizer]
    return kind([p for p in network.parameters() if p.requires_grad], lr=recipe.rate, fused=True)
