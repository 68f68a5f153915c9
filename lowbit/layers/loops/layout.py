"""The arguments of compiled loops: named tuples of numbers and arrays, alike on both sides of the compiler."""

from typing import NamedTuple

import numpy as np

FIXED, BATCH, ROWS, SQUARES = 0, 1, 2, 3  # what a norm sums: nothing, a column over the batch, a row
KINDS = {"nothing": FIXED, "batch": BATCH, "rows": ROWS, "squares": SQUARES}
PLAIN, PACKED, HALF = 0, 1, 2  # SciPy's BLAS; MKL on a packed matrix; MKL on bfloat16

# Of the C interface to BLAS.
ROW_MAJOR, AS_IS, TRANSPOSED, PACK, B_MATRIX = (np.int32(number) for number in (101, 111, 112, 151, 162))


class Product(NamedTuple):
    """A matrix (inputs outputs) ready to be multiplied by rows; `kind` says which fields are filled."""

    kind: int
    function: int  # the address of the library's product
    inputs: int
    outputs: int
    matrix: np.ndarray  # float32 in one row: the numbers as they are, or packed by MKL
    half: np.ndarray  # (inputs outputs), or with `turn` (outputs inputs): bfloat16, at scale 1
    turn: np.int32
    scale: np.float32
    rounded: np.ndarray  # (slots batch inputs), bfloat16: the operand of each step, or of the last


class Normed(NamedTuple):
    """One norm of a loop: its parameters, the statistics of the forward pass, its gradients, and work memory."""

    kind: int
    gain: np.ndarray  # (slots rows)
    bias: np.ndarray  # (slots rows)
    epsilon: np.float32  # added to a variance
    mean: np.ndarray  # (time rows), of the batch
    variance: np.ndarray  # (time rows)
    inverse: np.ndarray  # (time batch): one over the deviation of each row
    d_gain: np.ndarray  # (rows)
    d_bias: np.ndarray  # (rows)
    scale: np.ndarray  # (rows), of the current step
    offset: np.ndarray  # (rows)
    work: np.ndarray  # (4 rows), of the backward pass


class Workspace(NamedTuple):
    """What the forward pass stores, each (time batch ...), with fewer steps where no backward pass follows.

    The last three are work memory of one step of the backward pass.
    """

    a: np.ndarray  # (time batch rows): recurrent products
    g: np.ndarray  # (time batch rows): gates
    c: np.ndarray  # (time batch hidden): the second value of a state; with the reset before, the candidate's product
    operand: np.ndarray  # (time batch hidden): what N(c) is computed from; with the reset before, r h
    batch: np.ndarray  # (batch): the row numbers of a batch
    use_tanh: bool  # the activation of a vanilla RNN is tanh, not relu
    d_product: np.ndarray  # (batch hidden)
    d_c: np.ndarray  # (batch hidden)
    d_gates: np.ndarray  # (batch rows of a)
