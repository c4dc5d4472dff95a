"""The times within which some steps of a sampler lie: what guidance in a few of them alone takes as its interval."""

from torch import Tensor


def during(times: Tensor, first: int, last: int) -> tuple[float, float]:
    """The interval that holds the steps `first` to `last` of a grid of falling times, counted from 0, and no other."""
    between = [1.0, *times.unfold(0, 2, 1).mean(1).tolist()]
    return between[last + 1], between[first]
