"""Ways to run the time loop of a recurrent layer: one file each, found by being there, all equal to `reference`."""

from lowbit.kernels.base import Kernel, Loop, Norms, Weights
from lowbit.registry import Registry

registry = Registry("kernel", __name__)
register, names, build, canonical = registry.register, registry.names, registry.build, registry.canonical

__all__ = ["Kernel", "Loop", "Norms", "Weights", "build", "canonical", "fastest", "lacking", "names", "register", "run"]


def fastest() -> tuple[Kernel, ...]:
    """What this machine can run, the fastest first; the last of them runs every loop."""
    return tuple(sorted((each for each in _all() if not each.missing()), key=lambda each: -each.rank))


def lacking() -> dict[str, str]:
    """The members that this machine cannot run, and what each would need."""
    return {canonical(name): build(name).missing() for name in names() if build(name).missing()}


def run(members: tuple[Kernel, ...], loop: Loop) -> tuple:
    """Outputs and last values of the first of `members` that can run the loop and agrees with the reference."""
    from lowbit.kernels.check import agrees

    for kernel in members:
        if not kernel.lacks(loop) and agrees(kernel, loop):
            return *kernel.run(loop), canonical(repr(kernel).lower())
    raise AssertionError("the reference runs every loop")


def _all() -> list[Kernel]:
    return [build(name) for name in names()]
