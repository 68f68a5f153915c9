"""Quantizers that look for scale, levels and cuts at once."""

import abc

from jaxtyping import Float
from torch import Tensor

from lowbit.quantizers.base import Fit, Quantizer, Site


class Fitted(Quantizer):
    """A quantizer whose `fit` finds scale, levels and cuts in one effort."""

    @abc.abstractmethod
    def fit(self, w: Float[Tensor, "rows cols"], site: Site) -> Fit:
        """The effort."""

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """What was found."""
        return self.fit(w, site).scale

    def codebook(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows levels"]:
        """What was found, at scale 1."""
        return self.fit(w, site).codebook

    def cuts(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows cuts"]:
        """What was found, at scale 1."""
        return self.fit(w, site).cuts
