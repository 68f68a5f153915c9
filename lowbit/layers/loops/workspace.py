"""Buffers of time loops: a block of memory is used again once no array of it is referenced."""

import numpy as np
import torch

_free: list[np.ndarray] = []  # fresh memory costs a page fault each 4 KiB, a fifth of a step's time


class Block:
    """Memory for `count` numbers, which returns to the free list with its last reference."""

    def __init__(self, count: int):
        _free.sort(key=len)
        fit = next((i for i, memory in enumerate(_free) if len(memory) >= count), None)
        if fit is None and _free:
            _free.pop()  # so that there are never more blocks than loops at a time
        self.memory = torch.empty(count).numpy() if fit is None else _free.pop(fit)
        self.__array_interface__ = self.memory.__array_interface__

    def __del__(self):
        _free.append(self.memory)


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Uninitialized arrays of one block, each aligned to 64 bytes."""
    counts = [int(np.prod(shape)) for shape in shapes]
    starts = np.cumsum([0, *(-(-count // 16) * 16 for count in counts)])
    block = np.asarray(Block(int(starts[-1])))
    return [block[i : i + n].reshape(shape) for i, n, shape in zip(starts, counts, shapes, strict=False)]
