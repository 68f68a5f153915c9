"""Results with the digest of their content."""

import dataclasses
import functools
import hashlib
import json

from lowbit.studies import schema
from lowbit.studies.spec import RunSpec

UNSEALED = ("seconds", "machine", "canary", "diverged", "digest")  # fields that the digest leaves out


def digest(content: dict) -> str:
    """The sha256 of a record's JSON without time, machine, canary and what follows from the rest."""
    sealed = {name: part for name, part in content.items() if name not in UNSEALED}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()


class Sealed:
    """Results of one run with their digest; a subclass is a dataclass."""

    spec: dict
    digest: str

    @functools.cached_property
    def run(self) -> RunSpec:
        """The spec as an object."""
        return RunSpec(**self.spec)

    @property
    def content(self) -> dict:
        """The fields as their file has them."""
        return {field.name: schema.plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def sealed(self) -> "Sealed":
        """A copy with its digest, over everything that `digest` covers."""
        return dataclasses.replace(self, digest=digest(self.content))
