"""Where a loop keeps what its way back needs: blocks of memory that are used again when nobody sees them."""

import numpy as np
import torch

_idle: list[np.ndarray] = []  # fresh memory costs a page fault each 4 KiB, a fifth of a step's time


class Block:
    """Memory for `count` numbers, which is idle again when no array of it is left."""

    def __init__(self, count: int):
        _idle.sort(key=len)
        fit = next((i for i, memory in enumerate(_idle) if len(memory) >= count), None)
        if fit is None and _idle:
            _idle.pop()  # so that there are never more blocks than loops at a time
        self.memory = torch.empty(count).numpy() if fit is None else _idle.pop(fit)
        self.__array_interface__ = self.memory.__array_interface__

    def __del__(self):
        _idle.append(self.memory)


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Arrays of one block, each aligned to 64 bytes; their content is left over."""
    sizes = [-(-int(np.prod(shape)) // 16) * 16 for shape in shapes]
    whole, begin, made = np.asarray(Block(sum(sizes))), 0, []
    for shape, size in zip(shapes, sizes, strict=True):
        made.append(whole[begin : begin + int(np.prod(shape))].reshape(shape))
        begin += size
    return made
