"""Recipes of training, one for each budget of a dataset, and those that several datasets share."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Sizes of a network and settings of its training within a budget."""

    hidden: int  # units of a layer
    updates: int  # steps of the optimizer, at most
    layers: int = 1
    bidirectional: bool = False
    embedding: int = 0  # size of a learned vector for each symbol; 0: symbols are one-hot
    dropout: float = 0.0  # share of inputs, of outputs between layers and of the last outputs, dropped in training
    # The initial master weights: "uniform" within Glorot's bound, twice A's scale; "levels", uniform within
    # `Quantizer.bound`, so that every level is in use; "orthogonal", as A's character code.
    init: str = "uniform"
    # Initial forget biases: logarithms of lengths up to so many steps, input biases their negatives (tallec2018can), so
    # that units keep from one step to all; 0: forget biases of 1, as in A.
    chrono: int = 0
    start: str = "zero"  # the state before a sequence; or "learned", as A's code, or "noisy", as A's on MNIST
    batch: int = 64  # sequences of an update
    steps: int = 100  # of a segment: truncated backpropagation through time
    carry: bool = False  # the state of a segment starts the next; else it starts at zero, as in A
    optimizer: str = "adam"  # or "sgd"
    rate: float = 2e-3  # learning rate at the start
    final_rate: float = 2e-3  # geometric schedule from `rate` to here, as in A
    divide: float = 0.0  # the rate is divided by this when validation does not improve; 0: never
    clip_norm: float = 0.0  # global gradient norm; 0: no clipping, as A's code
    clip_masters: bool = False  # keep master weights within `Quantizer.bound`; A's code does not
    clip_steps: bool = False  # keep each update of a master within the outermost level, as A's code: to no effect
    restart: bool = False  # the optimizer forgets its moments after each validation, as A's code
    evaluate_every: int = 500  # updates between validations
    patience: int = 0  # validations without improvement before stopping; 0: never
    calibration: int = 16  # training batches that estimate population statistics
    valid_limit: int = 0  # symbols or sequences of the validation split that are used; 0: all
    test_limit: int = 0  # the same of the test split


# Seconds, to run everything once; its scores mean nothing.
SMOKE = Recipe(
    hidden=32,
    updates=100,
    batch=16,
    steps=32,
    rate=2e-2,
    evaluate_every=50,
    calibration=8,
    valid_limit=4_000,
    test_limit=4_000,
)

# Minutes on one core, for sequences.
CPU = Recipe(hidden=128, updates=1000, batch=16, rate=1e-2, final_rate=5e-4, clip_masters=True)

# Minutes on one core, for texts: about two epochs, which a high rate and clipped masters use best.
CPU_TEXT = dataclasses.replace(CPU, hidden=192, updates=3000, batch=32, rate=2e-2, valid_limit=50_000)
BRIEF_TEXT = dataclasses.replace(CPU_TEXT, hidden=128, updates=1000, evaluate_every=250, test_limit=100_000)

# About an hour on one core, for the committed records: about fifteen epochs of the Penn Treebank. Rate, clipping and
# start of the masters are chosen for each method at a tenth of it, in fewer units.
LONG_TEXT = Recipe(hidden=256, updates=12_000, rate=6e-3, final_rate=1.5e-4, evaluate_every=1000)
SEARCH_TEXT = dataclasses.replace(
    LONG_TEXT, hidden=128, updates=1200, evaluate_every=300, valid_limit=50_000, test_limit=20_000
)
