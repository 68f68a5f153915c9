"""The training loop: from a spec to a record, through checkpoints that resume bit for bit."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import nn

from lowbit import quantizers
from lowbit.datasets import Batch, Recipe
from lowbit.layers import cells, kernels, networks
from lowbit.layers.cells import State
from lowbit.layers.networks import Network, detach
from lowbit.layers.recurrent import Design
from lowbit.registry import InputError
from lowbit.studies import provenance, store
from lowbit.studies.spec import RunSpec
from lowbit.studies.store import Record
from lowbit.training import checkpoint, evaluate, weights
from lowbit.training.checkpoint import checkpoint_path, network_path

Watch = Callable[[int, int, list], None]  # updates done, updates planned, validations so far


def build(spec: RunSpec) -> Network:
    """The untrained network of a spec; its first weights follow from the seed."""
    torch.manual_seed(spec.seed)
    data, recipe = spec.data, spec.recipe
    design = Design(
        cells.build(spec.cell),
        quantizers.build(spec.quantizer),
        spec.norm,
        cells.parse_parts(spec.quantized),
        quantizers.build(spec.activations),
        recipe.init,
        recipe.start,
    )
    return networks.registry[data.task](data.inputs, data.outputs, recipe, design)


def recall(spec: RunSpec, watch: Watch | None = None) -> Record:
    """The record of a run that was made before; else trains, and files the record. A second such process waits."""
    record = store.current(spec)
    if record is None:
        store.probe(spec)
        with store.hold(spec.key):
            record = store.current(spec)
            if record is None:
                record = train(spec, watch)
                store.save(record)
    checkpoint_path(spec).unlink(missing_ok=True)
    return record


@kernels.flush_denormals()
def train(spec: RunSpec, watch: Watch | None = None) -> Record:
    """Trains and evaluates; an interrupted run of the same spec goes on from its last validation.

    The same spec gives the same digest on the same machine with the same number of threads.
    """
    session = Session(spec)
    session.run(watch)
    record = session.record()
    checkpoint.save(session.network.state_dict(), network_path(spec))
    return record


def progress(spec: RunSpec) -> Watch:
    """A bar with the time left and the last validation score, on standard error."""
    from tqdm import tqdm

    bar = tqdm(desc=spec.key, unit="update", leave=False)

    def watch(update: int, updates: int, curve: list) -> None:
        bar.total = updates
        bar.update(update - bar.n)
        if curve:
            bar.set_postfix(valid=f"{curve[-1]['valid']:.3f}")

    return watch


class Session:
    """One run while it lasts: network, optimizer, place in the data, curve, and the best network so far."""

    def __init__(self, spec: RunSpec):
        self.spec, self.data, self.recipe = spec, spec.data, spec.recipe
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.made_by = [provenance.code(spec), str(torch.__version__), self.device.type]
        self._start()
        file = checkpoint_path(spec)
        if file.exists():
            try:
                self._resume(checkpoint.load(file))
            except (MemoryError, torch.OutOfMemoryError):  # says nothing of the file
                raise
            except Exception as error:
                checkpoint.set_aside(file, error)
                self._start()

    def _start(self) -> None:
        self.network = build(self.spec).to(self.device)
        for layer in self.network.recurrent().values():
            layer.kernels = kernels.fastest()
        self.optimizer = optimizer(self.network, self.recipe)
        self.update, self.epoch, self.seen = 0, 0, 0  # updates; passes over the data; batches of this pass
        self.skipped, self.ran = 0, set()  # updates whose gradient was not finite; kernels of training steps
        self.rate, self.curve = self.recipe.rate, []
        self.best, self.states = None, None  # the network of the best validation; the state to carry on
        self.meter = provenance.Meter()

    def run(self, watch: Watch | None = None) -> None:
        """Trains to the end or until validation stops improving."""
        loss, points = 0.0, 0
        self.network.train()
        for batch in self._batches():
            if self.finished:
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

    def record(self) -> Record:
        """Evaluates the best network and says all that a record says."""
        if self.best is not None:
            self.network.load_state_dict(self.best)
        torch.manual_seed(self.spec.seed)
        quantizer = quantizers.build(self.spec.quantizer)
        metrics = evaluate.three(self.network, self.data, self.recipe, quantizer.stochastic)
        baselines, spent = self.data.baselines(self.recipe.test_limit), self.meter.read()
        told = Record(
            spec=dataclasses.asdict(self.spec),
            recipe=dataclasses.asdict(self.recipe),
            metric={"name": self.data.metric.name, "unit": self.data.metric.unit},
            metrics=metrics,
            curve=self.curve,
            weights=weights.describe(self.network),
            data={"sha256": self.data.digest, **self.data.facts(), "baselines": baselines},
            sizes=weights.sizes(self.network),
            seconds=spent["wall_seconds"],
            machine={**provenance.machine(), "code": self.made_by[0], "spent": spent, "kernels": sorted(self.ran)},
        )
        return told.sealed()

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

    # What a checkpoint holds as it is.
    KEPT = ("update", "epoch", "seen", "curve", "best", "rate", "skipped", "made_by")

    def _keep(self) -> None:
        values = {name: getattr(self, name) for name in self.KEPT} | {"spent": self.meter.read()}
        values |= {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        values |= {"random": torch.get_rng_state(), "random_cuda": torch.cuda.get_rng_state_all()}
        values["states"] = self.states and [(list(state.values), state.t) for state in detach(self.states)]
        values["ran"] = sorted(self.ran)
        checkpoint.save(values, checkpoint_path(self.spec))

    def _resume(self, values: dict) -> None:
        if values["made_by"] != self.made_by:  # what began under other code would end as neither
            return
        self.meter = provenance.Meter(values["spent"])
        self.network.load_state_dict(values["network"])
        self.optimizer.load_state_dict(values["optimizer"])
        for name in self.KEPT:
            setattr(self, name, values[name])
        if values["states"] is not None:
            self.states = [State(tuple(x.to(self.device) for x in memory), t) for memory, t in values["states"]]
        self.ran = set(values["ran"])
        torch.set_rng_state(values["random"])
        torch.cuda.set_rng_state_all(values["random_cuda"][: torch.cuda.device_count()])


def optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam with its usual constants, or plain SGD."""
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[recipe.optimizer]
    return kind([p for p in network.parameters() if p.requires_grad], lr=recipe.rate, fused=True)
