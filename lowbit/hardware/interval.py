"""What a value lies between."""

from typing import NamedTuple


class Interval(NamedTuple):
    """What a value lies between."""

    low: float
    high: float

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.low + other.low, self.high + other.high)

    def times(self, factor: float | int) -> "Interval":
        """Both ends times a number that is not negative."""
        return Interval(self.low * factor, self.high * factor)

    def within(self, other: "Interval") -> "Interval":
        """A product with what is not negative either, from the least to the largest that it can be."""
        return Interval(self.low * other.low, self.high * other.high)

    def over(self, other: "Interval") -> "Interval":
        """A ratio, from the least to the largest that it can be."""
        return Interval(self.low / other.high, self.high / other.low)
