"""The findings of the book, each computed from records; one that its records do not bear out stops the build."""

from lowbit.plots.claims import scores, systems, width
from lowbit.plots.claims.base import CLAIMS, Claim, claim, sentence, texts

__all__ = ["CLAIMS", "Claim", "claim", "scores", "sentence", "systems", "texts", "width"]
