"""What loops read and write: named tuples of numbers and arrays, alike on both sides of the compiler."""

from typing import NamedTuple

import numpy as np

FIXED, BATCH, ROWS, SQUARES = 0, 1, 2, 3  # what a norm sums: nothing, a column over the batch, a row
KINDS = {"nothing": FIXED, "batch": BATCH, "rows": ROWS, "squares": SQUARES}
PLAIN, PACKED, HALF = 0, 1, 2  # SciPy's BLAS; MKL on a packed matrix; MKL on bfloat16

# Of the C interface to BLAS.
ROW_MAJOR, AS_IS, TRANSPOSED, PACK, B_MATRIX = (np.int32(number) for number in (101, 111, 112, 151, 162))


class Product(NamedTuple):
    """A matrix `w` (inputs outputs) ready to be multiplied by rows; only what `kind` needs is filled."""

    kind: int
    function: int  # the address of what multiplies
    inputs: int
    outputs: int
    plain: np.ndarray  # (inputs outputs)
    packed: np.ndarray  # what MKL made of it
    half: np.ndarray  # (inputs outputs) or, where `turn` says so, (outputs inputs): bfloat16, at scale 1
    turn: np.int32
    scale: np.float32
    rounded: np.ndarray  # (slots batch inputs), bfloat16: what is multiplied, of each step or of the last


class Normed(NamedTuple):
    """One norm of a loop: what it needs forwards, what it keeps, and where its gradients go."""

    kind: int
    gain: np.ndarray  # (slots rows)
    bias: np.ndarray  # (slots rows)
    tiny: np.float32  # what is added to a variance
    mean: np.ndarray  # (time rows), of the batch
    variance: np.ndarray  # (time rows)
    inverse: np.ndarray  # (time batch): one over the deviation of each row
    d_gain: np.ndarray  # (rows)
    d_bias: np.ndarray  # (rows)
    scale: np.ndarray  # (rows), of the step that runs
    offset: np.ndarray  # (rows)
    work: np.ndarray  # (4 rows), of the way back


class Room(NamedTuple):
    """What the steps of a loop leave behind, each (time batch ...); fewer steps where there is no way back.

    The last three are work of one step of the way back.
    """

    a: np.ndarray  # (time batch rows): recurrent products
    g: np.ndarray  # (time batch rows): gates
    c: np.ndarray  # (time batch hidden): the second value of a state, where there is one
    seen: np.ndarray  # (time batch hidden): what N(c) is computed from
    own: np.ndarray  # (batch): the numbers of the rows of a batch
    bounded: bool  # the activation of a vanilla RNN is tanh, not relu
    through: np.ndarray  # (batch hidden)
    d: np.ndarray  # (batch hidden)
    gates: np.ndarray  # (batch rows of a)
