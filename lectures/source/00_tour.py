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
# # Lecture 00: a tour
#
# This course builds, in small, every system that the lecture "Text-to-Image Generation with Diffusion Models" names, and puts its claims to
# experiments that could refute them. After this tour you can
#
# - add noise to data, say what the best guess of the clean data is, and train a network that makes such guesses;
# - draw new points with it, and count what a picture costs in network calls;
# - measure whether a generator forgets parts of the data;
# - say what each of the ten lectures builds.
#
# **Before:** Python, a little PyTorch, the normal distribution. **Time:** 20 minutes to read, 35 for the four exercises; the notebook itself runs some minutes on two
# cores. **Papers:** [the first diffusion model](https://arxiv.org/abs/1503.03585), [DDPM](https://arxiv.org/abs/2006.11239), [GAN](https://arxiv.org/abs/1406.2661).

# %%
import matplotlib.pyplot as plt
import torch
from experiments import claims, lecture00, lecture05
from sklearn.datasets import load_digits, load_sample_image

from minidiff import check, plot, samplers
from minidiff.data.toys import branches, eight_gaussians, grid_25, swiss_roll
from minidiff.guidance import Guided
from minidiff.measure.metrics import modes_covered
from minidiff.measure.nets import flops
from minidiff.nets import build
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.run import checkpoint
from minidiff.run.generate import generate
from minidiff.run.models import tokenizer_of
from minidiff.run.pretrained import folder
from minidiff.schedules import VP, Linear, expand

SMOKE = claims.mode() == "smoke"  # seconds instead of minutes; its numbers mean nothing
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## One line
#
# One line carries the course. Data $x_0$ becomes noise along
#
# $$x_t = \alpha_t\, x_0 + \sigma_t\, \epsilon, \qquad \epsilon \sim N(0, I), \quad t \in [0, 1].$$
#
# $\alpha$ is the scale of what is left of the data, $\sigma$ that of the noise. At $t = 0$ there is data, at $t = 1$ noise.
#
# ### Exercise 00.1: Add noise (5 minutes, 1 point)
# Write `add_noise(x0, eps, alpha, sigma)`. x0 and eps are (B, ...): points (B, 2) or pictures (B, C, H, W). alpha and sigma are (B,), one for each point or picture, or () for all.
# <details><summary>Hint</summary>PyTorch lines shapes up from the right: (B,) meets the last axis, not the first. Append as many axes of length 1 as x0 has beyond the batch; a () tensor needs none.</details>

# %% exercise="00.1" points=1 minutes=5
def add_noise(x0, eps, alpha, sigma):
    """x0, eps (B, ...); alpha, sigma (B,) or () -> like x0."""
    # BEGIN SOLUTION
    if alpha.ndim:
        alpha, sigma = (value.reshape(-1, *[1] * (x0.ndim - 1)) for value in (alpha, sigma))
    return alpha * x0 + sigma * eps
    # END SOLUTION


# %%
noisy = check.add_noise(add_noise).answer or (lambda x0, eps, a, s: torch.lerp(0 * x0, x0, expand(a, x0)) + expand(s, x0) * eps)

# %% [markdown]
# A network is shown $x_t$ and asked what $x_0$ was. It cannot know. The answer with the least squared error is the mean of all $x_0$ that fit, $\mathbb{E}[x_0 \mid x_t]$.
# If the data are one Gaussian you can write it down.
#
# ### Exercise 00.2: The best guess (10 minutes, 1 point)
# Let $x_0 \sim N(0, s^2)$. Write `best_guess(x_t, alpha, sigma, s)`, the mean of x0 given x_t, for numbers x_t (B,). Do not assume alpha^2 + sigma^2 = 1.
# <details><summary>Hint</summary>x0 and x_t are jointly Gaussian, so the mean is linear in x_t: their covariance, alpha s^2, over the variance of x_t.</details>

# %% exercise="00.2" points=1 minutes=10
def best_guess(x_t, alpha, sigma, s):
    """x_t (B,); alpha, sigma, s numbers -> (B,)."""
    # BEGIN SOLUTION
    return alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x_t
    # END SOLUTION


# %% alt="The best guess of x0 against x_t: a line that is steep with little noise and flat with much."
gaussian = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1))
guess = check.best_guess(best_guess).answer or (lambda x, a, s, width: gaussian.posterior_mean(x[:, None], a, s)[:, 0])
x = torch.linspace(-3, 3, 7)
fig, ax = plt.subplots(figsize=(4.6, 3), layout="constrained")
for sigma, marker in ((0.2, "o"), (1.0, "^"), (3.0, "s")):
    _ = ax.plot(x, guess(x, 1.0, sigma, 1.0), marker + "-", label=f"sigma = {sigma:g}")
_ = ax.set(xlabel="x_t", ylabel="best guess of x0", title="data N(0, 1), alpha = 1")
_ = ax.legend()
print("as the package's:", torch.allclose(guess(x, 0.6, 0.9, 1.0), gaussian.posterior_mean(x[:, None], 0.6, 0.9)[:, 0], atol=1e-5))

# %% [markdown]
# ## A diffusion model in twenty lines
#
# For pictures nobody can write the best guess down. So a network learns it, from pairs that you make yourself: take data, add noise, ask for the way back. Here the path is
# straight, $\alpha = 1 - t$, $\sigma = t$, and the network is asked for $\epsilon - x_0$, the direction from data to noise.

# %% alt="The loss falls and levels off above 0."
net = build("mlp", (2,), width=96, seed=0)
optimizer, losses = torch.optim.Adam(net.parameters(), lr=2e-3), []
steps = 20 if SMOKE else 2500
for step in range(steps):
    x0, eps = swiss_roll(512, generator)[0], torch.randn(512, 2, generator=generator)
    t = torch.sigmoid(torch.randn(512, generator=generator))  # a time for each point
    out = net(noisy(x0, eps, 1 - t, t), torch.logit(t) / 4)  # the network is told the time
    loss = (out - (eps - x0)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
    optimizer.step()
    losses.append((step, loss.item()))
_ = plot.losses(losses[:: max(1, len(losses) // 300)], title="learning a roll").set(yscale="linear")

# %% [markdown]
# To draw, start from noise and walk against that direction, in small steps of time. Each point follows the flow that the network has learned. Beside it, the flow of a
# *perfect* network: for a mixture of Gaussians (here 248 of them, two trees) the best guess is known.

# %% alt="Animation: noise streams along the flow, on the left to a roll that our network learned, on the right to two trees."
def streams(n: int, frames: int) -> tuple[list, list]:
    """Points on their way through the learned flow, and through the exact one."""
    x = torch.randn(n, 2, generator=generator)
    ours, exact, trees = [x], [x], MixtureDenoiser(branches(), Linear())
    times = torch.linspace(1, 0, frames + 1) ** 1.5  # smaller steps towards the data
    for t, s in zip(times[:-1].clamp(max=0.995), times[1:], strict=True):
        with torch.no_grad():
            ours.append(ours[-1] + (s - t) * net(ours[-1], (torch.logit(t) / 4).expand(n)))
        x0, eps = trees(exact[-1], t)
        exact.append((1 - s) * x0 + s * eps)
    return ours, exact


def figure(paths: tuple, i: int, hue: torch.Tensor):
    """Frame i: points, each with a tail of its last places."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.6), gridspec_kw={"left": 0.01, "right": 0.99, "bottom": 0.01, "wspace": 0.02})
    for ax, path, title in zip(axes, paths, ("our network", "a perfect one"), strict=True):
        tail = torch.stack(path[max(0, i - 4) : i + 1])
        _ = ax.plot(tail[..., 0], tail[..., 1], color="0.8", linewidth=0.5, zorder=0)
        _ = ax.scatter(*path[i].T, c=hue, cmap="turbo", s=3, linewidths=0)
        _ = ax.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal", title=title, xticks=[], yticks=[])
    return fig


paths = streams(60 if SMOKE else 900, 6 if SMOKE else 36)
hue = torch.atan2(paths[0][0][:, 1], paths[0][0][:, 0])  # by the direction in which a point starts
plot.gif([figure(paths, i, hue) for i in range(len(paths[0]))], [80] * (len(paths[0]) - 1) + [2000], dpi=72)

# %% [markdown]
# That is all of diffusion: noise, a network that guesses, a walk. Everything else is how to do it well, for pictures, and for words.
#
# ## What happened around 2020?
#
# The lecture opens with two curves of citations: GANs (Goodfellow et al. 2014) rise first, and around 2020 diffusion (Sohl-Dickstein et al. 2015) overtakes them. The story behind it: the
# 2015 paper (the words are lectures 01's and 02's) had the chain and its bound, but blurred samples. Song and Ermon (NCSN, 2019) learned scores and walked by Langevin dynamics. DDPM (Ho et al. 2020) found the same loss from the chain. The
# score SDE (Song et al. 2021) showed that both are one, and ADM (Dhariwal and Nichol 2021) beat the best GAN on ImageNet, with a classifier's guidance. FID (Fréchet inception distance) compares statistics of samples and pictures; less is better.

# %% alt="Published FID on CIFAR-10 by year, falling from 25 in 2019 to below 2 in 2022."
published = {"NCSN": (2019, 25.32), "DDPM": (2020, 3.17), "score SDE": (2021, 2.20), "EDM": (2022, 1.97)}  # from the papers
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
_ = ax.plot(*zip(*published.values(), strict=True), "o-")
for name, (year, fid) in published.items():
    _ = ax.annotate(f"{name} {fid}", (year, fid), (6, 5), textcoords="offset points")
_ = ax.set(xlabel="year of the paper", ylabel="FID, CIFAR-10", xlim=(2018.8, 2022.9), xticks=range(2019, 2023))
plot.log_axes(ax, y=(2, 5, 10, 20))
_ = ax.set_ylim(1.5, 40)

# %% [markdown]
# The slide does not say *why*. One reason can be shown on two cores. **Claim:** a GAN forgets parts of the data (it *drops modes*), diffusion does not. The data: 25 Gaussians on a grid. To count, you need a rule.
#
# ### Exercise 00.3: Modes found (12 minutes, 2 points)
# Write `modes_found(x, means, std)` for points x (N, 2) and means (K, 2). A point is *near* a mode if its distance from the mean is within 3 std. A mode is *found* if at least N / (8 K) points are near
# it, an eighth of its share. Return how many modes are found, and the share of all points that are near any.
# <details><summary>Hint</summary>torch.cdist(x, means) is (N, K). Count down its columns for the modes; for the share take the least of each row.</details>

# %% exercise="00.3" points=2 minutes=12
import torch


def modes_found(x, means, std):
    """x (N, 2), means (K, 2), std a number -> (number of modes, share of points near any)."""
    # BEGIN SOLUTION
    near = torch.cdist(x, means) <= 3 * std
    enough = near.sum(0) >= len(x) / (8 * len(means))
    return int(enough.sum()), near.any(1).double().mean().item()
    # END SOLUTION


# %%
count = check.modes_found(modes_found).answer or (lambda x, means, std: modes_covered(x, grid_25()))
real = grid_25().sample(4000, generator)
print("real points:", count(real, grid_25().means, 0.03), "as the package's:", modes_covered(real, grid_25()))

# %% [markdown]
# **Experiment.** A GAN as in 2014, a GAN held by the penalty R1 (Mescheder et al. 2018), and a diffusion model: networks of about equal size, equal operations in training, five seeds.
#
# **Predict before you run.** Of the 25 modes, how many does each find? What share of its points lies near a mode?
# <details><summary>Answer</summary>The GAN of 2014 finds one, and most of its points lie near it; the one with R1 finds most, as it spreads points everywhere; diffusion finds all, with most of its points near one. The titles below are the measurement, of one seed.</details>

# %% alt="Points of the data, of two GANs and of diffusion on a 5 by 5 grid of modes, with the modes found."
dropped, closer = claims.measure("0.1"), claims.measure("0.2")
drawn = {name: closer.detail["found"]["samples"][name, 0] for name in ("GAN, 2014", "GAN, R1", "diffusion")}
fig, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
for ax, (name, points) in zip(axes, {"the data": real, **drawn}.items(), strict=True):
    modes, share = count(points, grid_25().means, 0.03)
    _ = plot.points(points, ax=ax, title=f"{name}: {modes} modes, {share:.0%} near")
print(dropped, closer, sep="\n\n")

# %% [markdown]
# **The numbers that decide** are the modes that the GAN of 2014 finds, and the share near a mode, diffusion minus the GAN with R1. Nothing in diffusion can collapse: each data point is noised and guessed, whatever the others do. (Longer training and better GANs do much better than these two. That they
# *needed* years of such remedies is part of what happened.)
#
# ## The ten lectures
#
# A stop for each: one picture, one sentence.
#
# ## 01 Score matching
# The best guess points uphill, along the *score*, the gradient of the log density, and [lecture 01](01_score_matching.ipynb) learns it by three losses.

# %% alt="Arrows of the score of eight Gaussians at three noise levels: to the nearest mode with little noise, to the middle with much."
mixture = eight_gaussians()
fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, sigma in zip(axes, (0.6, 0.25, 0.05), strict=True):
    _ = plot.density(mixture.diffuse(1.0, sigma), ax, f"score at sigma = {sigma:g}")
    _ = plot.score_field(mixture.diffuse(1.0, sigma).score, ax, n=15)

# %% [markdown]
# ## 02 Paths and samplers
# Twenty network calls are enough to walk from noise to data if the steps are well made, and [lecture 02](02_paths_and_samplers.ipynb) builds three ways to make them. (All five panels have one scale.)

# %% alt="Points after 0, 8, 12, 16 and 20 steps on one scale: a wide cloud that shrinks to a ring and then to eight spots."
model, path = MixtureDenoiser(mixture, VP()), VP()
x = samplers.start(model, (400, 2), generator)
walk = [x, *samplers.dpmpp_2m(model, x, path.grid(20))]
fig, axes = plt.subplots(1, 5, figsize=(13, 2.9), layout="constrained", sharey=True)
for ax, step in zip(axes, (0, 8, 12, 16, 20), strict=True):
    _ = plot.points(walk[step], ax=ax, title=f"after {step} steps", limit=3.0)

# %% [markdown]
# ### Exercise 00.4: Calls (8 minutes, 1 point)
# Write `calls(sampler, steps, scale)`: how many network evaluations one picture costs. sampler is "ddim", "euler", "heun" or "dpmpp_2m". Heun takes two evaluations a step, but one in the last, which goes to t = 0; the
# others take one. Guidance by `scale` (stop 07) runs the network with and without a class or prompt; scale 1 is off.
# <details><summary>Hint</summary>Count the evaluations of one walk first; guidance multiplies them.</details>

# %% exercise="00.4" points=1 minutes=8
def calls(sampler, steps, scale):
    """A name, a whole number, a number -> a whole number."""
    # BEGIN SOLUTION
    walk = 2 * steps - 1 if sampler == "heun" else steps
    return walk if scale == 1 else 2 * walk
    # END SOLUTION


# %%
_ = check.calls(calls)

# %% [markdown]
# ## 03 Noise conditioning
# It is crucial, the lecture says, to condition the network on the time step. In two dimensions a point does not show its noise level, in 512 it does, and [lecture 03](03_noise_conditioning.ipynb) asks what that is worth.

# %% alt="Histograms of the size of points at two noise levels: they overlap in 2 dimensions and are apart in 512."
fig, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
for ax, dim in zip(axes, (2, 512), strict=True):
    for sigma in (0.4, 0.6):
        size = sigma * torch.randn(4000, dim, generator=generator).square().mean(1).sqrt()
        _ = ax.hist(size, bins=50, range=(0, 1.4), histtype="step", linewidth=1.6, label=f"sigma = {sigma:g}")
    _ = ax.set(title=f"{dim} dimensions", xlabel="root mean square of a point of pure noise", ylabel="points")
_ = axes[0].legend()

# %% [markdown]
# ## 04 Noise as a style
# The noise level is a property of the whole picture, like a painter's style, so [lecture 04](04_noise_as_style.ipynb) puts it into the statistics of every layer (AdaIN, AdaGN, adaLN-Zero).

# %% alt="One photograph at five noise levels."
photo = torch.tensor(load_sample_image("flower.jpg")[20:420, 150:550] / 127.5 - 1).float().permute(2, 0, 1)
photo = torch.nn.functional.avg_pool2d(photo, 8)
levels = torch.tensor([0.0, 0.1, 0.3, 0.6, 1.0])
pictures = noisy(photo.expand(5, -1, -1, -1), torch.randn(5, *photo.shape, generator=generator), torch.ones(5), levels)
fig, ax = plt.subplots(figsize=(9, 2.2), layout="constrained")
_ = plot.grid(pictures, 5, ax, "one picture in five styles: sigma = 0, 0.1, 0.3, 0.6, 1")

# %% [markdown]
# ## 05 Architectures
# Convolutions, U-Nets and transformers are assembled from blocks in [lecture 05](05_architectures.ipynb), where what a net sees, what it costs and what details it keeps become numbers.

# %% alt="Bars: operations of five networks for one picture."
cost = {name: flops(make(), (3, 32, 32)) / 1e6 for name, make in lecture05.family(32).items()}
fig, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
_ = ax.bar_label(ax.barh(list(cost), cost.values()), fmt="%.0f", padding=3)
_ = ax.set(xlabel="million operations for one picture of 32x32")

# %% [markdown]
# ## 06 Several stages
# Compress first, then model what is left, $p(x) = \int p(z)\,p(x\mid z)\,dz$: below with 16 numbers a digit and a Gaussian for them, in [lecture 06](06_several_stages.ipynb) with autoencoders, codebooks, and diffusion of their latents.

# %% alt="Rows of digits: real ones, the same from 16 numbers, and new ones drawn from a Gaussian of those numbers."
digits = torch.tensor(load_digits().data / 8 - 1).float()
mean, (_, spread, axes16) = digits.mean(0), torch.pca_lowrank(digits, 16)
z = (digits[:10] - mean) @ axes16
fresh = torch.randn(10, 16, generator=generator) * spread / len(digits) ** 0.5
rows = torch.cat([digits[:10], mean + z @ axes16.T, mean + fresh @ axes16.T]).reshape(30, 1, 8, 8)
fig, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
_ = plot.grid(rows, 10, ax, row_labels=["real", "from 16 numbers", "drawn"])

# %% [markdown]
# ## 07 Guidance
# Go from the guess without the condition to the guess with it, and beyond, by the scale $\gamma$: samples leave the other class (about .25, not drawn) and become narrow, as [lecture 07](07_guidance.ipynb) measures.

# %% alt="Density of one class and guided samples for gamma 1, 2 and 5: the samples move away from the other class and become narrow."
classes = lecture00.two_classes()
fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, scale in zip(axes, (1.0, 2.0, 5.0), strict=True):
    model = MixtureDenoiser(classes, VP())
    x = samplers.start(model, (1000, 2), torch.Generator().manual_seed(0))
    x = samplers.last(samplers.dpmpp_2m(Guided(model, scale), x, VP().grid(30), torch.zeros(1000, dtype=torch.long)))
    _ = plot.density(classes.given(0), ax, f"gamma = {scale:g}")
    _ = ax.scatter(*x.T, s=1, color=plot.COLOURS[1])

# %% [markdown]
# ## 08 Text to image
# Words enter through cross-attention, and the net below, trained for 24 minutes on two cores on pictures with captions, ships with the package: it draws latents, as in 06; [lecture 08](08_text_to_image.ipynb) builds one like it.

# %% alt="Rows of small pictures, each row drawn from the prompt beside it."
prompts = ["a big red circle", "a small blue square at the top left", "a red square above a blue circle"]
run = folder("shapes")
cond = tokenizer_of(checkpoint.read_config(run))(prompts).repeat_interleave(2 if SMOKE else 8, 0)
x = generate(checkpoint.load(run), len(cond), cond=cond, scale=2.0, steps=3 if SMOKE else 12)
fig, ax = plt.subplots(figsize=(12, 2.9), layout="constrained")
_ = plot.grid(x, len(cond) // 3, ax, "gamma = 2", prompts)

# %% [markdown]
# ## 09 CIFAR-10
# The same recipe on photographs, a moving average of the weights, and an honest distance to the data: [lecture 09](09_cifar10.ipynb); these pictures are from the small net that ships with the package.

# %% alt="Two rows of ten small colour pictures, one for each class of CIFAR-10."
run = folder("cifar10")
labels = torch.arange(10).repeat(1 if SMOKE else 2)
x = generate(checkpoint.load(run), len(labels), cond=labels, scale=1.5, steps=1 if SMOKE else 15)
fig, ax = plt.subplots(figsize=(10, 2.4), layout="constrained")
_ = plot.grid(x, 10, ax, "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck")

# %% [markdown]
# ## 10 Quiz and capstone
# Each claim of the lecture had a prediction before it was measured, all verdicts are in the [ledger](CLAIMS.md), and [lecture 10](10_quiz_and_capstone.ipynb) asks what you would have said.

# %% alt="Bars: for each lecture how many of its claims the data support, contradict or leave undecided."
rows = list(claims.ledger().values())
kinds = sorted({r["verdict"] for r in rows}, key=lambda kind: -sum(r["verdict"] == kind for r in rows))
lectures, bottom = sorted({int(r["id"].split(".")[0]) for r in rows}), 0
fig, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
for kind, hatch in zip(kinds, ("", "//", "..", "xx"), strict=False):
    n = torch.tensor([sum(r["verdict"] == kind and r["id"].startswith(f"{k}.") for r in rows) for k in lectures])
    _ = ax.bar(lectures, n, bottom=bottom, hatch=hatch, edgecolor="white", label=f"{kind}: {int(n.sum())}")
    bottom = bottom + n
_ = ax.set(xlabel="lecture", ylabel="claims", xticks=lectures, title=f"all {len(rows)} claims")
_ = ax.legend(loc="upper left")

# %% [markdown]
# **Vary it.**
#
# - In the training loop, replace `swiss_roll` by `checkerboard` from the same module. Which parts are hard, and do more steps help?
# - Leave the time out, in training and in drawing: give the network `0 * t`. What do the points do?
# - Draw with 5 steps in place of 36. (Lecture 02 makes them count.)
#
# **Take away.**
#
# - Noise is added by one line; a network learns the best guess of what was there; a walk along its guesses draws.
# - That loss, over all noise levels, cannot forget a mode. Diffusion was slow, not unstable, and became fast.
# - Claims are tested here, and some fail.
#
# Next: [lecture 01](01_score_matching.ipynb), what the network's guess has to do with the score.

# %%
check.progress()
claims.summary()
