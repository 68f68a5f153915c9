"""From a spec to a record: the training loop, evaluation, diagnosis, verification."""
