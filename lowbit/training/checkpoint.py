"""Checkpoints: what an unfinished run goes on from, in tensors and plain values that hold no code."""

import hashlib
import io
import warnings
from pathlib import Path

import torch

from lowbit import paths
from lowbit.studies import store
from lowbit.studies.spec import RunSpec

DAMAGED = ".damaged"  # ends the name of a checkpoint that is set aside


def checkpoint_folder() -> Path:
    """Where unfinished runs keep their state."""
    return paths.runs() / "checkpoints"


def checkpoint_path(spec: RunSpec) -> Path:
    """Where an unfinished run keeps its state."""
    return checkpoint_folder() / f"{spec.key}.pt"


def network_path(spec: RunSpec) -> Path:
    """Where a finished run leaves its network."""
    return paths.runs() / "networks" / f"{spec.key}.pt"


def save(values: dict, file: Path) -> None:
    """Writes tensors and plain values with their checksum at the end; `torch.load` reads the file as well."""
    stream = io.BytesIO()
    torch.save(values, stream)
    content = stream.getvalue()
    store.write(file, content + hashlib.sha256(content).digest())


def load(file: Path) -> dict:
    """What `save` wrote, on the CPU; a damaged file, or one that holds code, can raise anything."""
    content = file.read_bytes()
    content, checksum = content[:-32], content[-32:]
    if hashlib.sha256(content).digest() != checksum:
        raise ValueError("its checksum does not match")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def set_aside(file: Path, error: Exception) -> None:
    """Moves a checkpoint that cannot be read out of the way, with a warning."""
    aside = file.with_name(file.name + DAMAGED)
    file.replace(aside)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    warnings.warn(f"{file} cannot be read ({reason}); it is now {aside.name}, and training starts anew", stacklevel=2)
