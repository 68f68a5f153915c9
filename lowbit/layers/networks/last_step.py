"""The network of tasks with one output a sequence."""

import torch
from jaxtyping import Float
from torch import Tensor

from lowbit.layers import networks
from lowbit.layers.networks.base import Bidirectional, Lengths, Network, last


@networks.registry.register_as("classify")
@networks.registry.register_as("regress")
class LastStep(Network):
    """Layers under a readout of the last step; of both last states where they are bidirectional."""

    def read(self, x: Float[Tensor, "time batch width"], lengths: Lengths) -> Float[Tensor, "batch width"]:
        """The last output of the forward direction, and of the backward direction its last: at the first step."""
        if not isinstance(self.layers[-1], Bidirectional):
            return last(x, lengths)
        ahead, behind = x.chunk(2, dim=2)
        return torch.cat((last(ahead, lengths), behind[0]), dim=1)
