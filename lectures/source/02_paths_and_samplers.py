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
# # Lecture 02: paths and samplers
#
# After this lecture you can
#
# - write the forward process as a chain and as one line, and say why both are the same;
# - move between VP, VE, cosine, linear (flow matching) and EDM by the noise level, and between the targets $\epsilon$, $x_0$, $v$ by one 2x2 system;
# - train a denoiser in twenty lines;
# - write DDIM, Heun and DPM-Solver++(2M), and measure their orders;
# - say what noise on the way back is good for, and how many network calls a picture needs.
#
# **Before:** lecture 01 (the score). **Time:** two and a half hours with the exercises; it runs some minutes on two
# cores. **Papers:** [DDPM](https://arxiv.org/abs/2006.11239), [score SDE](https://arxiv.org/abs/2011.13456), [DDIM](https://arxiv.org/abs/2010.02502),
# [EDM](https://arxiv.org/abs/2206.00364), [DPM-Solver++](https://arxiv.org/abs/2211.01095), [flow matching](https://arxiv.org/abs/2210.02747).

# %%
import copy

import matplotlib.pyplot as plt
import torch
from experiments import claims, lecture02

from minidiff import check, plot, samplers
from minidiff.data.toys import rings
from minidiff.denoise import Denoiser
from minidiff.nets import build
from minidiff.oracles import MixtureDenoiser
from minidiff.schedules import EDM, VP
from minidiff.train import update_ema

SMOKE = claims.mode() == "smoke"  # seconds instead of minutes; its numbers mean nothing

# %% [markdown]
# ## 1. From data to noise: a chain, and one line
#
# DDPM destroys a picture in $N$ small steps. Each shrinks it a little and adds a little noise:
#
# $$x_k = \sqrt{1-\beta_k}\;x_{k-1}+\sqrt{\beta_k}\;\epsilon_k.$$
#
# The noises are independent Gaussians, so their sum is Gaussian, of a variance $\sigma_k^2=(1-\beta_k)\,\sigma_{k-1}^2+\beta_k$ with $\sigma_0=0$, that is,
# $1-\sigma_k^2=(1-\beta_k)(1-\sigma_{k-1}^2)$. So the chain needs no loop: with $\alpha_k^2=\prod_{i\le k}(1-\beta_i)$ (the papers' $\bar\alpha_k$),
#
# $$x_k=\alpha_k x_0+\sigma_k\epsilon, \qquad \sigma_k^2=1-\alpha_k^2.$$
#
# This line is the **forward process**: $\alpha$ is the scale of the signal, $\sigma$ of the noise.

# %% alt="Histograms of a chain of steps and of the one line at three times: they lie on each other."
generator = torch.Generator().manual_seed(0)
n, points = 1000, 5_000
beta = torch.linspace(0.1, 20, n) / n  # DDPM's, 1e-4 to .02
x = x0 = torch.where(torch.rand(points, generator=generator) < 0.7, 1.0, -1.0)
fig, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout="constrained", sharey=True)
for k in range(n):
    if k in (20, 200, 600):
        alpha = torch.sqrt(torch.prod(1 - beta[:k]))
        line = alpha * x0 + torch.sqrt(1 - alpha**2) * torch.randn(points, generator=generator)
        ax = axes[(20, 200, 600).index(k)]
        for values, label in ((x, "chain"), (line, "one line")):
            _ = ax.hist(values, bins=60, range=(-3, 3), histtype="step", linewidth=1.6, density=True, label=label)
        _ = ax.set(title=f"after {k} of {n} steps", xlabel="x")
    x = torch.sqrt(1 - beta[k]) * x + torch.sqrt(beta[k]) * torch.randn(points, generator=generator)
_ = axes[0].set_ylabel("density")
_ = axes[0].legend()

# %% [markdown]
# Let the number of steps $N$ grow, each $\beta$ falling as $1/N$, and $\alpha$ becomes a smooth function of time, $t=k/N$. That limit is the path **VP** (variance
# preserving: data of variance 1 keep it). How far is DDPM's chain of 1,000 steps from it?

# %%
print(limit := claims.measure("2.1"), limit.notes, sep="\n")

# %% [markdown]
# **The number that decides** falls tenfold for ten times the steps. *Supported*: the lecture's words hold; *met*: so did our guess of the size ([all claims](CLAIMS.md)).
#
# ## 2. Targets: two equations, two unknowns
#
# A network may be asked for $\epsilon$, for $x_0$, or for a mixture. Each target is $a\,x_0+b\,\epsilon$, and with
# $x_t=\alpha x_0+\sigma\epsilon$ this makes two equations for two unknowns: $(a,b)$ is $(0,1)$ for $\epsilon$, $(1,0)$ for $x_0$, and $(-\sigma,\alpha)$ for Salimans and Ho's $v=\alpha\epsilon-\sigma x_0$.
#
# ### Exercise 02.1: The target v (6 minutes, 1 point)
# Write `v_target(x0, eps, alpha, sigma)` for x0 and eps (B, ...), pictures or points, with one alpha and sigma (B,) each.
# <details><summary>Hint</summary>First give alpha and sigma as many axes as x0 has: `alpha.view(-1, *[1] * (x0.ndim - 1))`. Without it they line up with the last axis.</details>

# %% exercise="02.1" points=1 minutes=6
def v_target(x0, eps, alpha, sigma):
    """x0, eps (B, ...); alpha, sigma (B,) -> like x0."""
    # BEGIN SOLUTION
    alpha, sigma = (value.reshape(-1, *[1] * (x0.ndim - 1)) for value in (alpha, sigma))
    return alpha * eps - sigma * x0
    # END SOLUTION


# %%
_ = check.v_target(v_target)

# %% [markdown]
# ### Exercise 02.2: The 2x2 system (15 minutes, 2 points)
# Write `solve(out, a, b, x_t, alpha, sigma)`, which returns x0 and eps from `out = a x0 + b eps` and `x_t = alpha x0 + sigma eps`. out and x_t are (B, ...),
# the four numbers (B,). Do not assume alpha^2 + sigma^2 = 1; any of the four may be 0.
# <details><summary>Hint</summary>Axes as before, then Cramer's rule. The determinant is alpha b - sigma a; where it is 0 no answer is right: let the division show it.</details>

# %% exercise="02.2" points=2 minutes=15
def solve(out, a, b, x_t, alpha, sigma):
    """out, x_t (B, ...); a, b, alpha, sigma (B,) -> x0 and eps, each (B, ...); not finite where alpha b = sigma a."""
    # BEGIN SOLUTION
    a, b, alpha, sigma = (value.reshape(-1, *[1] * (x_t.ndim - 1)) for value in (a, b, alpha, sigma))
    det = alpha * b - sigma * a
    return (b * x_t - sigma * out) / det, (alpha * out - a * x_t) / det
    # END SOLUTION


# %%
_ = check.solve(solve)

# %% [markdown]
# ## 3. Five paths, one family
#
# Each pair $(\alpha_t,\sigma_t)$ is a path: **VP**, $\alpha=e^{-\frac12\int\beta}$, $\sigma=\sqrt{1-\alpha^2}$; **cosine**, $(\cos\frac{\pi t}2,\sin\frac{\pi t}2)$; **linear**,
# $(1-t,t)$; **VE** (variance exploding), $\alpha=1$, $\sigma=.01\sqrt{5000^{2t}-1}$; **EDM**, $(1,80t)$. Dividing $x_t$ by $\alpha>0$ loses nothing, so only the ratio
# counts: the **noise level** $\sigma/\alpha$, the signal-to-noise ratio **SNR** $\alpha^2/\sigma^2$, or **log-SNR** $2\log(\alpha/\sigma)$.

# %% alt="Time against the share of the signal, and log-SNR against time, of the five paths."
t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
for name, schedule in lecture02.PATHS.items():
    alpha, sigma = schedule(t)
    _ = axes[0].plot(alpha / (alpha + sigma), t, label=name)
    _ = axes[1].plot(t, schedule.log_snr(t), label=name)
_ = axes[0].set(xlabel="share of the signal, alpha / (alpha + sigma)", ylabel="time t")
_ = axes[1].set(xlabel="time t", ylabel="log-SNR")
_ = axes[1].legend()

# %% [markdown]
# Down to VE's last, $-7.8$, all pass the same levels, at other times (EDM's log-SNR is 0 at $t=1/80$): a path is a clock and a scale. To move between paths,
# find the time of a log-SNR.
#
# ### Exercise 02.3: The time of a log-SNR (15 minutes, 2 points)
# Write `time_of(schedule, log_snr)`: for each of the numbers `log_snr` (B,) the time t (B,) in [0, 1] where `schedule.log_snr(t)`, of a tensor t, is that. Use
# bisection, all rows at once, no formula, so that it works for any path. log-SNR *falls* as t grows.
# <details><summary>Hint</summary>Keep two tensors, low and high, of shape (B,). Ask for the log-SNR in the middle; keep the half in which the answer lies, for each row apart (torch.where). 50 halvings are enough.</details>

# %% exercise="02.3" points=2 minutes=15
import torch


def time_of(schedule, log_snr):
    """log_snr (B,) -> times (B,) in [0, 1], of the same dtype."""
    # BEGIN SOLUTION
    low, high = torch.zeros_like(log_snr), torch.ones_like(log_snr)
    for _ in range(50):
        middle = (low + high) / 2
        noisier = schedule.log_snr(middle) < log_snr
        low, high = torch.where(noisier, low, middle), torch.where(noisier, middle, high)
    return (low + high) / 2
    # END SOLUTION


# %%
find = check.time_of(time_of).answer or (lambda schedule, log_snr: schedule.time(log_snr))
levels = torch.tensor([4.0, 0.0, -4.0], dtype=torch.float64)
print({name: [round(v, 3) for v in find(schedule, levels).tolist()] for name, schedule in lecture02.PATHS.items()})

# %% [markdown]
# **Predict before you run.** Take one noise, and walk back to data (by the sampler DDIM of part 6) on each path, with the exact model, at the same noise levels. How far apart
# do the five ends lie?
# <details><summary>Answer</summary>They are the same points. In y = x/alpha and n = sigma/alpha the way back is the same equation on every path (part 6).</details>

# %%
family = claims.measure("2.2")
print(family)

# %% [markdown]
# ## 4. DDPM's bound is this loss
#
# DDPM is derived as a variational bound: a sum of Kullback-Leibler divergences, one for each step back from $t$ to an earlier $s$, between two Gaussians, the true
# step, given $x_0$, and the model's, with its guess $\hat x_0$. Both have the same variance (you show it in 02.7), so the divergence is a squared
# distance of means over twice the variance, and the means differ by $x_0-\hat x_0$, that is by $\epsilon-\hat\epsilon$, times a number. On one step:

# %%
schedule, (t, s) = VP(), torch.tensor([0.6, 0.59], dtype=torch.float64)
(a_t, s_t), (a_s, s_s) = schedule(t), schedule(s)
true_eps, guess = torch.tensor(0.8), torch.tensor(0.5)
x_t = a_t * 0.3 + s_t * true_eps  # x0 is 0.3
(mean, variance), (guessed, _) = (lecture02.step_back(schedule, t, s, x_t, (x_t - s_t * e) / a_t) for e in (true_eps, guess))
bound = (mean - guessed) ** 2 / (2 * variance)
weight = bound / (true_eps - guess) ** 2
half_snr_gain = (torch.exp(schedule.log_snr(s) - schedule.log_snr(t)) - 1) / 2
print(f"divergence {bound:.5f} = {weight:.5f} (eps - guess)^2, and half of the relative gain in SNR is {half_snr_gain:.5f}")

# %% [markdown]
# So each term of the bound is $\tfrac12(\text{SNR}_s/\text{SNR}_t-1)$ times $\|\epsilon-\hat\epsilon\|^2$ (put in the means of 02.7). DDPM's "simple" loss sets all weights to 1: less is asked of
# levels with little noise, whose details no eye sees. The sum over steps is an average over random times: a training loop. Ours, on 36 small Gaussians on two rings, has
# EDM's target (its a and b are in the code), levels with $\log\sigma\sim N(-1.2,1.2^2)$, and tells the net $\frac14\log\sigma$:

# %% alt="The loss falls and levels off."
mixture, path = rings(), EDM()
net = build("mlp", (2,), width=96)
ema, optimizer, losses = copy.deepcopy(net), torch.optim.Adam(net.parameters(), lr=2e-3), []
for step in range(20 if SMOKE else 3000):
    x0 = mixture.sample(512, generator)
    eps = torch.randn(x0.shape, generator=generator)
    sigma = torch.exp(-1.2 + 1.2 * torch.randn(512, 1, generator=generator))  # alpha is 1 on this path
    size = torch.sqrt(sigma**2 + 0.5**2)  # of x_t, where the data's standard deviation is 0.5
    target = (sigma / 0.5 * x0 - 0.5 * eps) / size  # a x0 + b eps, of standard deviation 1 at every level
    out = net((x0 + sigma * eps) / size, sigma[:, 0].log() / 4, None)
    loss = (out - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    update_ema(ema, net, step + 1)  # a running mean of the weights: it is what draws
    losses.append(loss.item())
model = Denoiser(ema, path, "edm", 0.5)  # solves the 2x2 system: (x_t, t) -> x0, eps
rows = [(k, sum(losses[k : k + 20]) / 20) for k in range(0, len(losses), 20)]
_ = plot.losses(rows, title="a denoiser of two rings").set(yscale="linear")

# %% [markdown]
# The loss falls little: the target is nearly all $x_0$ at large noise, all $\epsilon$ at little noise, just what cannot be known there. `Denoiser.loss` in the package is these
# lines, for any path and target. How far is our net from the exact model?

# %%
with torch.no_grad():
    x0, eps = mixture.sample(20_000, generator), torch.randn(20_000, 2, generator=generator)
    for sigma in (0.05, 0.2, 1.0, 5.0, 40.0):
        t = path.time(-2 * torch.tensor(sigma).log())
        ours, best = (m(x0 + sigma * eps, t).x0 for m in (model, MixtureDenoiser(mixture, path)))
        print(f"sigma {sigma}: error of x0 {(ours - x0).square().mean():.4f}, of the best denoiser {(best - x0).square().mean():.4f}")

# %% [markdown]
# ## 5. Two ways back: an SDE and an ODE
#
# Take data that are one Gaussian, $N(0,1)$, with $\alpha=1$. Then $x_\sigma\sim N(0,1+\sigma^2)$, and one map carries the distribution at $\sigma$ to
# the one at $\sigma'$: multiply by $\sqrt{(1+\sigma'^2)/(1+\sigma^2)}$. Differentiate by $\sigma'$ at $\sigma'=\sigma$. The score is $-x/(1+\sigma^2)$, and by lecture 01 $-\hat\epsilon/\sigma$:
#
# $$\frac{dx}{d\sigma}=\frac{\sigma\,x}{1+\sigma^2}=-\sigma\,\nabla\log p_\sigma(x)=\hat\epsilon.$$
#
# The **probability-flow ODE**. It holds for any data: points of velocity $u$ change their density by $\partial_\sigma p=-\nabla\cdot(p\,u)$, and with $u=-\sigma\nabla\log p$ that is $\sigma\nabla^2p$, what added noise does.
# It is not the only way: Langevin dynamics leaves each $p_\sigma$ as it is, so any amount may be added. Lecture 01's step, with its $a$ now $2\sigma|d\sigma|$,
# has the ODE's drift once more. Both together are the **reverse SDE**: twice the step, and fresh noise of variance $2\sigma|d\sigma|$.

# %% alt="Points on their way from noise to two rings, by the ODE in smooth lines and by the SDE in zigzag."
exact = MixtureDenoiser(mixture, path)
noise = torch.linspace(3 ** (1 / 7), 0.01 ** (1 / 7), 10 if SMOKE else 120) ** 7
x = {"ODE": 3 * torch.randn(1500, 2, generator=generator)}
x["SDE"] = x["ODE"].clone()
walks = {name: [start] for name, start in x.items()}
for sigma, lower in zip(noise[:-1], noise[1:], strict=True):
    t, step = path.time(-2 * sigma.log()), sigma - lower
    x["ODE"] = x["ODE"] - step * exact(x["ODE"], t).eps
    fresh = torch.randn(x["SDE"].shape, generator=generator)
    x["SDE"] = x["SDE"] - 2 * step * exact(x["SDE"], t).eps + torch.sqrt(2 * sigma * step) * fresh
    for name in x:
        walks[name].append(x[name])
fig, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
for ax, name in zip(axes, walks, strict=True):
    _ = plot.trajectories(walks[name], ax, f"{name}: ways of 12 points, and ends", limit=3, most=12)

# %% alt="Animation: noise streams to two rings, on the left by the ODE, on the right by the SDE."
frames = []
for i in range(0, len(noise), 1 if SMOKE else 4):
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
    for ax, name in zip(axes, walks, strict=True):
        _ = plot.points(walks[name][i], ax=ax, title=f"{name}, sigma = {noise[i]:.2f}", limit=1.5)
    frames.append(fig)
plot.gif(frames, [90] * (len(frames) - 1) + [1500])

# %% [markdown]
# **Predict before you run.** After 400 steps each (ODE: Heun's, part 6; SDE: Euler's): which distribution is nearer to the data's?
# <details><summary>Answer</summary>Neither, in theory: single paths differ, the distributions are the same at each level. Errors differ (part 7).</details>

# %%
print(claims.measure("2.3"))

# %% [markdown]
# Wide, and it holds 1: with 20,000 points both stand at the floor, where chance decides.
#
# ## 6. Samplers
#
# On any path, let $y=x/\alpha$ and $n=\sigma/\alpha$. Then $y=x_0+n\epsilon$ is the case of part 5, and the ODE is $dy/dn=\hat\epsilon$: the schedule is gone. One step of Euler's
# method, $y_s=y_t+(n_s-n_t)\,\hat\epsilon$, multiplied out with $x_t=\alpha_t\hat x_0+\sigma_t\hat\epsilon$, is
#
# $$x_s=\alpha_s\,\hat x_0+\sigma_s\,\hat\epsilon,$$
#
# which is **DDIM**: put the two ends of the line together, at the new time.
#
# ### Exercise 02.4: DDIM (20 minutes, 3 points)
# Write `ddim(model, x, times, cond=None)`. `model(x, t, cond)` returns x0 and eps, `model.schedule(t)` returns alpha and sigma; times fall from noise to data. Return the last x. One call a step.
# <details><summary>Hint</summary>Walk over pairs (t, s) of neighbouring times. Ask the model at t, where x is; alpha and sigma are those of s. If s is 0, sigma is 0 and nothing special is needed.</details>

# %% exercise="02.4" points=3 minutes=20
def ddim(model, x, times, cond=None):
    """x (B, ...) at times[0] -> x (B, ...) at times[-1]; times (n + 1,). The model takes t (B,) or ()."""
    # BEGIN SOLUTION
    for t, s in zip(times[:-1], times[1:], strict=True):
        x0, eps = model(x, t, cond)
        alpha, sigma = model.schedule(s)
        x = alpha * x0 + sigma * eps
    return x
    # END SOLUTION


# %%
mine = check.ddim(ddim).answer
draw_ddim = mine or (lambda *a: samplers.last(samplers.ddim(*a)))  # if yours is not right yet, the package's
x, times = path(torch.tensor(path.t_max))[1] * torch.randn(4, 2, generator=generator), path.grid(6)
if mine:
    print("as the package's:", torch.allclose(mine(exact, x, times), samplers.last(samplers.ddim(exact, x, times)), atol=1e-5))

# %% [markdown]
# Euler's slope is that of the start. **Heun's method** takes a trial step, asks for the slope there too, and uses the mean of both. A step of length h errs by $h^3$ and not $h^2$, the whole way
# is of **second order** and not first: twice the steps, a quarter of the error.
#
# ### Exercise 02.5: Heun (20 minutes, 3 points)
# Write `heun(model, x, times, cond=None)`: Heun's method on dy/dn = eps, with y and n as above. If the last time is 0, the last step returns x0 with one call (there eps is 0/0).
# <details><summary>Hint</summary>ahead = alpha_s (x/alpha_t + h eps) with h = n_s - n_t. The second call is model(ahead, s, cond): new point, new time.</details>

# %% exercise="02.5" points=3 minutes=20
def heun(model, x, times, cond=None):
    """x (B, ...) at times[0] -> x (B, ...) at times[-1]; two calls a step, but one in a step that ends at t = 0."""
    # BEGIN SOLUTION
    for t, s in zip(times[:-1], times[1:], strict=True):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
        x0, eps = model(x, t, cond)
        if s == 0:
            return x0
        h = sigma_s / alpha_s - sigma_t / alpha_t
        second = model(alpha_s * (x / alpha_t + h * eps), s, cond).eps
        x = alpha_s * (x / alpha_t + h * (eps + second) / 2)
    return x
    # END SOLUTION


# %%
draw_heun = check.heun(heun).answer or (lambda *a: samplers.last(samplers.heun(*a)))

# %% [markdown]
# **DPM-Solver++(2M)** gets second order from one call a step: it keeps the $\hat x_0$ of the step before. In $\lambda=\log(\alpha/\sigma)$ the ODE is
# $\frac{d}{d\lambda}\frac x\sigma=e^\lambda\hat x_0$, solved exactly if $\hat x_0$ is a constant $D$ over a step; take for $D$ the value extrapolated to the step's middle. With
# $h=\lambda_s-\lambda_t$, and "before" for the step before:
#
# $$D=\hat x_0+\frac{h}{2h_{\text{before}}}\left(\hat x_0-\hat x_0^{\text{before}}\right), \qquad x_s=\frac{\sigma_s}{\sigma_t}\,x_t-\alpha_s\,(e^{-h}-1)\,D.$$
#
# ### Exercise 02.6: DPM-Solver++(2M) (25 minutes, 4 points)
# Write `dpmpp_2m(model, x, times, cond=None)`. The first step has nothing before it: D is x0. The step to t = 0, where h is infinite, returns x0.
# <details><summary>Hint</summary>model.schedule.log_snr(t) is 2 lambda. Keep the pair (x0, h) of the last step; torch.expm1 is exact for small h.</details>

# %% exercise="02.6" points=4 minutes=25
import torch


def dpmpp_2m(model, x, times, cond=None):
    """x (B, ...) at times[0] -> x (B, ...) at times[-1]; one call a step."""
    # BEGIN SOLUTION
    before = None
    for t, s in zip(times[:-1], times[1:], strict=True):
        x0 = model(x, t, cond).x0
        if s == 0:
            return x0
        h = (model.schedule.log_snr(s) - model.schedule.log_snr(t)) / 2
        ahead = x0 if before is None else x0 + h / (2 * before[1]) * (x0 - before[0])
        (alpha_s, sigma_s), (_, sigma_t) = model.schedule(s), model.schedule(t)
        x = sigma_s / sigma_t * x - alpha_s * torch.expm1(-h) * ahead
        before = x0, h
    return x
    # END SOLUTION


# %%
draw_dpmpp = check.dpmpp_2m(dpmpp_2m).answer or (lambda *a: samplers.last(samplers.dpmpp_2m(*a)))

# %% [markdown]
# **Predict before you run.** Which lines in the next figure (VP, from t = .9 to .1) are parallel? ("Euler" is Euler's method on $dx/dt$; on $dy/dn$ it is DDIM.)
# <details><summary>Answer</summary>DDIM and Euler fall with slope -1, Heun and DPM-Solver++(2M) with slope -2.</details>

# %% alt="Error against steps on logarithmic axes: two lines of slope -1, two of slope -2."
order = claims.measure("2.4")
fig, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
for (name, errors), marker in zip(order.detail["errors"].items(), "os^D", strict=True):
    _ = ax.plot(order.detail["steps"], errors, marker + "-", label=name)
_ = ax.set(yscale="log", xlabel="steps", ylabel="error of x, exact model")
plot.log_axes(ax, order.detail["steps"])
_ = ax.legend()
print(order)

# %% [markdown]
# Orders say how fast an error falls, not how large it is. The three on your net, with few calls. (With the exact model too, Heun leaves the frame where its second slope
# divides by a small $\sigma$, and DPM-Solver++ lands outside the rings, grey.)

# %% alt="Samples of two rings with at most 6, 10 and 20 network calls, a row for each sampler."
x = path(torch.tensor(path.t_max))[1] * torch.randn(1500, 2, generator=generator)
fig, axes = plt.subplots(3, 3, figsize=(7.5, 7.8), layout="constrained")
for row, (name, draw) in zip(axes, {"DDIM": draw_ddim, "Heun": draw_heun, "DPM-Solver++(2M)": draw_dpmpp}.items(), strict=True):
    for ax, calls in zip(row, (6, 10, 20), strict=True):
        steps = calls // 2 if name == "Heun" else calls
        with torch.no_grad():
            found = draw(model, x, path.grid(steps))
        _ = plot.points(found, ax=ax, title=f"{name}, {2 * steps - 1 if name == 'Heun' else steps} calls", limit=1.2)
        _ = [ax.add_patch(plt.Circle((0, 0), r, fill=False, color="0.5")) for r in (0.4, 0.8)]  # the data's rings

# %% [markdown]
# ## 7. Noise on the way back
#
# DDPM draws fresh noise $z$ in each step: a share $f$ of the variance is drawn anew, the rest is kept,
# $x_s=\alpha_s\hat x_0+\sigma_s(\sqrt{1-f}\,\hat\epsilon+\sqrt f\,z)$. For which share are $x_s$ and $x_t$ together distributed as in the chain of part 1, given $x_0$?
#
# ### Exercise 02.7: The fresh share (10 minutes, 1 point)
# Write `fresh_share(alpha_t, sigma_t, alpha_s, sigma_s)`: the variance of x_s given x_t and x0, divided by sigma_s^2.
# <details><summary>Hint</summary>Given x0: x_t = r x_s + noise with r = alpha_t / alpha_s. Which variance must this noise have? By Bayes' rule 1/variance is 1/sigma_s^2 plus r^2 over the noise's variance.</details>

# %% exercise="02.7" points=1 minutes=10
def fresh_share(alpha_t, sigma_t, alpha_s, sigma_s):
    """Four tensors of one shape -> the share, between 0 and 1."""
    # BEGIN SOLUTION
    return 1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2
    # END SOLUTION


# %%
_ = check.fresh_share(fresh_share)

# %% [markdown]
# An ODE carries every error of the net to the end. Fresh noise and its removal is a correction: it pulls points towards
# the distribution of the level. EDM's **churn** raises the noise before each step of Heun, here by 40% (EDM's most is 41%).
#
# **Predict before you run.** With a net that is not perfect: does churn help with 8 steps? With 64?
# <details><summary>Answer</summary>It harms where steps are few: each has farther to go. With many it may help. A ratio above 1 means harm.</details>

# %%
print(churned := claims.measure("2.5"), churned.notes, sep="\n")

# %% [markdown]
# With 64 steps no sure gain; the interval holds 1.
#
# ## 8. How many calls does a picture need?
#
# Count calls until the *distance to real pictures* no longer falls: a U-Net on digits (in `gpu` mode CIFAR-10), Fréchet
# distance of its samples. Enough is within 10% of that of 50 calls of DPM-Solver++(2M).

# %% alt="Fréchet distance against network calls for three samplers."
needed = claims.measure("2.6")
fig, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
tried = sorted({calls for _, calls in needed.detail["found"]})
names = {"ddim": "DDIM", "heun": "Heun", "dpmpp_2m": "DPM-Solver++(2M)"}
for (name, label), marker, colour in zip(names.items(), "o^D", (0, 2, 3), strict=True):  # as above
    values = torch.tensor([needed.detail["found"][name, calls] for calls in tried])
    calls = [c - (name == "heun") for c in tried]  # its last step takes one
    _ = ax.errorbar(calls, values.mean(1), values.std(1), fmt=marker + "-", color=plot.COLOURS[colour], capsize=3, label=label)
_ = ax.set(yscale="log", ylim=(0.9, 50), xlabel="network calls", ylabel="Fréchet distance, raw pixels")
plot.log_axes(ax, tried)
_ = ax.legend()
print(needed, needed.notes, sep="\n")

# %% [markdown]
# **The number that decides** is the ratio of calls needed, 1 in two of three seeds (bars: their standard deviation): undecided. Heun needs more: its steps are twice as long, and with few calls it blows up, as above. Higher order pays where a small error counts. [Lecture 09](09_cifar10.ipynb) asks again on CIFAR-10.
#
# **Vary it.**
#
# - In the training loop, replace EDM's target by $\epsilon$ (then `Denoiser(ema, path, "eps")`). Which noise levels suffer?
# - Give `draw_dpmpp` the times `torch.linspace(path.t_max, 0, 11)` instead of `path.grid(10)`. What happens?
# - `samplers.last(samplers.ddim(model, x, times, eta=1.0))` is DDPM's sampler. How many steps does it need?
#
# **Take away.**
#
# - One line, $x_t=\alpha x_0+\sigma\epsilon$; paths are its clocks, targets its mixtures, and one 2x2 system undoes them all.
# - SDE and ODE of one exact score share their distributions. By the ODE some twenty calls do on digits, whatever the order (2.6); whether fresh noise corrects a net's errors is undecided (2.5).
# - Order is measured with an exact model, calls are counted with a distance to data.
#
# Next: [lecture 03](03_noise_conditioning.ipynb). The net above was told its noise level. Must it be?

# %%
check.progress()
claims.summary()
