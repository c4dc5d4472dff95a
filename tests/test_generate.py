import numpy as np
import pytest
import torch
from PIL import Image

from minidiff import plot
from minidiff.checkpoint import new_model
from minidiff.generate import generate, parse_label, write
from minidiff.recipes import configure


def test_same_seed_same_samples():
    config, _ = configure("digits", width=16)
    model = new_model(config).eval().requires_grad_(False)
    labels = torch.arange(6)
    first = generate(model, config.shape, 6, cond=labels, scale=2.0, steps=3)
    assert first.shape == (6, 1, 8, 8) and torch.isfinite(first).all()
    assert torch.equal(first, generate(model, config.shape, 6, cond=labels, scale=2.0, steps=3))
    assert not torch.equal(first, generate(model, config.shape, 6, cond=labels, scale=2.0, steps=3, seed=1))


def test_labels_by_name_and_number():
    assert [parse_label(v, ["cat", "dog"]) for v in ("dog", "0", "none")] == [1, 0, 2]
    assert parse_label("7", ["3", "7"]) == 1
    with pytest.raises(ValueError, match="out of range"):
        parse_label("0", ["3", "7"])  # a number is a name here, not a place
    for bad in ("2", "-1", "bird", "1.5"):
        with pytest.raises(ValueError, match="out of range: choose from cat, dog, or none"):
            parse_label(bad, ["cat", "dog"])
    with pytest.raises(ValueError, match="without labels"):
        parse_label("1", [])


def test_npz_and_png(tmp_path):
    x = torch.linspace(-1.2, 1.2, 4 * 3 * 25).reshape(4, 3, 5, 5)
    write(tmp_path / "x.npz", x, torch.arange(4), 2)
    with np.load(tmp_path / "x.npz") as f:
        assert (
            f["images"].shape == (4, 5, 5, 3) and f["images"].dtype == np.uint8 and (f["labels"] == np.arange(4)).all()
        )
        back = torch.from_numpy(f["images"]).permute(0, 3, 1, 2) / 127.5 - 1
        assert (back - x.clamp(-1, 1)).abs().max() <= 1 / 255 + 1e-6
    write(tmp_path / "p.npz", torch.zeros(7, 2), None, 2)
    with np.load(tmp_path / "p.npz") as f:
        assert f["samples"].shape == (7, 2) and f["samples"].dtype == np.float32
    write(tmp_path / "x.png", x, None, 2)
    with Image.open(tmp_path / "x.png") as picture:
        width = picture.size[0]
        assert width % 11 == 0 and width > 250  # two pictures of 5 and a gap, each pixel a square of whole pixels
    with pytest.raises(ValueError, match="end in .png or .npz"):
        write(tmp_path / "x.gif", x, None, 2)


def test_tile_puts_pictures_in_order():
    x = torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    sheet = plot.tile(x, 2)
    assert sheet.shape == (5, 5, 1)
    assert sheet[0, 0] == 0 and sheet[0, 3] == 128 and sheet[3, 0] == 255 and sheet[2, 0] == 255


def test_every_plot_draws(generator):
    from minidiff.data.toys import eight_gaussians

    mixture = eight_gaussians()
    x, labels = mixture.sample_labelled(50, generator)
    for ax in (
        plot.points(x, labels),
        plot.density(mixture, n=20),
        plot.score_field(mixture.score),
        plot.trajectories([x, x / 2, x / 4]),
        plot.losses([(20, 1.0), (40, 0.5)]),
    ):
        assert ax.has_data()
        plot.plt.close(ax.figure)
    # the density is drawn the right way up: its brightest pixel is at the mode
    one = mixture.given(1)
    ax = plot.density(one, n=50)
    row, column = np.unravel_index(ax.images[0].get_array().argmax(), (50, 50))
    assert [column / 49 * 2.4 - 1.2, row / 49 * 2.4 - 1.2] == pytest.approx(one.means[0].tolist(), abs=0.05)
    plot.plt.close(ax.figure)
