"""`LSTM`, `GRU` and `RNN` as torch has them, with low-bit weights, for networks of one's own."""

from lowbit.layers.stack import Layers


class LSTM(Layers):
    """`torch.nn.LSTM` with low-bit weights and a norm; see `Layers` for what comes on top.

    >>> import lowbit, torch
    >>> layer = lowbit.LSTM(8, 16, batch_first=True, quantizer="binary")
    >>> outputs, (h, c) = layer(torch.randn(2, 5, 8))
    >>> outputs.shape, h.shape
    (torch.Size([2, 5, 16]), torch.Size([1, 2, 16]))
    """

    def __init__(self, *args, **settings):
        super().__init__("lstm", "LSTM", *args, **settings)


class GRU(Layers):
    """`torch.nn.GRU` with low-bit weights and a norm; see `Layers` for what comes on top.

    >>> import lowbit, torch
    >>> layer = lowbit.GRU(8, 16, num_layers=2, bidirectional=True)
    >>> layer(torch.randn(5, 8))[0].shape
    torch.Size([5, 32])
    """

    def __init__(self, *args, **settings):
        super().__init__("gru", "GRU", *args, **settings)


class RNN(Layers):
    """`torch.nn.RNN` with low-bit weights and a norm; see `Layers` for what comes on top.

    >>> import lowbit
    >>> lowbit.RNN(8, 16, nonlinearity="relu").cell
    RNN(activation='relu')
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", *args, **settings
    ):
        cell = f"rnn(activation={nonlinearity!r})"
        self.nonlinearity = nonlinearity
        super().__init__(cell, f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, *args, **settings)
