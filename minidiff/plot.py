"""Figures: picture grids, points and densities in the plane, score fields, trajectories, loss curves.

Each function draws on the axes it is given (or makes some) and returns them; `save` writes a figure whole. All figures
have one style, set when this module is imported: colours that differ in brightness too, for grey print.
"""

import functools
import io

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import LogLocator
from PIL import Image
from torch import Tensor

from .device import replacing

COLOURS = ("#0b5394", "#d9730d", "#7aa800", "#8e3b8f", "#45b5d3", "#7f7f7f", "#c2185b")
STYLE = {
    "axes.prop_cycle": plt.cycler(color=COLOURS), "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 11, "axes.labelsize": 10, "xtick.labelsize": 9, "ytick.labelsize": 9, "font.size": 10,
    "legend.fontsize": 9, "legend.frameon": False, "lines.linewidth": 1.8, "lines.markersize": 5,
    "axes.edgecolor": "0.3", "xtick.color": "0.3", "ytick.color": "0.3", "xtick.labelcolor": "black",
    "ytick.labelcolor": "black", "axes.formatter.useoffset": False, "image.interpolation": "nearest",
    "figure.max_open_warning": 0,  # an animation draws many
}  # fmt: skip


def style() -> None:
    """Set the style again, after another library has changed it."""
    plt.rcParams.update(STYLE)


style()


def to_uint8(x: Tensor) -> np.ndarray:
    """Pictures (N, C, H, W) in [-1, 1] -> uint8 (N, H, W, C), rounded, values beyond clipped."""
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy(force=True)


def tile(x: Tensor, columns: int) -> np.ndarray:
    """Pictures (N, C, H, W) in [-1, 1] as one, uint8 (H', W', 3 or 1), row by row with white gaps of a pixel."""
    pictures = to_uint8(x)
    n, height, width, channels = pictures.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def sheet(x: Tensor, columns: int, least: int = 64) -> np.ndarray:
    """`tile` for people to look at: each pixel a square of so many that every picture has at least `least` a side, and
    a few pictures fill 512."""
    small = tile(x, columns)
    zoom = max(-(-least // min(x.shape[2:])), 512 // max(small.shape[:2]))
    return small.repeat(zoom, 0).repeat(zoom, 1)


def plain(text: str | None) -> str | None:
    """A user's words as a figure shows them: to the letter, not as mathematics, and ? for what its font lacks."""
    font = get_font(findfont(FontProperties()))
    known = (c if c == "\n" or font.get_char_index(ord(c)) else "?" for c in text or "")
    return text and "".join(known).replace("$", r"\$")


def _axes(ax, size=(4, 4)):
    return ax if ax is not None else plt.subplots(figsize=size, layout="constrained")[1]


def grid(x: Tensor, columns: int, ax=None, title: str | None = None, row_labels: list[str] | None = None):
    """Pictures (N, C, H, W) in rows of `columns`, each row with its label if given."""
    rows, cell = -(-len(x) // columns), x.shape[-1] + 1
    beside = 0.08 * max(map(len, row_labels or [""]))  # inches, for the labels
    ax = _axes(ax, (max(3, 0.6 * columns) + beside, max(2, 0.6 * rows)))
    large, height, width = sheet(x, columns), rows * (x.shape[-2] + 1) - 1, columns * cell - 1
    where = (-0.5, width - 0.5, height - 0.5, -0.5)  # a unit is a pixel of the pictures
    ax.imshow(large.squeeze(-1) if large.shape[-1] == 1 else large, cmap="gray", vmin=0, vmax=255, extent=where)
    ax.set_xticks([])
    ax.set_yticks([])
    if row_labels:
        ax.set_yticks([i * (x.shape[-2] + 1) + x.shape[-2] / 2 for i in range(rows)], [plain(t) for t in row_labels])
        ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(plain(title))
    return ax


def points(x: Tensor, labels: Tensor | None = None, ax=None, title: str | None = None, limit: float = 1.2):
    """Samples (N, 2), coloured by label."""
    ax = _axes(ax)
    colours = COLOURS[0] if labels is None else labels.numpy(force=True)
    size = min(10.0, max(2.0, 6000 / max(1, len(x))))  # few points are drawn larger
    ax.scatter(*x.numpy(force=True).T, c=colours, cmap="tab20" if labels is not None else None, s=size, linewidths=0)
    return _frame(ax, limit, title)


def lattice(limit: float, n: int) -> Tensor:
    """The (n^2, 2) points of a square lattice on [-limit, limit]^2, x fastest."""
    line = torch.linspace(-limit, limit, n)
    return torch.cartesian_prod(line, line).flip(1)


def density(mixture, ax=None, title: str | None = None, limit: float = 1.2, n: int = 200):
    """The density of a GaussianMixture."""
    ax = _axes(ax)
    ax.imshow(_root_density(mixture, limit, n), origin="lower", extent=(-limit, limit) * 2, cmap="Blues")
    return _frame(ax, limit, title)


@functools.lru_cache(maxsize=4)  # animations show one density in every frame
def _root_density(mixture, limit: float, n: int):
    """The root of the density, so that tails show, on a lattice (n, n)."""
    return mixture.log_prob(lattice(limit, n)).exp().sqrt().reshape(n, n).numpy(force=True)


def score_field(fn, ax=None, title: str | None = None, limit: float = 1.2, n: int = 21):
    """Arrows of fn(x) (N, 2) -> (N, 2) on a lattice, all of one length: the directions of a score."""
    ax = _axes(ax)
    x = lattice(limit, n)
    arrows = fn(x).detach()  # fn may be a derivative: gradients stay on
    arrows = arrows / arrows.norm(dim=1, keepdim=True).clamp(min=1e-12)
    ax.quiver(*x.T.numpy(), *arrows.T.numpy(force=True), color=COLOURS[1], angles="xy", scale=1.3 * n, width=0.004)
    return _frame(ax, limit, title)


def trajectories(path: list[Tensor], ax=None, title: str | None = None, limit: float = 1.2, most: int = 60):
    """Paths of the first `most` points through a list of (N, 2), from grey start to coloured end."""
    ax = _axes(ax)
    steps = torch.stack([p[:most] for p in path]).numpy(force=True)
    ax.plot(steps[:, :, 0], steps[:, :, 1], color="0.6", linewidth=0.5)
    ax.scatter(steps[-1, :, 0], steps[-1, :, 1], color=COLOURS[1], s=5, zorder=3)
    return _frame(ax, limit, title)


def losses(rows: list[tuple[int, float]], ax=None, title: str | None = None):
    """A loss curve from (step, loss) rows, with its running median."""
    ax = _axes(ax, (5, 3))
    ax.set(xlabel="step", ylabel="training loss", yscale="log", title=plain(title))
    if not rows:  # stopped before the first row
        return ax
    steps, values = np.array(rows).T
    ax.plot(steps, values, color="0.75", linewidth=0.7, label="loss")
    window = max(1, len(values) // 20)
    smooth = [np.median(values[max(0, i - window) : i + 1]) for i in range(len(values))]
    ax.plot(steps, smooth, label="running median")
    ax.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}")  # .5, not 5e-1
    ax.minorticks_off()
    ax.legend()
    return ax


def log_axes(ax, x=None, y=None) -> None:
    """Make x, y or both logarithmic, with marks at these numbers and at no others, written plainly: 0.05 and 10,000."""
    for name, marks in (("x", x), ("y", y)):
        if marks is not None:
            ax.set(**{f"{name}scale": "log"})
            ax.set(**{f"{name}ticks": list(marks), f"{name}ticklabels": [f"{mark:,.6g}" for mark in marks]})
    ax.minorticks_off()


def _frame(ax, limit, title):
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    if title is not None:  # a second layer on the same axes keeps the first one's title
        ax.set_title(plain(title))
    return ax


def gif(frames: list, milliseconds: int | list[int] = 80, path=None, dpi: int = 80):
    """An animation of uint8 arrays (H, W, 3 or 1) or of figures, which are closed, written to `path` or, without one,
    shown in a notebook. `milliseconds` is how long each frame stands, or a number for each."""
    pictures = []
    for frame in frames:
        if hasattr(frame, "savefig"):
            drawn = io.BytesIO()
            frame.savefig(drawn, dpi=dpi, format="png")
            plt.close(frame)
            pictures.append(Image.open(drawn).convert("RGB").quantize(64))
        else:
            pictures.append(Image.fromarray(frame.squeeze(-1) if frame.shape[-1] == 1 else frame))
    options = {"format": "GIF", "save_all": True, "append_images": pictures[1:], "loop": 0, "duration": milliseconds}
    if path is not None:
        with replacing(path) as temporary:
            pictures[0].save(temporary, **options)
        return None
    from IPython.display import Image as Shown

    pictures[0].save(written := io.BytesIO(), **options)
    return Shown(data=written.getvalue(), format="gif", embed=True)


def save(figure, path, dpi: int = 120) -> None:
    """Write a figure (or the figure of axes) to `path`, whole, and close it."""
    figure = getattr(figure, "figure", figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
    plt.close(figure)
