"""Nets of equal size or equal cost, for comparisons of architectures.

`matched` searches, for each net, the width that comes closest to a number of parameters or of FLOPs.
"""

from bisect import bisect_left

import torch

from minidiff.measure.nets import flops, parameters
from minidiff.nets import build


def matched(names, budget: float, shape=(3, 32, 32), by: str = "parameters", classes=None, seed: int = 0) -> dict:
    """The nets `names`, each as wide as brings it closest to `budget` parameters, or with by="flops" to that many FLOPs
    a picture (a forward pass): for comparisons in which only the shape of the net differs.

    Raises ValueError where the closest width misses the budget by more than 10%.
    """
    if by not in ("parameters", "flops"):
        raise ValueError(f"nets are matched by parameters or flops, not by {by!r}")
    found = {}
    for name in names:
        step = 4 if name in ("dit", "transformer") else 2  # their positions need a multiple of 4

        def cost(width, name=name):
            with torch.device("meta"):
                net = build(name, shape, classes, width=width)
            return parameters(net) if by == "parameters" else flops(net, shape)

        high = step
        while cost(high) < budget:
            high *= 2
        widths = range(step, high + step, step)
        first = bisect_left(widths, budget, key=cost)  # the cost grows with the width
        width = min(widths[max(0, first - 1) : first + 1], key=lambda w: abs(cost(w) - budget))
        if abs(cost(width) - budget) > 0.1 * budget:
            raise ValueError(
                f"no width brings {name} within 10% of {budget:g} {by}: the closest, {width}, has {cost(width):g}"
            )
        found[name] = build(name, shape, classes, seed, width=width)
    return found
