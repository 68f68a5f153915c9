import dataclasses

from lowbit.studies import store
from lowbit.studies.spec import RunSpec
from lowbit.training import checkpoint, evaluate, train, trained

TINY = "smoke(updates=4, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"
SPEC = RunSpec(budget=TINY)


def forbidden(*_):
    raise AssertionError("trained")


def test_training_saves_the_network_of_the_record():
    record = train.recall(SPEC)
    network = trained.network(SPEC, forbidden)
    assert trained.belongs(network, record)
    assert evaluate.deployed(network, SPEC.data, SPEC.recipe)[0] == record.metrics["deployed"]


def test_a_missing_network_is_trained_again_and_the_record_stays():
    record = train.recall(SPEC)
    for content in (None, b"half a file"):
        if content is None:
            train.network_path(SPEC).unlink()
        else:
            train.network_path(SPEC).write_bytes(content)
        assert trained.at_hand(SPEC) is None
        assert trained.belongs(trained.network(SPEC), record)
        assert trained.at_hand(SPEC) is not None
    assert store.load(SPEC) == record


def test_a_network_of_another_record_is_ignored():
    train.recall(SPEC)
    other = dataclasses.replace(SPEC, seed=1)
    train.recall(other)
    checkpoint.save(train.build(other).state_dict(), train.network_path(SPEC))
    assert trained.at_hand(SPEC) is None


def test_without_a_record_there_is_no_network_on_file():
    train.train(SPEC)
    assert trained.at_hand(SPEC) is None
