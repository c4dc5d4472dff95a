"""Predictions made before an experiment, and how many of them held. They are kept in memory, for one session."""

import math

HALF = 0.5  # the share of intervals that is to hold
_predicted: dict[str, tuple[float, float]] = {}
_measured: dict[str, float] = {}


def predict(claim: str, low: float, high: float) -> None:
    """Note that the number that decides `claim` ("7.4") will lie between low and high, with a probability of one half.

    Raises ValueError for what is no interval, and for another one once the claim was measured: then it would be no
    prediction. Before that a second prediction takes the place of the first.
    """
    claim = str(claim)
    if wrong := no_interval((low, high)):
        raise ValueError(f"claim {claim}: {wrong}")
    if claim in _measured and _predicted.get(claim) != (float(low), float(high)):
        raise ValueError(f"claim {claim} was measured already: {_measured[claim]:.3g}. A prediction comes before")
    _predicted[claim] = float(low), float(high)


def no_interval(interval) -> str:
    """Why something is not an interval (low, high) of two finite numbers; "" if it is."""
    try:
        if isinstance(interval, str):  # "12" is not 1 and 2
            raise ValueError
        low, high = map(float, interval)
    except (TypeError, ValueError):
        return f"two numbers (low, high) are a prediction, not {str(interval)[:40]}"
    if not (math.isfinite(low) and math.isfinite(high)):
        return "an interval that ends nowhere predicts nothing"
    return "" if low < high else f"low must be below high, got {low:g} and {high:g}"


def measured(claim: str, value: float) -> None:
    """Note what was measured, to be called by whatever measures. From then on there is nothing left to predict."""
    _measured[str(claim)] = float(value)


def calibration() -> float | None:
    """Print the predictions beside what was measured, and return the share that held; None before there is any."""
    known = [(claim, *_predicted[claim], _measured[claim]) for claim in _predicted if claim in _measured]
    for claim, low, high, value in known:
        print(f"{claim:5} {low:8.3g} to {high:8.3g}   measured {value:8.3g}   {'held' if low <= value <= high else ''}")
    if not known:
        print("nothing that was predicted has been measured yet")
        return None
    held = sum(low <= value <= high for _, low, high, value in known)
    share, spread = held / len(known), math.sqrt(HALF * (1 - HALF) / len(known))
    said = "as many as intervals of 50% should hold, within chance"
    if abs(share - HALF) > 2 * spread:
        said = "your intervals are too " + ("wide" if share > HALF else "narrow") + " for 50%"
    print(f"{held} of {len(known)} held: {said}")
    return share
