# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lecture 03: must a network be told the noise level?
#
# After this lecture you can
#
# - write down the best answer of a network that does not know the noise level, and say when it is good enough;
# - derive what a misread level does to each target ($\epsilon$, $v$, flow, $x_0$), and check it with exact models;
# - give a network its noise level, and train it beside one that does not get it, in a fair comparison;
# - compare two methods seed by seed, with an interval that means what it says.
#
# **Before:** lecture 02 (paths, targets, the 2x2 system). **Time:** an hour and three quarters with the exercises; the notebook itself runs some
# minutes on two cores. **Papers:** [NCSN](https://arxiv.org/abs/1907.05600), [Is Noise Conditioning Necessary?](https://arxiv.org/abs/2502.13129),
# [EDM](https://arxiv.org/abs/2206.00364), [eDiff-I](https://arxiv.org/abs/2211.01324).
#
# The lecture says, in one line:
#
# > It's crucial to train a single diffusion network on all time steps (and condition it on the time step).
#
# Two claims: **one** network, and **conditioned** on the time. We call a network *told* if it gets the noise level as an input, and *blind* if it gets
# only $x_t$. The sampler always knows the time. A blind network does not.

# %%
import copy
import math

import matplotlib.pyplot as plt
import torch
from experiments import blind, claims, lecture03, tools
from torch import nn

from minidiff import check, plot
from minidiff.measure.metrics import sliced_wasserstein
from minidiff.nets.layers import Fourier
from minidiff.run.generate import generate
from minidiff.samplers import ddim, last, start
from minidiff.schedules import Linear
from minidiff.train import update_ema

SMOKE = claims.mode() == "smoke"  # seconds instead of minutes; its numbers mean nothing
generator = torch.manual_seed(0)  # the first weights' as well


# %% [markdown]
# ## 1. The best blind answer
#
# A network trained by squared error learns a conditional mean. A told network learns $\mathbb{E}[\epsilon \mid x_t, t]$. A blind one sees the point alone,
# and learns
#
# $$\mathbb{E}[\epsilon \mid x] = \int p(t \mid x)\; \mathbb{E}[\epsilon \mid x, t]\; dt ,$$
#
# the average over all levels from which this point *may* have come. For Gaussian data you can write it down.
#
# ### Exercise 03.1: The best blind answer (20 minutes, 3 points)
# Data are $N(0, s^2 I)$ in D dimensions, $x = x_0 + \sigma\epsilon$, and each of the T values in `sigmas` is equally likely. Write `blind_eps(x, sigmas, s)`: for each row of
# x (B, D) the best guess of eps (B, D). At one level it is $\sigma x / (s^2 + \sigma^2)$; D may be thousands.
# <details><summary>Hint</summary>Given sigma, x is N(0, (s^2 + sigma^2) I): its log density has two terms with D in them, |x|^2 and the logarithm of the variance. Make a table (T, B) of log densities, take the softmax over T, and average.</details>

# %% exercise="03.1" points=3 minutes=20
import torch


def blind_eps(x, sigmas, s):
    """x (B, D), sigmas (T,), s a number -> (B, D)."""
    # BEGIN SOLUTION
    variance = s**2 + sigmas[:, None] ** 2
    log_p = -x.square().sum(1) / (2 * variance) - x.shape[1] / 2 * variance.log()
    factor = (torch.softmax(log_p, 0) * sigmas[:, None] / variance).sum(0)
    return factor[:, None] * x
    # END SOLUTION


# %%
_ = check.blind_eps(blind_eps)

# %% [markdown]
# So all depends on $p(t \mid x)$. How sharp is it? Where the data are 0, a point is noise alone: $d$ numbers of deviation $\sigma$. Their root mean square is a
# measurement of $\sigma$, and it gets better with $d$.
#
# ### Exercise 03.2: What a point shows (5 minutes, 1 point)
# Write `visible(d)`: the relative error (standard deviation over mean) with which the root mean square of d independent N(0, sigma^2) numbers shows sigma, for large d.
# <details><summary>Hint</summary>The mean square has relative deviation sqrt(2 / d). A square root halves a small relative error.</details>

# %% exercise="03.2" points=1 minutes=5
def visible(d):
    """d, the number of coordinates -> a share."""
    # BEGIN SOLUTION
    return (2 * d) ** -0.5
    # END SOLUTION


# %%
_ = check.visible(visible)

# %% [markdown]
# **Predict before you run.** A picture of 32x32x3 has $d = 3{,}072$. If it were empty but for noise: to how many per cent would it show its level?
# <details><summary>Answer</summary>1 / sqrt(6144) = 1.3%.</details>
#
# We need data with an exact model in any dimension: **eight Gaussians** on a circle, in a plane of $d$-dimensional space. `tools.Embedded(d, target, blind)` is the best model
# there is, told or blind: the sum of exercise 03.1 over 200 levels of the linear path $x_t = (1-t)\,x_0 + t\,\epsilon$. Below, what 40 points at $t = 0.3$ betray of their time,
# and what blind and told models draw.

# %% alt="Animation over the dimension d: the posteriors of t narrow to a peak at 0.3; samples of a blind eps model stay scattered, while those of a blind flow model become eight modes."
frames = []
for d in (2, 8, 64) if SMOKE else (2, 3, 4, 6, 8, 16, 32, 64, 128, 256):
    model, g = tools.Embedded(d), torch.Generator().manual_seed(1)
    x_t = 0.7 * model.sample(40, g) + 0.3 * torch.randn(40, d, generator=g)
    x = start(model, (60 if SMOKE else 400, d), g)
    fig, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
    _ = axes[0].plot(model.times, model.posterior(x_t), color=plot.COLOURS[0], linewidth=0.6, alpha=0.5)
    _ = axes[0].axvline(0.3, color="0.4", linestyle=":")
    _ = axes[0].set(xlim=(0, 0.8), xlabel="time t", yticks=[], title=f"d = {d}: p(t | x)")
    for ax, (target, is_blind) in zip(axes[1:], (("eps", True), ("flow", True), ("flow", False)), strict=True):
        drawn = lecture03.drawn(d, target, is_blind, x, 6 if SMOKE else 25)
        _ = plot.points(drawn[:, :2], ax=ax, title=f"blind, {target}" if is_blind else "told, any target", limit=1.6)
    frames.append(fig)
plot.gif(frames, [900] * (len(frames) - 1) + [2500])

# %% [markdown]
# In the plane a point may come from almost anywhere, and all blind models are worse than told ones (eps shrinks each mode to a dot); for flow, the best, it hardly shows. In many dimensions every point shows its time.
# First what is visible: if exercise 03.2 is right, this is near 1.

# %%
print(claims.measure("3.4"))

# %% [markdown]
# ## 2. Four targets
#
# **Claims.** Blind, every target samples worse in the plane (3.1), and $v$ still in 128 dimensions (3.2); in 32 it is $\epsilon$ that needs to be told (3.3). **Test:** give a blind and a told model the same noise, and compare the distance of their samples to the data. The deviation of the Gaussians is
# .05 in *every* dimension, so the least distance is about that of two sets of data:

# %%
d, n = 32, 50 if SMOKE else 500
model = tools.Embedded(d, "v", spread=lecture03.SPREAD)
data_a, data_b, x = model.sample(n, generator), model.sample(n, generator), start(model, (n, d), generator)
for is_blind in (False, True):
    samples = lecture03.drawn(d, "v", is_blind, x, 6 if SMOKE else 30, lecture03.SPREAD)
    print("blind" if is_blind else "told", f"v: {sliced_wasserstein(samples, data_a):.4f}; data to data {sliced_wasserstein(data_b, data_a):.4f}")

# %% [markdown]
# **Predict before you run.** Targets $\epsilon$, $v = \alpha\epsilon - \sigma x_0$, flow $= \epsilon - x_0$, and $x_0$. Which blind ones reach the told distance in 128 dimensions?
# <details><summary>Answer</summary>x0 does (though worst in the plane), flow nearly. v and eps do not. (In 32, v is the worst: 3.3 is contradicted.) Part 3 says why.</details>

# %% alt="Distance to the data against the dimension, mean and range of the seeds, for four blind targets, the told model and two sets of data."
plane, many, between = (claims.measure(i) for i in ("3.1", "3.2", "3.3"))
far, dims = plane.detail["far"], plane.detail["dims"]
fig, ax = plt.subplots(figsize=(5.8, 3.6), layout="constrained")
for j, (name, marker) in enumerate(zip(lecture03.TARGETS, "os^D", strict=True)):
    _ = ax.plot(dims, far[:, :, j, 0].mean(0), marker + "-", label=f"blind {name}")
    _ = ax.fill_between(dims, far[:, :, j, 0].amin(0), far[:, :, j, 0].amax(0), alpha=0.2)
_ = ax.plot(dims, far[..., 1].mean((0, 2)), "k.--", label="told")
_ = ax.plot(dims, plane.detail["floor"].mean(0), color="0.6", linestyle=":", label="data to data")
_ = ax.set(yscale="log", xlabel="dimension d", ylabel="distance to the data, a direction", title=f"{len(far)} seeds: mean and range")
plot.log_axes(ax, dims)
_ = ax.legend(fontsize=8)
print(plane, many, between, sep="\n")

# %% [markdown]
# How sure is a difference over five seeds? Seeds may differ more than methods, but both methods got the *same* noise. So subtract first, seed by seed.
#
# ### Exercise 03.3: A paired interval (14 minutes, 2 points)
# Write `paired_interval(a, b)`: a and b (n,) are what two methods gave on the same n seeds. Return mean, low and high: the mean of a - b and Student's 95% interval for it.
# <details><summary>Hint</summary>scipy.stats.t.ppf(0.975, n - 1) times the standard error of the differences: their deviation, with n - 1 in the denominator, over sqrt(n).</details>

# %% exercise="03.3" points=2 minutes=14
from scipy import stats


def paired_interval(a, b):
    """a, b (n,) -> (mean, low, high)."""
    # BEGIN SOLUTION
    difference = a - b
    error = difference.std().item() / len(difference) ** 0.5
    half = stats.t.ppf(0.975, len(difference) - 1) * error
    return difference.mean().item(), difference.mean().item() - half, difference.mean().item() + half
    # END SOLUTION


# %%
paired = check.paired_interval(paired_interval).answer or (lambda a, b: tools.interval((a - b).tolist()))
logs = far[:, dims.index(128), :, 0].double().log()
mean, low, high = (math.exp(v) for v in paired(logs[:, 1], logs[:, 2]))
print(f"128 dimensions, blind v over blind flow: {mean:.2f}, 95% interval {low:.2f} to {high:.2f}")

# %% [markdown]
# ## 3. What a misread level does
#
# In an empty coordinate $x_0 = 0$ and $x_t = t\epsilon$. The network reads a level $\hat t$ off the other coordinates, and takes $x$ for $\hat t\epsilon$. Its output is
# $b(\hat t)\,x / \hat t$, where $a x_0 + b\epsilon$ is the target. The sampler knows $t$, and solves its two equations with $a, b, \alpha, \sigma$ **of $t$**. Then it moves by
# $dx/dt = \hat\epsilon - \hat x_0$.
#
# ### Exercise 03.4: What a misread level does (15 minutes, 2 points)
# Write `misread(target, t, guess)` for the linear path (alpha = 1 - t, sigma = t) and the targets "eps", "v", "flow" and "x0": the factor k in $dx/dt = k\,x$. t and guess are (B,).
# <details><summary>Hint</summary>b is 1, 1 - t, 1 and 0; a is 0, -t, -1 and 1. At x = 1, x0 = (b - sigma out) / det and eps = (alpha out - a) / det with det = alpha b - sigma a at t; out is b(guess) / guess.</details>

# %% exercise="03.4" points=2 minutes=15
def misread(target, t, guess):
    """target a string; t, guess (B,) -> k (B,), where dx/dt = k x."""
    # BEGIN SOLUTION
    table = {"eps": (0 * t, 0 * t + 1), "v": (-t, 1 - t), "flow": (0 * t - 1, 0 * t + 1), "x0": (0 * t + 1, 0 * t)}
    a, b = table[target]
    said = (1 - guess if target == "v" else b) / guess
    det = (1 - t) * b - t * a
    return ((1 - t) * said - a) / det - (b - t * said) / det
    # END SOLUTION


# %%
k = check.misread(misread).answer or lecture03.moves

# %% [markdown]
# <details><summary>The four factors, for after your own try</summary>
#
# | target | $k$ | a length read as $\hat t = (1+\delta)\,t$ ends |
# |---|---|---|
# | $x_0$ | $1/t$ | right: $\hat t$ is not in it |
# | flow | $1/\hat t$ | too long by $\delta$: kept |
# | $v$ | $(1 - 2\hat t(1-t)) / (\hat t\,(1 - 2t + 2t^2))$ | by $e^{\pi/2}\,\delta = 4.8\,\delta$ |
# | $\epsilon$ | $(1-\hat t) / (\hat t\,(1-t))$ | by $\delta / (1-t_\text{start})$: 81 times, from $\sigma/\alpha = 80$ |
#
# </details>
#
# Why is a misread level not corrected? With flow $dx/dt = x / \hat t$ and $\hat t = |x|/\sqrt d$: the length falls at the speed $\sqrt d$, *whatever it is*. A first noise that is by
# chance 1% too long stays too long by the same amount, and this is left at the end. Where $\delta$ is small, $v$ has $d\delta/dt = -\delta / (t(1-2t+2t^2))$, and
# $t\,\delta$ grows by $\exp\int_0^1 \frac{2-2t}{1-2t+2t^2}dt = e^{\pi/2}$. The table is for a guess that is read from the length alone:

# %%
times = torch.linspace((80 / 81) ** 0.25, 1e-3**0.25, 1501, dtype=torch.float64)[:, None] ** 4
for target in lecture03.TARGETS:
    length = times[0] * 1.0001  # |x| / sqrt(d): a little too long, and read as t
    for t, s in zip(times[:-1], times[1:], strict=True):
        middle = length + (s - t) / 2 * k(target, t, length) * length
        length = length + (s - t) * k(target, (s + t) / 2, middle) * middle
    off = (length - times[-1]) / (1e-4 * times[0])
    print(f"{target}: too long by {off.item():.2f} delta")

# %% [markdown]
# The first noise is wrong by chance, by $\delta \approx 1/\sqrt{2d}$. So a blind model should leave noise in proportion to that in each empty coordinate, but only where the first noise was
# too long: one that is too short is used up before $t = 0$, and nothing of it is left. The exact models, in 512 dimensions and over $d$:

# %% alt="Left: noise left against how much the first noise was too long; 0 for those too short, lines of slope 1 and 4.8 for the others. Right: noise left against the dimension."
result = claims.measure("3.9")
noise, dims = result.detail["left"].mean(0), torch.tensor(result.detail["dims"])
d, root = 512, (2 * 512) ** 0.5
x = start(tools.Embedded(d), (20 if SMOKE else 150, d), generator)
delta = root * (x.square().mean(1).sqrt() / Linear().t_max - 1)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for target, marker, colour, factor in (("v", "s", 1, math.exp(math.pi / 2)), ("flow", "^", 2, 1.0)):
    left = root * lecture03.drawn(d, target, True, x, 6 if SMOKE else 60)[:, 2:].square().mean(1).sqrt()
    _ = axes[0].plot(delta, left, marker, color=plot.COLOURS[colour], markersize=3, label=f"blind {target}")
    _ = axes[0].plot([-2.5, 0, 2.5], [0, 0, 2.5 * factor], color="0.4", linewidth=1)
_ = axes[0].set(xlabel="first noise too long by, times sqrt(2 d)", ylabel="noise left, times sqrt(2 d)")
for j, (name, marker) in enumerate(zip(lecture03.TARGETS[:3], "os^", strict=True)):
    _ = axes[1].plot(dims, noise[:, j], marker + "-", label=f"blind {name}")
for factor, label in ((0.71, ".71 / sqrt(2 d)"), (0.71 * math.exp(math.pi / 2), ".71 e^(pi/2) / sqrt(2 d)")):
    _ = axes[1].plot(dims, factor / (2 * dims) ** 0.5, color="0.4", linestyle=":" if factor < 1 else "--", label=label)
_ = axes[1].set(yscale="log", xlabel="dimension d", ylabel="noise left in an empty coordinate")
plot.log_axes(axes[1], dims)
for ax in axes:
    _ = ax.legend(fontsize=8)
grey = noise[-1] * (dims[-1] / 3072) ** 0.5 * 127.5
print(result)
print(f"left in a picture of 3,072 numbers, in grey levels of 255: v {grey[1]:.1f}, flow {grey[2]:.1f}")

# %% [markdown]
# **The number that decides** is the ratio of $v$ to flow; $e^{\pi/2} = 4.8$ is its limit in many dimensions and steps (here 60). With half of the noises too long, the root mean square is $\sqrt{1/2} = .71$ of the
# factor (dotted and dashed). $\epsilon$ does not fall with $d$: 81 times anything is too much.
#
# In CIFAR-10's 3,072 dimensions this leaves, for flow, about a grey level. The 2025 paper trained blind networks there: FID of **flow matching 2.61 blind, 3.01 told; of DDIM, which
# predicts $\epsilon$, 40.90 blind**. The table says which suffers, not why flow gains.
#
# ## 4. Trained networks, told and blind
#
# How is a network told? One number beside hundreds of pixels is easily overlooked. So it comes as **features**: cosines and sines
# of the level $c = \log(\sigma/\alpha)/4$ at several frequencies, as positions do in a transformer.
#
# ### Exercise 03.5: Features of a level (8 minutes, 1 point)
# Write `level_features(level, frequencies)`: level (B,), frequencies (F,) in turns per unit -> (B, 2F), first all cosines, then all sines, of the level's angle at each frequency.
# <details><summary>Hint</summary>An angle is 2 pi times frequency times level. Give level the shape (B, 1).</details>

# %% exercise="03.5" points=1 minutes=8
import math

import torch


def level_features(level, frequencies):
    """level (B,), frequencies (F,) -> (B, 2F)."""
    # BEGIN SOLUTION
    angle = 2 * math.pi * level[:, None] * frequencies
    return torch.cat([torch.cos(angle), torch.sin(angle)], 1)
    # END SOLUTION


# %%
features = check.level_features(level_features).answer or (lambda level, f: Fourier(2 * math.pi * f)(level))
level, octaves = torch.linspace(-1.5, 1.1, 5), 2.0 ** torch.arange(-2, 4)
print("as the package's layer gives:", torch.allclose(features(level, octaves), Fourier(2 * math.pi * octaves)(level), atol=1e-5))


# %% [markdown]
# A comparison is fair if the two networks differ in nothing else. Three traps: `Denoiser` divides its input by the deviation of $x_t$, which gives the level away to a blind network, so here both get
# the **raw** $x_t$ (the target edm uses $t$ as well, so it is left out). A separate embedding costs parameters, so here the features go in beside $x$, and the sizes agree to 2%. And a told network that cannot
# sample yet proves nothing, so errors are drawn against steps.

# %%
class Net(nn.Module):
    """x (B, ...), level (B,) -> like x: residual blocks; told, it reads 12 features of the level beside x."""

    def __init__(self, dim, told, width=128, depth=3):
        super().__init__()
        self.told, self.enter, self.leave = told, nn.Linear(dim + 12 * told, width), nn.Linear(width, dim)
        blocks = [nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x, level, cond=None):
        flat = x.flatten(1)
        h = self.enter(torch.cat([flat, features(level, octaves)], 1) if self.told else flat)
        for block in self.blocks:
            h = h + block(h)
        return (flat + self.leave(h)).view(x.shape)


def train(net, draw, steps, level=lambda n: (0.002 + 0.985 * torch.rand(n, generator=generator))):
    """Flow matching on the linear path: draw(n) -> x0; level(n) -> times. The EMA as a model that gets raw x_t."""
    ema, optimizer = copy.deepcopy(net), torch.optim.Adam(net.parameters())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        x0, t = draw(256), level(256)
        eps, time = torch.randn(x0.shape, generator=generator), t.view(-1, *[1] * (x0.ndim - 1))
        out = net((1 - time) * x0 + time * eps, torch.log(t / (1 - t)) / 4)
        loss = (out - (eps - x0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_ema(ema, net, step + 1)
    return blind.Raw(ema, Linear(), "flow")


# %% [markdown]
# **Predict before you run.** Eight Gaussians in the plane. What will the blind network draw?
# <details><summary>Answer</summary>At best what the best blind field draws, on the right: points between the modes. It is trained towards that, and ends smoother still: a ring.</details>

# %% alt="Samples in the plane of a told network, of a blind network and of the best blind field."
toy, steps = tools.Embedded(2), 20 if SMOKE else 2000
models = {f"{'told' if told else 'blind'} network": train(Net(2, told), lambda n: toy.sample(n, generator), steps) for told in (True, False)}
models["best blind field"] = tools.Embedded(2, "flow", blind=True)
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
x = start(toy, (60 if SMOKE else 800, 2), generator)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    _ = plot.points(last(ddim(model, x, Linear().grid(6 if SMOKE else 50))), ax=ax, title=name, limit=1.4)

# %% [markdown]
# The same lines on pictures (8x8 digits, $d = 64$; in `gpu` mode CIFAR-10 at 8x8):

# %% alt="Two rows of pictures, drawn by a told and by a blind network."
pictures, _ = tools.pictures("digits", gpu_size=8)
drawn = []
for told in (True, False):
    net = Net(math.prod(pictures.shape), told, width=256)
    model = train(net, lambda n: pictures.batch(n, generator)[0], 20 if SMOKE else 1500)
    drawn.append(generate(model, 12, shape=pictures.shape, steps=10 if SMOKE else 50, seed=0))
_ = plot.grid(torch.cat(drawn), 12, row_labels=["told", "blind"])

# %% [markdown]
# **Claims.** On digits blind eps samples much worse (3.5), blind flow as well as told (3.6). Three seeds, four checkpoints each; the distance is Fréchet's in raw pixels, no FID.
#
# **Predict before you run.** For which target does being blind cost most?
# <details><summary>Answer</summary>eps (part 3). Flow loses a little (we allowed 1.2: 3.6 is undecided), v no more.</details>

# %% alt="Fréchet distance against training steps, told and blind, a panel for each of the targets eps, v and flow."
eps_result, flow_result = claims.measure("3.5"), claims.measure("3.6")
found = eps_result.detail
fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharey=True)
for j, (ax, name) in enumerate(zip(axes, blind.LEARNED, strict=True)):
    for told, style, label in ((1, "o-", "told"), (0, "s--", "blind")):
        logs = found["far"][:, told, j].log()
        _ = ax.plot(found["marks"], logs.mean(0).exp(), style, label=label)
        _ = ax.fill_between(found["marks"], logs.amin(0).exp(), logs.amax(0).exp(), alpha=0.2)
    _ = ax.axhline(found["floor"], color="0.4", linestyle=":", label="data to data")
    _ = ax.set(title=f"target {name}", yscale="log", xlabel="training steps")
    plot.log_axes(ax, found["marks"])
_ = axes[0].set_ylabel("pixel Fréchet distance")
_ = axes[0].legend()
print(eps_result, flow_result, sep="\n")

# %% [markdown]
# (Bands: least to largest of the seeds.) **Claim.** On larger pictures, with more dimensions, telling still helps. Photographs of 32x32, a diffusion transformer, the flow target.

# %% alt="Left: denoising error blind over told against training steps. Right: the same against the noise level, at the end."
photos = claims.measure("3.7")
errors, levels, marks = (photos.detail[name] for name in ("errors", "levels", "marks"))
ratio = (errors[:, 0] / errors[:, 1]).log()
fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained", sharey=True)
for ax, at, logs in ((axes[0], marks, ratio.mean(2)), (axes[1], levels, ratio[:, -1])):
    _ = ax.plot(at, logs.mean(0).exp(), "o-")
    _ = ax.fill_between(at, logs.amin(0).exp(), logs.amax(0).exp(), alpha=0.2)
    _ = ax.axhline(1, color="0.4", linestyle=":")
_ = axes[0].set(xlabel="training steps", ylabel="denoising error, blind / told")
plot.log_axes(axes[0], marks)
_ = axes[1].set(xscale="log", xlabel="noise level sigma / alpha, at the last step")
print(photos)

# %% [markdown]
# **The number that decides** is the ratio at the end; at the left, it has not settled. Part 1 says that the level *can* be seen, not how soon a network learns to see it.
#
# ## 5. One network or five?
#
# **Claim.** "Train a single diffusion network on all time steps." Against it: five specialists, one for each band of noise levels, each with a fifth of the steps. One band first:

# %%
steps, low, high = 30 if SMOKE else 1500, *lecture03.EDGES[2:4].log()
own = {"level": lambda n: torch.sigmoid(low + (high - low) * torch.rand(n, generator=generator))}  # times in this band
middle = torch.exp((low + high) / 2)
held_out = tools.pictures("digits", gpu_size=8)[1].at(torch.arange(300))
for name, share, options in (("one network for all levels", 1, {}), ("a specialist for this band", 5, own)):
    net = Net(math.prod(pictures.shape), True, width=256)
    model = train(net, lambda n: pictures.batch(n, generator)[0], steps // share, **options)
    error = tools.level_error(model, held_out, middle[None]).item()
    print(f"{name}, {steps // share} steps: denoising error {error:.4f} at sigma/alpha = {middle:.2f}")

# %% [markdown]
# **Predict before you run.** Who wins over all bands, and in which most?
# <details><summary>Answer</summary>We predicted the single network, at .95 of the error or less. It has seen five times as many pictures as each specialist. It wins most at little noise.</details>

# %% alt="Denoising error of one network over that of five, against the noise level, with the bands' edges."
single = claims.measure("3.8")
errors, levels = single.detail["errors"], single.detail["levels"]
logs = (errors[:, 0] / errors[:, 1]).flatten(1).log()
fig, ax = plt.subplots(figsize=(5.8, 3.2), layout="constrained")
mid = logs.mean(0).exp()
_ = ax.errorbar(levels.flatten(), mid, (mid - logs.amin(0).exp(), logs.amax(0).exp() - mid), fmt="o", capsize=3)
_ = ax.axhline(1, color="0.4", linestyle=":")
_ = [ax.axvline(edge, color="0.85", zorder=0) for edge in lecture03.EDGES]
_ = ax.set(xscale="log", xlabel="noise level sigma / alpha (grey lines: the bands)", ylabel="error, one net / five nets")
print(single)

# %% [markdown]
# (Bars: least to largest of the seeds.) Give each specialist all the steps (five times the compute) and it need not lose: eDiff-I is such an ensemble of expert denoisers.
#
# **Vary it.**
#
# - In `train`, draw `t` with `torch.sigmoid(torch.randn(n, generator=generator))`. A blind network's average is over *these* times: who loses, told or blind?
# - Add `nn.LayerNorm(width)` at the head of each block. It divides the length out of the features, and in it the level was written.
# - `lecture03.noise_left(128, "v", 0, 300, steps)` with 10, 30 and 100 steps: does the noise that is left depend on them?
#
# **Take away.**
#
# - Not being told means to average over levels. A point shows its level to $1/\sqrt{2d}$: hardly in the plane, to a per cent in a picture.
# - The target decides what a misread level does: $x_0$ forgives it in empty coordinates, flow keeps it, $v$ multiplies it by 4.8, $\epsilon$ by up to 81.
# - That a level can be seen is not yet that a network has learnt to see it: compare at equal parameters, on raw inputs, over steps.
#
# Next: [lecture 04](04_noise_as_style.ipynb). Being told is cheap. What is the best way to tell?

# %%
check.progress()
claims.summary()
