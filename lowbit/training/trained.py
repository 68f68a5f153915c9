"""Trained networks: the one that a run left on this machine, else one trained again."""

from lowbit.layers.networks import Network
from lowbit.studies import store
from lowbit.studies.spec import RunSpec
from lowbit.studies.store import Record
from lowbit.training import checkpoint, train, weights


def network(spec: RunSpec, watch: train.Watch | None = None) -> Network:
    """The trained network of a run, on the CPU; trains again where it is not at hand.

    A record on file stays as it is; `belongs` says whether the network is the record's own.
    """
    train.recall(spec, watch)
    network = at_hand(spec)
    if network is None:
        train.train(spec, watch)
        train.checkpoint_path(spec).unlink(missing_ok=True)
        network = _read(spec)
    return network


def at_hand(spec: RunSpec) -> Network | None:
    """The network of the record on file, if training left it here; else None."""
    record = store.load(spec)
    if record is None or not train.network_path(spec).exists():
        return None
    network = _read(spec)
    return network if network is not None and belongs(network, record) else None


def belongs(network: Network, record: Record) -> bool:
    """Whether a network is that of a record: its masters have the record's checksums."""
    return masters(weights.describe(network)) == masters(record.weights)


def masters(described: dict) -> dict[str, str]:
    """The sha256 of each master matrix, from the weights as a record describes them."""
    return {name: entry["sha256"] for name, entry in described.items()}


def _read(spec: RunSpec) -> Network | None:
    network = train.build(spec)
    try:
        network.load_state_dict(checkpoint.load(train.network_path(spec)))
    except Exception:  # a damaged file, or one of another version, can raise anything
        return None
    return network
