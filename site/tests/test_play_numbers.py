"""play.json and nets.json, which the page's JavaScript is held to, are what minidiff says today."""

import json
import sys
from pathlib import Path

SITE = Path(__file__).parents[1]
sys.path.append(str(SITE))
import play  # noqa: E402
import play_models  # noqa: E402

LONG = 1e-6  # of measures: a share counts samples, and one at the contour's edge may fall on either side


def apart(found, kept) -> float:
    """The largest difference, absolute below 1 and relative above; infinite where the shapes differ."""
    if isinstance(kept, dict):
        return (
            max((apart(found[k], v) for k, v in kept.items()), default=0.0)
            if found.keys() == kept.keys()
            else float("inf")
        )
    if isinstance(kept, list):
        return max((apart(a, b) for a, b in zip(found, kept, strict=True)), default=0.0)
    if isinstance(kept, float) or isinstance(found, float):
        return abs(found - kept) / max(1.0, abs(kept))
    return 0.0 if found == kept else float("inf")


def kept(name: str):
    return json.loads((SITE / "play" / f"{name}.json").read_text())


def written(value):
    """As it comes back from JSON."""
    return json.loads(json.dumps(value))


def test_short_numbers_are_what_the_script_writes():
    """To 1e-9 in float64: another processor's exp and sums differ in the last digits, which steps from noise 80 carry
    on. Noise in float32 has 7 digits."""
    was = kept("play")
    for name, today in (("grids", play.grids()), ("values", {n: play.values(n) for n in play.WIDTHS}),
                        ("runs", play.runs()), ("variances", play.variances())):  # fmt: skip
        assert apart(written(today), was[name]) < (1e-7 if name == "grids" else 1e-9), name
    noise, before = written(play.noise()), was["noise"]
    assert apart(noise, before) < 1e-6
    assert apart(written(play.directions()), kept("directions")) < 1e-6


def test_measures_of_the_presets_are_what_the_script_writes():
    rows = kept("play")["presets"]
    assert [row["state"] for row in rows] == play.presets()
    for row in rows:
        today = play.measures(row["state"])
        assert today.keys() == row["measures"].keys()
        for name, value in row["measures"].items():
            allowed = 1 / play.DEFAULTS["n"] + 1e-9 if name.startswith("outside") else LONG
            assert abs(today[name] - value) <= allowed, (row["state"], name)


def test_files_are_small():
    sizes = {path.name: path.stat().st_size for path in (SITE / "play").glob("*.json")}
    assert sizes["nets.json"] <= 100_000 and sizes["play.json"] <= 300_000


def test_a_trained_net_comes_back_as_it_was_packed():
    model = play_models.trained("two_classes", steps=5)
    parts = play_models.packed(model)
    assert parts["shapes"] == kept("nets")["two_classes"]["shapes"]
    again = play_models.unpacked("two_classes", parts, model.schedule)
    for (name, a), b in zip(model.net.state_dict().items(), again.net.state_dict().values(), strict=True):
        assert (a - b).abs().max() <= 1e-3 * max(1.0, a.abs().max().item()), name
