import itertools
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from experiments import play
from PIL import Image

from minidiff import demo, plot
from minidiff.run import loop, progress
from minidiff.run.checkpoint import new_model
from minidiff.run.generate import columns_for, generate, parse_label, write
from minidiff.run.models import tokenizer_of
from minidiff.run.recipes import configure
from minidiff.train import new_state


def test_same_seed_same_samples():
    config, _ = configure("digits", width=16)
    model = new_model(config).eval().requires_grad_(False)
    labels = torch.arange(6)
    first = generate(model, 6, cond=labels, scale=2.0, steps=3)
    assert first.shape == (6, 1, 8, 8) and torch.isfinite(first).all()
    assert torch.equal(first, generate(model, 6, cond=labels, scale=2.0, steps=3))
    assert not torch.equal(first, generate(model, 6, cond=labels, scale=2.0, steps=3, seed=1))


@pytest.fixture
def telling(generator):
    """An untrained model of ten labels whose samples tell them: what is 0 in it would hide them."""
    model, _ = conditional("diffusion")
    for p in model.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.3, generator=generator)
    return model


def test_every_option_of_guidance_reaches_the_samples(telling):
    ways = ({}, {"scale": 3.0}, {"scale": 3.0, "negative": 5}, {"scale": 3.0, "interval": (0.5, 1.0)})
    found = [generate(telling, 2, cond=[1, 2], steps=4, **options) for options in ways]
    assert all((a - b).abs().max() > 0.01 for a, b in itertools.combinations(found, 2))


def test_parts_have_their_own_conditions_and_noise(telling):
    cond = torch.tensor([1, 2, 1, 2, 3])
    found = generate(telling, 5, cond=cond, batch=2, steps=2)
    assert torch.equal(found[:2], generate(telling, 2, cond=cond[:2], batch=2, steps=2))
    assert not torch.equal(found[:2], found[2:4])
    cond[4] = 4
    other = generate(telling, 5, cond=cond, batch=2, steps=2)
    assert torch.equal(found[:4], other[:4]) and not torch.equal(found[4], other[4])


def conditional(kind, spec="digits", **choices):
    """An untrained model of ten labels, or of captions; its config."""
    config, _ = configure(spec, model=kind, width=8 if kind != "ar" else 32, **choices)
    return new_model(config).eval().requires_grad_(False), config


@pytest.fixture
def first_stage(tmp_path):
    """What a run on tokens reads of its autoencoder before training."""
    config, _ = configure("digits", model="vq", f=4, width=8, codes=8)
    (tmp_path / "config.json").write_text(json.dumps(asdict(config)), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("kind", ["diffusion", "gan", "stacked_gan", "ar"])
def test_labels_of_every_kind(kind, first_stage):
    """What is plainly meant is taken, and what the model does not know is refused in one line."""
    model, config = conditional(kind, **({"autoencoder": first_stage} if kind == "ar" else {}))
    null = kind == "diffusion"
    draw = lambda cond, n=3: generate(model, n, cond=cond, steps=2)  # noqa: E731
    expected = draw(torch.tensor([1, 2, 3]))
    labels = ([1, 2, 3], np.array([1, 2, 3], np.int32), torch.tensor([[1], [2], [3]]), torch.tensor([1.0, 2.0, 3.0]))
    for same in labels:
        assert torch.equal(draw(same), expected)
    assert torch.equal(draw(4), draw([4, 4, 4])) and torch.equal(draw(np.int64(4)), draw([4, 4, 4]))
    for bad in (
        [1, 2],
        [1, 2, 11],
        [0, 0, -1],
        [0.5, 1, 2],
        ["1", "2", "3"],
        [[1, 2], [3, 4], [5, 6]],
        [1, 2, float("nan")],
    ):
        with pytest.raises(ValueError, match="condition|labels"):
            draw(bad)
    if null:
        assert draw([10, 10, 10]).shape == expected.shape
    else:
        with pytest.raises(ValueError, match="no null condition"):
            draw([10, 10, 10])
        with pytest.raises(ValueError, match="negative out"):
            generate(model, 3, cond=[1, 2, 3], negative=1)


def test_conditions_that_a_model_does_not_take():
    model, config = conditional("gan")
    plain = new_model(replace(config, classes=[])).eval().requires_grad_(False)
    with pytest.raises(ValueError, match="without labels and captions"):
        generate(plain, 2, cond=[0, 1])
    model, config = conditional("diffusion", "shapes:1", depth=1)
    with pytest.raises(ValueError, match="reads 16 tokens a caption"):
        generate(model, 2, cond=[0, 1])
    with pytest.raises(ValueError, match="whole numbers"):
        generate(model, 2, cond=["a red circle", "a circle"])
    cond = tokenizer_of(config)(["a red circle"] * 2)
    with pytest.raises(ValueError, match="whole numbers"):
        generate(model, 2, cond=cond, negative="green", scale=2.0)
    assert generate(model, 2, cond=cond.numpy(), negative=cond[0].tolist(), scale=2.0, steps=1).shape[0] == 2


@pytest.mark.parametrize("kind", ["diffusion", "gan"])
def test_a_shape_is_for_models_that_know_none(kind):
    """A latent diffusion model given that of pictures stopped in a convolution."""
    model, config = conditional(kind)
    with pytest.raises(ValueError, match="knows the shape of what it draws: leave shape="):
        generate(model, 2, shape=config.shape, cond=[1, 2], steps=1)


def test_numbers_of_any_type_and_no_others():
    model, config = conditional("diffusion", "eight_gaussians")
    expected = generate(model, 4, steps=3, seed=7)
    for kind in (np.int64, np.int32, float, np.float32, torch.tensor):
        assert torch.equal(generate(model, kind(4), steps=kind(3), seed=kind(7)), expected)
    assert generate(model, 4, steps=3, seed=2**64 - 1).shape == (4, 2)
    for name, bad in (("seed", -1), ("seed", 2**64), ("seed", 0.5), ("seed", None), ("seed", "1"), ("steps", 2.5),
                      ("steps", 0), ("batch", 0), ("batch", -3)):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name} must be at least"):
            generate(model, 4, **{name: bad})
    with pytest.raises(ValueError, match="n must be at least 1"):
        generate(model, 1.5)


HARD = ["costs $5_$ or $6", "$x^{$", r"a\$b\$_{", "日本 😀", "tab\there", "lone \udcff", "100%\n{}", "\x00"]


def test_text_of_users_is_drawn_to_the_letter(tmp_path):
    """Neither mathematics nor letters that the font lacks end a figure, or warn: warnings are errors here."""
    x = torch.zeros(len(HARD), 1, 4, 4)
    for text in HARD:
        figure, (a, b, c) = plot.plt.subplots(1, 3, layout="constrained")
        plot.grid(x, 1, a, text, HARD)
        plot.points(torch.zeros(3, 2), None, b, text)
        plot.losses([(20, 1.0)], c, text)
        figure.suptitle(plot.plain(text))
        plot.save(figure, tmp_path / "x.png")
    assert plot.plain("costs $5_$").replace(r"\$", "$") == "costs $5_$" and plot.plain("a日b") == "a?b"
    assert plot.plain(None) is None


def test_a_run_of_data_with_a_hard_name(tmp_path, generator):
    config, dataset = configure("spirals", width=16)
    state = new_state(new_model(config))
    progress.draw_samples(loop.Run(tmp_path, replace(config, data="folder:$5_$/日本"), state, [], []))
    assert (tmp_path / "samples" / "step_0000000.png").exists()


def test_a_hard_prompt_in_the_notebook():
    model, config = conditional("diffusion", "shapes:1", depth=1)
    with pytest.warns(UserWarning, match="never saw"):
        assert play.draw(model, tokenizer_of(config), "$5_$ circle", steps=1, n=2)[:4] == b"\x89PNG"


@pytest.mark.parametrize("side, n", [(4, 1), (8, 64), (16, 1), (16, 64), (18, 9), (32, 10), (100, 4)])
def test_pictures_are_large_enough_to_see(side, n, tmp_path, generator):
    """By a whole factor, each pixel a square of one colour; arrays have the pictures' own size."""
    x, columns = 2 * torch.rand(n, 3, side, side, generator=generator) - 1, min(n, 8)
    write(tmp_path / "x.png", x, None, columns)
    with Image.open(tmp_path / "x.png") as picture:
        found = np.asarray(picture)
    small = plot.tile(x, columns)
    zoom = found.shape[1] // small.shape[1]
    assert zoom * side >= 64 and (found == small.repeat(zoom, 0).repeat(zoom, 1)).all()
    write(tmp_path / "x.npz", x, None, columns)
    with np.load(tmp_path / "x.npz") as f:
        assert f["images"].shape == (n, side, side, 3)


@pytest.mark.parametrize("n, classes, found", [
    (64, 0, 8), (64, 1, 8), (64, 2, 8), (64, 10, 10), (3, 10, 3), (64, 100, 8), (1000, 0, 16), (1, 0, 1),
])  # fmt: skip
def test_sheets_are_near_square(n, classes, found):
    assert columns_for(n, classes) == found


def test_figures_and_the_demo_show_large_pictures(tmp_path, monkeypatch):
    first, _ = configure("shapes:1", model="vae", width=8)
    (tmp_path / "config.json").write_text(json.dumps(asdict(first)), encoding="utf-8")
    model, config = conditional("diffusion", "shapes:1", depth=1, autoencoder=tmp_path)
    demo.draw_animation(model, tokenizer_of(config), tmp_path / "x.gif", 0, steps=1)
    with Image.open(tmp_path / "x.gif") as picture:
        assert picture.size[0] >= 6 * 64 and picture.size[1] >= 3 * 64
    sizes = []

    def measured(figure, path, dpi=120):
        figure.set_dpi(dpi)
        figure.canvas.draw()
        for ax in figure.axes:
            high, wide = (round(v) for v in (ax.get_ylim()[0] + 0.5, ax.get_xlim()[1] + 0.5))  # in the pictures' pixels
            where = ax.get_window_extent()
            sizes.append(min(where.width / wide, where.height / high) * 16)
            assert ax.images[0].get_array().shape[1] % wide == 0
        plot.plt.close(figure)

    monkeypatch.setattr(plot, "save", measured)
    demo.draw_prompts(model, tokenizer_of(config), tmp_path / "x.png", 0)
    progress.draw_samples(loop.Run(tmp_path, config, new_state(model.requires_grad_(True)), [], []))
    assert len(sizes) == 5 and min(sizes) >= 62  # a gap's share is not theirs


def test_the_default_patch_suits_the_size():
    for size in (16, 17, 18, 21, 22, 25, 33, 50):
        config, _ = configure("shapes:1", size=size)
        new_model(config)
        assert config.net["patch"] <= 4 and size % config.net["patch"] == 0
    assert [configure("shapes:1", size=s)[0].net["patch"] for s in (16, 18, 20, 22, 32)] == [4, 3, 4, 2, 4]


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
    with pytest.raises(ValueError, match="out of range"):
        parse_label("²", ["cat", "dog"])
    assert parse_label("cafe\u0301", ["caf\u00e9"]) == 0  # as a Mac writes it in a folder's name


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


def test_logarithmic_axes_have_the_numbers_given_and_no_others():
    figure, ax = plot.plt.subplots()
    ax.plot([1, 3e4], [0.002, 7])
    plot.log_axes(ax, torch.tensor([10, 300, 10_000]), (0.05, 1))
    figure.canvas.draw()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["10", "300", "10,000"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0.05", "1"]
    assert not ax.get_xticks(minor=True).size and not ax.get_yticks(minor=True).size
    plot.log_axes(ax.figure.add_axes(ax.get_position(), label="second"), y=(1, 2))
    assert [a.get_xscale() for a in figure.axes] == ["log", "linear"]
    plot.plt.close(figure)


def test_an_animation_has_its_frames_and_their_times(tmp_path):
    figures = []
    for i in range(3):
        figure, ax = plot.plt.subplots(figsize=(1, 1))
        ax.plot([0, i])
        figures.append(figure)
    arrays = [plot.sheet(torch.full((2, 1, 8, 8), v), 2) for v in (-1.0, 0.0, 1.0)]
    plot.gif(figures, 50, tmp_path / "figures.gif")
    plot.gif(arrays, [50, 50, 900], tmp_path / "arrays.gif")
    shown = plot.gif(arrays)
    assert shown.format == "gif" and shown.data.startswith(b"GIF8")
    with Image.open(tmp_path / "arrays.gif") as found:
        assert found.n_frames == 3 and (found.seek(2), found.info["duration"])[1] == 900
    with Image.open(tmp_path / "figures.gif") as found:
        assert found.n_frames == 3
