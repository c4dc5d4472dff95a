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
# # Lecture 01: score matching
#
# The lecture trains a network by $\|s_\theta(x; t) - \nabla_x \log p_t(x)\|^2$ and moves on. But nobody knows $\nabla_x \log p_t(x)$: if we had it, we would need no network. After this lecture you can
#
# - write down the score of a mixture, and say what it knows and what it does not;
# - write the three losses that find a score without knowing it (implicit, sliced, denoising), and train a network by each;
# - say what each costs, and why everyone uses the third;
# - sample with Langevin dynamics, and say why it needs many noise levels.
#
# **Before:** [lecture 00](00_tour.ipynb), derivatives, `torch.autograd.grad`. **Time:** an hour to read, 80 minutes for the six exercises; the notebook itself runs some minutes on two
# cores. **Papers:** [Hyvärinen 2005](https://jmlr.org/papers/v6/hyvarinen05a.html), [Vincent 2011](https://doi.org/10.1162/NECO_a_00142),
# [sliced score matching](https://arxiv.org/abs/1905.07088), [NCSN](https://arxiv.org/abs/1907.05600).

# %%
import copy

import matplotlib.pyplot as plt
import torch
from experiments import claims, lecture01

from minidiff import check, plot, samplers, score_matching
from minidiff.data.toys import eight_gaussians
from minidiff.denoise import Denoiser, score
from minidiff.nets import build
from minidiff.oracles import MixtureDenoiser
from minidiff.schedules import VE
from minidiff.train import update_ema

SMOKE = claims.mode() == "smoke"  # seconds instead of minutes; its numbers mean nothing
generator = torch.Generator().manual_seed(0)
mixture, path = eight_gaussians(), VE()

# %% [markdown]
# ## 1. The score
#
# The **score** of a density is the gradient of its logarithm, $s(x) = \nabla_x \log p(x)$: an arrow at every point, towards where there is more data. It does not know the factor
# that makes the density integrate to 1, and that is what makes it learnable.
#
# For a mixture of Gaussians of one width, $p(x) = \sum_k w_k N(x; m_k, \sigma^2 I)$, each mode pulls, by its share of the density at $x$:
#
# $$s(x) = \frac{1}{\sigma^2}\sum_k r_k(x)\,(m_k - x), \qquad r_k(x) = \frac{w_k N(x; m_k, \sigma^2 I)}{p(x)} .$$
#
# ### Exercise 01.1: The score of a mixture (15 minutes, 2 points)
# Write `mixture_score(x, weights, means, std)` for points x (B, D), weights (K,) that sum to 1, means (K, D). It must also be right 60 standard deviations away from every mode.
# <details><summary>Hint</summary>Do not compute densities: far away they are all 0. Compute their logarithms, (B, K), up to what is the same for all modes; the shares are their softmax over the modes.</details>

# %% exercise="01.1" points=2 minutes=15
import torch


def mixture_score(x, weights, means, std):
    """x (B, D), weights (K,), means (K, D), std a number -> (B, D)."""
    # BEGIN SOLUTION
    away = means - x[:, None]
    share = torch.softmax(weights.log() - away.square().sum(2) / (2 * std**2), 1)
    return (share[..., None] * away).sum(1) / std**2
    # END SOLUTION


# %%
mine = check.mixture_score(mixture_score).answer
pull = mine or (lambda x, w, m, std: eight_gaussians(std).score(x))
x = torch.randn(5, 2, generator=generator)
if mine:
    print("as the package's:", torch.allclose(pull(x, mixture.weights, mixture.means, 0.3), eight_gaussians(0.3).score(x), atol=1e-4))

# %% [markdown]
# Add noise to the data, $x_\sigma = x_0 + \sigma\epsilon$, and the density becomes smoother, its arrows reach further. Watch the field as the noise falls, and points that follow the arrows with a
# tremble (part 4 says how). Arrows have one length, to show directions.

# %% alt="Animation: the score field of eight Gaussians as noise falls; arrows first point to the middle, then to the nearest mode, and points gather in the modes."
def frame(x: torch.Tensor, sigma: float):
    """The noisy density, its score, and points."""
    fig, ax = plt.subplots(figsize=(4.4, 4.6), layout="constrained")
    std = (0.05**2 + sigma**2) ** 0.5
    _ = plot.density(eight_gaussians(std), ax, f"noise sigma = {sigma:.2f}", limit=1.5, n=100)
    _ = plot.score_field(lambda x: pull(x, mixture.weights, mixture.means, std), ax, limit=1.5, n=17)
    _ = ax.scatter(*x.T, s=12, color="white", edgecolors="black", linewidths=0.6, zorder=3)
    return fig


noise = torch.logspace(0, -1.5, 4 if SMOKE else 32)
exact, x, frames = MixtureDenoiser(mixture, path), torch.randn(300, 2, generator=generator), []
for t, sigma in zip(path.time(-2 * noise.log()), noise.tolist(), strict=True):
    x = samplers.last(samplers.langevin(exact, x, t[None], steps=8, generator=generator))
    frames.append(frame(x, sigma))
plot.gif(frames, [120] * (len(frames) - 1) + [2000], dpi=72)

# %% [markdown]
# With much noise all arrows point to the middle; with little, each points to the nearest mode and knows nothing of the others. Keep that for part 4.
#
# ## 2. Four losses, one minimiser
#
# **Claim.** Write $J(s) = \tfrac12 \mathbb{E}_{p}\|s(x) - \nabla \log p(x)\|^2$ for the *explicit* loss (half the **Fisher divergence**). Multiply out and integrate the cross term by parts ($p\,s$ falls to 0 far away):
#
# $$J(s) = \mathbb{E}_p\Big[\operatorname{tr}\big(\partial s / \partial x\big) + \tfrac12 \|s(x)\|^2\Big] + \text{const}.$$
#
# This **implicit** loss (Hyvärinen 2005) has no unknown in it; it has the trace of the Jacobian $\partial s/\partial x$, the matrix of all derivatives of the output by the input.
#
# ### Exercise 01.2: The implicit loss (15 minutes, 2 points)
# Write `ism_loss(fn, x)`: tr(ds/dx) + 1/2 |s|^2 for each point, where s = fn(x), x (B, D). A network must be able to learn from it, from both terms.
# <details><summary>Hint</summary>One backward pass gives the gradient of one output: that of s[:, i].sum() by x has d s_i / d x_i in its column i. Rows do not mix. Set create_graph=True, so that the trace itself can be differentiated.</details>

# %% exercise="01.2" points=2 minutes=15
import torch


def ism_loss(fn, x):
    """fn (B, D) -> (B, D), x (B, D) -> (B,)."""
    # BEGIN SOLUTION
    x = x.detach().requires_grad_()
    s, trace = fn(x), 0.0
    for i in range(x.shape[1]):
        (back,) = torch.autograd.grad(s[:, i].sum(), x, create_graph=True)
        trace = trace + back[:, i]
    return trace + 0.5 * s.square().sum(1)
    # END SOLUTION


# %%
ism = check.ism_loss(ism_loss).answer or score_matching.implicit

# %% [markdown]
# **Sliced** score matching (Song et al. 2019) looks along one random direction $v \sim N(0, I)$ instead: $\mathbb{E}\big[v^\top (\partial s/\partial x)\, v + \tfrac12 (v^\top s)^2\big]$. Its mean over $v$ is the implicit loss.
#
# ### Exercise 01.3: The sliced loss (10 minutes, 2 points)
# Write `ssm_loss(fn, x, v)` for each point, with the directions v (B, D) that are given.
# <details><summary>Hint</summary>The gradient of (s * v).sum() by x is the vector v (ds/dx), in one backward pass. Multiply by v once more and sum.</details>

# %% exercise="01.3" points=2 minutes=10
import torch


def ssm_loss(fn, x, v):
    """fn (B, D) -> (B, D), x and v (B, D) -> (B,)."""
    # BEGIN SOLUTION
    x = x.detach().requires_grad_()
    along = (fn(x) * v).sum(1)
    (back,) = torch.autograd.grad(along.sum(), x, create_graph=True)
    return (back * v).sum(1) + 0.5 * along.square()
    # END SOLUTION


# %%
ssm = check.ssm_loss(ssm_loss).answer or (lambda fn, x, v: score_matching.sliced(fn, x, generator=generator))

# %% [markdown]
# **Denoising** score matching (Vincent 2011) needs no derivative by $x$ at all. For $x = x_0 + \sigma\epsilon$,
#
# $$\mathbb{E}\,\tfrac12\Big\|s(x) + \frac{\epsilon}{\sigma}\Big\|^2 = \tfrac12\mathbb{E}_{p_\sigma}\|s - \nabla\log p_\sigma\|^2 + \text{const}.$$
#
# Note the $p_\sigma$: it finds the score of the *noisy* distribution. So, to be fair, all losses below look at noisy points.
#
# ### Exercise 01.4: The denoising loss (8 minutes, 1 point)
# Write `dsm_loss(fn, x0, eps, sigma)` for each point: clean points x0 and noise eps (B, D), sigma a number.
# <details><summary>Hint</summary>The score points back to the data, against the noise: where it is perfect, s + eps / sigma averages to 0.</details>

# %% exercise="01.4" points=1 minutes=8
def dsm_loss(fn, x0, eps, sigma):
    """fn (B, D) -> (B, D), x0 and eps (B, D) -> (B,)."""
    # BEGIN SOLUTION
    s = fn(x0 + sigma * eps)
    return 0.5 * (s + eps / sigma).square().sum(1)
    # END SOLUTION


# %%
dsm = check.dsm_loss(dsm_loss).answer or (lambda fn, x0, eps, sigma: score_matching.denoising(fn, x0, sigma, generator))

# %% [markdown]
# Here are the four on three candidates for the score of eight Gaussians with noise 0.3: the true one, and two wrong ones.

# %%
sigma = 0.3
noisy = mixture.diffuse(1.0, sigma)
x0 = mixture.sample(500 if SMOKE else 20_000, generator)
eps, v = (torch.randn(x0.shape, generator=generator) for _ in "ev")
x = x0 + sigma * eps
for name, fn in {"true score": noisy.score, "-2x": lambda x: -2 * x, "zero": lambda x: 0 * x}.items():
    j = score_matching.explicit(fn, x, noisy.score(x)).mean()
    values = ism(fn, x).mean(), ssm(fn, x, v).mean(), dsm(fn, x0, eps, sigma).mean()
    print(f"{name:>10}: explicit {j:5.2f}; minus it:", *(f"{k} {v - j:+.2f}" for k, v in zip(lecture01.LOSSES, values, strict=True)))

# %% [markdown]
# Read down the columns: each loss differs from the explicit one by the *same constant for every score*, up to sampling noise (.2 for sliced). What differs by a constant has the same minimiser. So a network can be trained by any of them:

# %%
def train(loss, steps: int) -> tuple:
    """A score network for one noise level, trained by loss(fn, x0, eps, v), and its error as it learns."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(2, 96), torch.nn.SiLU(), torch.nn.Linear(96, 96), torch.nn.SiLU(), torch.nn.Linear(96, 2)]
    net, errors = torch.nn.Sequential(*layers), []
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for step in range(1, steps + 1):
        x0 = mixture.sample(512, generator)
        eps, v = (torch.randn(x0.shape, generator=generator) for _ in "ev")
        value = loss(net, x0, eps, v).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if step % (steps // 10) == 0:
            with torch.no_grad():
                errors.append((step, ((net(x) - noisy.score(x)).square().mean() / noisy.score(x).square().mean()).item()))
    return net, errors


# %%
def logarithmic(ax, x: list | None = None, **labels) -> None:
    """Logarithmic axes with plain numbers; of x, if its ticks are given, as well."""
    _ = ax.set(yscale="log", **labels)
    ax.yaxis.set_major_formatter("{x:g}")
    plot.log_axes(ax, x)
    _ = ax.legend()


# %% alt="The error of three score networks against training steps, each trained by another loss: all fall, sliced most slowly."
losses = {
    "implicit": lambda fn, x0, eps, v: ism(fn, x0 + sigma * eps),
    "sliced": lambda fn, x0, eps, v: ssm(fn, x0 + sigma * eps, v),
    "denoising": lambda fn, x0, eps, v: dsm(fn, x0, eps, sigma),
}
learned = {name: train(loss, 20 if SMOKE else 1500) for name, loss in losses.items()}
fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
for (name, (_, errors)), marker in zip(learned.items(), "os^", strict=True):
    _ = ax.plot(*zip(*errors, strict=True), marker + "-", label=name)
logarithmic(ax, xlabel="training steps of 512 points", ylabel="squared error of the score, relative")

# %% alt="The exact score field at noise 0.3 and those learned by three losses: alike where there is data."
fig, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
for ax, (name, fn) in zip(axes, {"exact": noisy.score, **{k: net for k, (net, _) in learned.items()}}.items(), strict=True):
    _ = plot.density(noisy, ax, name)
    _ = plot.score_field(fn, ax, n=13)

# %% [markdown]
# **Predict before you run.** With finitely many points the minimisers cannot agree exactly. If you take four times as many points, how much closer do they get?
# <details><summary>Answer</summary>Sampling noise falls as n^(-1/2): four times the points, half the distance. If a loss had another minimiser, its distance would level off.</details>
#
# **Experiment.** A score that is linear in 26 parameters (25 bumps and a straight pull) makes every loss a quadratic: its minimiser is the solution of a linear system, and no optimiser can be blamed. Each loss is fitted to the same $n$ noisy points, over five seeds.

# %% alt="Distance of three minimisers to the explicit one against the number of points: three lines that fall as n to the minus one half."
def spread(values: torch.Tensor) -> tuple:
    """(seeds, n) -> the geometric mean, and how far two deviations of the logarithm reach below and above it."""
    middle, twice = values.log().mean(0).exp(), (2 * values.log().std(0)).exp()
    return middle, torch.stack([middle - middle / twice, middle * twice - middle])


one = claims.measure("1.1")
sizes, far = one.detail["sizes"], one.detail["far"]
fig, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
for i, (name, marker) in enumerate(zip(lecture01.LOSSES, "os^", strict=True)):
    _ = ax.errorbar(sizes, *spread(far[:, :, i]), label=name, fmt=marker + "-", capsize=3)
_ = ax.plot(sizes, far[:, 0].mean() * (sizes[0] / torch.tensor(sizes)).sqrt(), "k:", label="n^(-1/2)")
logarithmic(ax, sizes, xlabel="points n", ylabel="distance to the explicit minimiser")
print(one)

# %% [markdown]
# **The number that decides** is the slope of these lines, the slowest of three, seed by seed (a maximum of noisy numbers, so biased towards 0); in brackets its 95% interval over seeds. Bars are two deviations of the logarithm. (The two figures above are one seed.) The price of not knowing the
# score is variance; sliced pays most here, as it sees one direction at a time.
#
# ## What a step costs
#
# **Claim.** The trace needs one backward pass per dimension, and a picture of 32x32x3 has 3,072. Sliced needs one more backward pass whatever the dimension, denoising none: so everyone denoises.
#
# **Predict before you run.** In 256 dimensions, how many denoising steps could you make in the time of one implicit step? And of one sliced step?
# <details><summary>Answer</summary>Roughly as many as there are dimensions, for implicit, and about two for sliced. The figure has the times on this machine.</details>

# %% alt="Time of a step of three losses in steps of denoising against the dimension: implicit rises in proportion, the others stay level."
cost = claims.measure("1.2")
dims, ratios = cost.detail["dims"], cost.detail["ratios"]
fig, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
for i, (name, marker) in enumerate((("implicit", "o"), ("sliced", "s"), ("explicit", "D"))):
    _ = ax.errorbar(dims, *spread(ratios[:, :, i]), label=name, fmt=marker + "-", capsize=3)
_ = ax.axhline(1, color="k", linestyle=":", label="denoising")
logarithmic(ax, dims, xlabel="dimension", ylabel="time of a step, in denoising steps")
print(cost)

# %% [markdown]
# **The number that decides** is the slope of the implicit line, from 8 dimensions on: an implicit step costs about $D + 1$ others, hence the bend on the left.
#
# ## 3. Where the learned score is right
#
# One network for all noise levels: draw a $\sigma$ for each point and tell it to the network. The network says $\epsilon$, so the score is $-\epsilon/\sigma$, and the squared error of $\epsilon$, summed over the dimensions, is $2\sigma^2$ times your denoising loss: each level counts alike.

# %% alt="The loss falls and levels off above 0."
net = build("mlp", (2,), width=96, seed=0)
ema, optimizer, losses = copy.deepcopy(net), torch.optim.Adam(net.parameters(), lr=2e-3), []
for step in range(20 if SMOKE else 2000):
    x0 = mixture.sample(512, generator)
    eps, level = torch.randn(x0.shape, generator=generator), torch.rand(512, 1, generator=generator)
    sigma = 0.02 * 100**level  # from 0.02 to 2, uniform in log sigma
    out = net((x0 + sigma * eps) / (sigma**2 + 0.5**2).sqrt(), sigma[:, 0].log() / 4)
    loss = (out - eps).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    update_ema(ema, net, step + 1)  # a running mean of the weights: it is what draws
    losses.append((step, loss.item()))
model = Denoiser(ema, path, "eps", 0.5)  # (x_t, t) -> x0, eps: the scaling and the level as above
_ = plot.losses(losses[:: max(1, len(losses) // 300)], title="one network for all levels").set(yscale="linear")

# %% [markdown]
# **Claim.** The loss is an average over $p_\sigma$. Where there is almost no data, less is learnt, and the network will say *something* there.

# %% alt="Maps at noise 0.1: the exact score, the learned one, and the logarithm of their relative squared error, large along the ridges between modes and at the centres."
t = path.time(-2 * torch.tensor(lecture01.LEVEL).log())
noisy, points = mixture.diffuse(1.0, lecture01.LEVEL), plot.lattice(1.2, 100)
fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
for ax, name, m in ((axes[0], "exact", exact), (axes[1], "learned", model)):
    _ = plot.density(noisy, ax, f"{name} score, sigma = {lecture01.LEVEL}")
    _ = plot.score_field(lambda x, m=m: score(m, x, t), ax)
with torch.no_grad():
    truth = score(exact, points, t)
    wrong = (score(model, points, t) - truth).square().sum(1) / truth.square().sum(1)
image = axes[2].imshow(wrong.log10().reshape(100, 100).clamp(-4, 1), origin="lower", extent=(-1.2, 1.2) * 2, cmap="magma")
_ = axes[2].set_title("relative squared error, log10")
_ = fig.colorbar(image, ax=axes[2], shrink=0.8)

# %% [markdown]
# The error is bright where the true score turns within a distance of about $\sigma$: between two modes, where there are hardly any points to learn from. At the centres of the modes, half-way between neighbours and at the origin the *relative* error rises too, for a dull reason: the true
# score is zero there.
#
# **Predict before you run.** The experiment repeats this over seeds, with a smaller network on the path VP, and the square cut into tenths by density. How many times larger is the relative error in the emptiest tenth than in the densest?
# <details><summary>Answer</summary>We expected ten times at least, in squared error. The logarithm of the factor, to base 10, is printed above the figure.</details>

# %% alt="Relative error of the learned score against log density, for three lengths of training."
where = claims.measure("1.3")
steps, log_p, errors = where.detail["steps"], where.detail["log_p"], where.detail["errors"]
fig, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
for i, (n, marker) in enumerate(zip(steps, "os^", strict=False)):
    _ = ax.errorbar(log_p, *spread(errors[:, i]), label=f"{n} steps", fmt=marker + "-", capsize=3)
logarithmic(ax, xlabel="log density, in nats (mean of a tenth of the square)", ylabel="relative squared error")
print(where)

# %% [markdown]
# **The number that decides** is the error in the emptiest tenth over that in the densest. The bump on the way is the land *between* two modes. After 300 steps the network is equally wrong everywhere; from there to 3,000 the densest tenth improves a hundredfold, the emptiest less than tenfold: it learns where the data are.
#
# ## 4. Why many noise levels
#
# With a score one can sample: walk uphill, and tremble. **Langevin dynamics** is $x \leftarrow x + \tfrac a2 s(x) + \sqrt a\, z$ with $z \sim N(0, I)$; for small $a$ and long chains $x$ has the density whose score is $s$.
#
# ### Exercise 01.5: A Langevin step (5 minutes, 1 point)
# Write `langevin_step(x, score, a, z)`: the points after one step; x, score and z (B, ...), a a tensor ().
# <details><summary>Hint</summary>a is the variance of the noise.</details>

# %% exercise="01.5" points=1 minutes=5
def langevin_step(x, score, a, z):
    """x, score, z (B, ...), a () -> like x."""
    # BEGIN SOLUTION
    return x + a / 2 * score + a**0.5 * z
    # END SOLUTION


# %%
_ = check.langevin_step(langevin_step)

# %% [markdown]
# "For small steps and long chains" is a large demand. NCSN (Song and Ermon 2019) *anneals*: first at much noise, then at less and less, with steps that shrink as $\sigma^2$.
#
# ### Exercise 01.6: Annealed Langevin dynamics (25 minutes, 4 points)
# Write `annealed_langevin(model, x, times, steps, step_size, generator)`: `steps` moves at each of `times` (T,), from much noise to little, with a = step_size sigma^2. `model(x, t).eps` is the noise it sees, so the score is -eps / sigma;
# `model.schedule(t)` gives alpha (here 1) and sigma. Draw all noise from the generator. Return the last x (B, D).
# <details><summary>Hint</summary>Two loops: levels outside, moves inside. torch.randn(x.shape, generator=generator, dtype=x.dtype).</details>

# %% exercise="01.6" points=4 minutes=25
import torch


def annealed_langevin(model, x, times, steps, step_size, generator):
    """x (B, D) at noise times[0], times (T,) -> x (B, D) at times[-1]."""
    # BEGIN SOLUTION
    for t in times:
        sigma = model.schedule(t)[1]
        a = step_size * sigma**2
        for _ in range(steps):
            z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x = x - a / 2 * model(x, t).eps / sigma + a**0.5 * z
    return x
    # END SOLUTION


# %%
mine = check.annealed_langevin(annealed_langevin).answer
anneal = mine or (lambda m, x, times, n, a, g: samplers.last(samplers.langevin(m, x, times, None, n, a, g)))
times, x = path.time(-2 * torch.logspace(0, -1.5, 10).log()), torch.randn(1500, 2, generator=generator)
ours = anneal(exact, x[:9], times, 2, 0.2, torch.Generator().manual_seed(1))
theirs = samplers.last(samplers.langevin(exact, x[:9], times, None, 2, 0.2, torch.Generator().manual_seed(1)))
if mine:
    print("as the package's:", torch.allclose(ours, theirs, atol=1e-4))

# %% [markdown]
# Sample the network that you trained, ten levels of 50 moves:

# %% alt="Samples of the learned score after the first, fourth, seventh and tenth level: a cloud becomes a ring and then eight spots."
fig, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="constrained", sharey=True)
with torch.no_grad():
    for i, t in enumerate(times):
        x = anneal(model, x, t[None], 2 if SMOKE else 50, 0.2, generator)
        if i % 3 == 0:
            _ = plot.points(x, ax=axes[i // 3], title=f"sigma = {path(t)[1]:.2f}", limit=2.5)

# %% [markdown]
# **Claim.** At one small noise level, Langevin gets the weights of separated modes wrong, even with the exact score.
#
# **Predict before you run.** The upper of two modes holds 80% of the data, the lower 20%. 2,000 chains start from $N(0, I)$ and make 1,000 calls each of the *exact* score, (a) all at the lowest noise, (b) through ten levels. What share ends in the upper mode?
# <details><summary>Answer</summary>(a) About half: a chain stays in the mode on whose side it started. (b) A little below 80%: nearly all is decided while there is no empty land between.</details>

# %% alt="Langevin samples of two modes, at one level and annealed, with the share in the upper mode."
langevin = claims.measure("1.4")
fig, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for ax, x, name in zip(axes, langevin.detail["samples"], ("one level", "annealed"), strict=True):
    _ = plot.points(x, ax=ax, title=f"{name}: {lecture01.share_of_upper(x):.0%} above (true: 80%)")
print(langevin)

# %% [markdown]
# **The number that decides** is the difference of the two errors of that share. The exact score is not wrong. It hardly shows the weights:
#
# **Claim.** Two distributions that differ *only* in the weights of separated modes have almost the same score at small noise.
#
# **Predict before you run.** Sketch $\sigma^2\,\mathbb{E}_{p_\sigma}\|\nabla\log p_\sigma - \nabla\log q_\sigma\|^2$, the Fisher divergence weighted as in training, between weights 0.2/0.8 and 0.5/0.5, against $\sigma$.
# <details><summary>Answer</summary>A hill: nearly 0 at little noise, a peak where the modes begin to merge, and 0 again where noise hides both.</details>

# %% alt="Weighted Fisher divergence between two weightings against noise: many orders of magnitude below its peak at small noise."
weights = claims.measure("1.5")
fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
_ = ax.plot(weights.detail["noise"], weights.detail["curve"], marker="o")
_ = ax.set(yscale="log", xlabel="noise sigma", ylabel="sigma^2 x Fisher divergence")
plot.log_axes(ax, x=(0.03, 0.1, 0.3, 1, 3, 10))
print(weights)

# %% [markdown]
# A network trained at $\sigma = 0.03$ alone could have the wrong weights at no measurable excess of loss. "Train on all time steps" buys the right ones. This is a statement about the *data* as much as about networks: one level would do for a distribution with one mode.
#
# **Vary it.**
#
# - In part 2, change `sigma = 0.3` to 0.05 and run on from there. The target of denoising, $-\epsilon/\sigma$, grows: whose place in the order changes, after 300 steps and at the end?
# - Replace SiLU by ReLU. Which losses stop working, and why? (What is the second derivative?)
# - Draw the map of part 3 at `lecture01.LEVEL = 0.5`. Which error would you rather report, relative or absolute?
#
# **Take away.**
#
# - The lecture's loss is never computed. Denoising has the same minimiser, at the noisy distribution, for the price of variance, and without a factor of the dimension.
# - A learned score is good where the noisy data is, and worse elsewhere.
# - Small noise alone cannot weigh modes. Many levels can.
#
# Next: [lecture 02](02_paths_and_samplers.ipynb), from Langevin's thousand calls to twenty. Whether one network must be *told* the level is the question of [lecture 03](03_noise_conditioning.ipynb).

# %%
check.progress()
claims.summary()
