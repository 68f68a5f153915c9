"""From a spec to a record, through checkpoints that resume bit for bit."""

import dataclasses

import torch

from lowbit.layers import kernels
from lowbit.layers.cells import State
from lowbit.layers.networks import detach
from lowbit.studies import provenance, store
from lowbit.studies.spec import RunSpec
from lowbit.studies.store import Record
from lowbit.training import canary, checkpoint, weights
from lowbit.training.checkpoint import checkpoint_path, network_path
from lowbit.training.updates import Updates, Watch, build

__all__ = ["Session", "Watch", "advance", "build", "checkpoint_path", "network_path", "progress", "recall", "train"]


def recall(spec: RunSpec, watch: Watch | None = None) -> Record:
    """The record of a run on file; else trains, and files the record. A second process with the same run waits.

    `watch` is called after each update, as with `progress`. Raises `InputError` where data or files cannot be had.

    >>> import lowbit
    >>> spec = lowbit.RunSpec(budget="smoke(updates=2, evaluate_every=1, valid_limit=300, test_limit=300)")
    >>> record = lowbit.recall(spec)
    >>> [point["update"] for point in record.curve], record.metric["unit"]
    ([1, 2], 'bits per character')
    """
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


@kernels.flush_denormals()
def advance(spec: RunSpec, updates: int, watch: Watch | None = None) -> list[dict]:
    """Trains to the first validation after some updates and leaves a checkpoint; returns the curve so far.

    >>> import lowbit
    >>> from lowbit.training.train import advance
    >>> advance(lowbit.RunSpec(budget="smoke(updates=4, evaluate_every=2, valid_limit=300)"), 1)[-1]["update"]
    2
    """
    session = Session(spec)
    session.run(watch, updates)
    return session.curve


def progress(spec: RunSpec) -> Watch:
    """A bar with the time left and the last validation score, on standard error.

    >>> import lowbit
    >>> spec = lowbit.RunSpec(budget="smoke(updates=2, valid_limit=300, test_limit=300)", seed=1)
    >>> lowbit.recall(spec, lowbit.progress(spec)).run.seed
    1
    """
    from tqdm import tqdm

    bar = tqdm(desc=spec.key, unit="update", leave=False)

    def watch(update: int, updates: int, curve: list) -> None:
        bar.total = updates
        bar.update(update - bar.n)
        if curve:
            bar.set_postfix(valid=f"{curve[-1]['valid']:.3f}")

    return watch


class Session(Updates):
    """A run that goes on from its checkpoint, where there is one, and ends in a record."""

    def __init__(self, spec: RunSpec):
        self.canary = canary.canary(spec)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.made_by = [self.canary["sha256"], str(torch.__version__), device.type]
        super().__init__(spec, spec.data, spec.recipe, device)
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
        super()._start()
        self.meter = provenance.Meter()

    def record(self) -> Record:
        """Evaluates the best network and says all that a record says."""
        metrics = self.scores()
        baselines, spent = self.data.baselines(self.recipe.test_limit), self.meter.read()
        record = Record(
            spec=dataclasses.asdict(self.spec),
            recipe=dataclasses.asdict(self.recipe),
            metric={"name": self.data.metric.name, "unit": self.data.metric.unit},
            metrics=metrics,
            curve=self.curve,
            weights=weights.describe(self.network),
            data={"sha256": self.data.digest, **self.data.facts(), "baselines": baselines},
            sizes=weights.sizes(self.network),
            seconds=spent["wall_seconds"],
            machine={**provenance.machine(), "spent": spent, "kernels": sorted(self.ran)},
            canary=self.canary,
        )
        return record.sealed()

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
