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
# # Lecture 06: several stages
#
# After this lecture you can
#
# - write and train the two bottlenecks of a first stage: a VAE's and a codebook's;
# - write and train a prior over latents (diffusion) and over tokens (autoregressive), and draw pictures from both;
# - test by a likelihood whether latents are a simple Gaussian;
# - say what latents save, and when two stages do not help.
#
# **Before:** lecture 02 (diffusion, samplers), lecture 05 (transformers). **Time:** two hours with the exercises. **Papers:**
# [VAE](https://arxiv.org/abs/1312.6114), [VQ-VAE](https://arxiv.org/abs/1711.00937), [Stacked GAN](https://arxiv.org/abs/1612.04357),
# [VQGAN](https://arxiv.org/abs/2012.09841), [latent diffusion](https://arxiv.org/abs/2112.10752).

# %%
import copy

import matplotlib.pyplot as plt
import torch
from experiments import claims, compressed, latents, lecture06, sheet, stacks
from experiments.tools import device
from torch import nn
from torch.nn.functional import mse_loss, softplus

from minidiff import check, plot
from minidiff.denoise import Denoiser, lognormal_times
from minidiff.schedules import VP
from minidiff.stages import Causal, StackedGAN, gan
from minidiff.stages.autoencoder import KL
from minidiff.stages.priors import Gaussian, Mixture
from minidiff.train import update_ema

SMOKE = claims.mode() == "smoke"  # seconds instead of minutes; its numbers mean nothing
generator = torch.manual_seed(0)

# %% [markdown]
# ## 1. One stage or two?
#
# **Claim.** "Divide and conquer: modeling $p(x)$ is hard/expensive." Write a picture $x$ through a smaller thing, its **latents** $z$:
#
# $$p(x) = \int p_\phi(z)\, p_\theta(x|z)\, dz .$$
#
# The **first stage** learns $p_\theta(x|z)$, the **decoder**, together with an **encoder** that finds $z$. The **second stage**, the **prior**, learns $p_\phi(z)$.
# The slide names three systems:
#
# | | first stage | second stage |
# |---|---|---|
# | Stacked GAN (2017) | a GAN: picture from features | a GAN: features from noise |
# | VQGAN (CVPR 2021; the slide says 2020) | an autoencoder with a codebook | an autoregressive transformer over tokens |
# | Latent diffusion (CVPR 2022; the slide says 2021) | an autoencoder with a KL bottleneck | a diffusion model |
#
# **Experiment.** Points in the plane are laid out on a smooth sheet, curled up in 64 dimensions. *Two stages:* an autoencoder to two numbers, and a diffusion of those.
# *One stage:* a diffusion of all 64, with as many training FLOPs.

# %% alt="Two of 64 coordinates of points: two stages follow the data's branches, one stage scatters around them."
steps = 3 if SMOKE else 500
two, budget = sheet.two_stages(steps, seed=0)  # (n, seed) -> points, and the FLOPs of its training
one, more = sheet.one_stage(budget, seed=0)
shown = {"the data": sheet.sheet(2000, generator), f"two stages of {steps} steps": two(2000, 0), f"one, {more} steps": one(2000, 0)}
fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained", sharey=True)
for ax, (name, x) in zip(axes, shown.items(), strict=True):
    _ = plot.points(x[:, :2], ax=ax, title=name, limit=0.8).set(xlabel="$x_1$ of 64", ylabel="$x_2$")

# %% [markdown]
# **Predict before you run.** Which is nearer to the data? Which stays nearer to the sheet?
# <details><summary>Answer</summary>Two stages, in both. One stage must learn everywhere that 62 directions are empty; a decoder cannot leave its own surface.</details>

# %%
print(claims.measure("6.1"))  # the same with five seeds

# %% [markdown]
# **The number that decides** is the ratio of distances to the data. Two stages win where data lie on something small. Pictures do.
#
# ## 2. The first stage: a VAE
#
# A variational autoencoder's encoder gives a Gaussian for each picture, $q(z|x) = N(\mu, \text{diag}\, e^{\ell})$, with $\ell$ the log variance. But for a constant, its loss bounds $-\log p(x)$ from above:
#
# $$L = \underbrace{\mathbb E_{z \sim q}\, \|x - \text{decoder}(z)\|^2 / (2 s^2)}_{\text{reconstruction}} + \underbrace{\text{KL}\left(q(z|x)\,\|\,N(0, I)\right)}_{\text{bottleneck}} .$$
#
# With a small $s$ the picture must come back exactly, and the KL term is weak: it bounds the latents' scale and does not make them normal. That is
# latent diffusion's choice. (The slide's "image GAN" is such an autoencoder with two more losses: of a trained network's features, and of a critic of patches.)
#
# ### Exercise 06.2: The KL divergence (8 minutes, 1 point)
# Write `kl(mean, log_var)`, both (B, ...): the divergence of each sample's Gaussian from N(0, I), (B,), in nats, summed over the latents.
# <details><summary>Hint</summary>For one latent: half of (mean squared + variance - 1 - log_var). The variance is the exponential of log_var.</details>

# %% exercise="06.2" points=1 minutes=8
def kl(mean, log_var):
    """mean, log_var (B, ...) -> (B,)"""
    # BEGIN SOLUTION
    each = (mean.square() + log_var.exp() - 1 - log_var) / 2
    return each.flatten(1).sum(1)
    # END SOLUTION


# %%
divergence = check.kl(kl).answer or (lambda mean, log_var: KL(1.0)(torch.cat([mean, log_var], 1))[1] * mean[0].numel())
print("as the package's:", torch.allclose(divergence(*(h := torch.randn(5, 8, 4, 4)).chunk(2, 1)), 64 * KL(1.0)(h)[1], rtol=1e-4))


# %% [markdown]
# The net, and a loop that trains all that follows. Latents have the picture's side divided by $f$, and four numbers at each place.


# %%
def convolutions(now, out, width=64):
    return nn.Sequential(nn.Conv2d(now, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, out, 3, padding=1))


class VAE(nn.Module):
    def __init__(self, f, channels, out=8):
        super().__init__()
        self.encode = nn.Sequential(nn.PixelUnshuffle(f), convolutions(channels * f**2, out))
        self.decode = nn.Sequential(convolutions(4, channels * f**2), nn.PixelShuffle(f))

    def forward(self, x):
        mean, log_var = self.encode(x).chunk(2, 1)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)  # a draw of q(z | x) that has a gradient
        return self.decode(z), z, divergence(mean, log_var)


def vae_loss(net, x, s=0.1):
    y, _, bottleneck = net(x)
    return (x - y).square().flatten(1).sum(1) / (2 * s**2) + bottleneck


def learn(net, data, loss_of, steps, lr=2e-3):
    """Train net on batches of data (N, ...): the running mean of its weights, and the losses."""
    net, losses = net.to(device()), []
    ema, optimizer = copy.deepcopy(net), torch.optim.Adam(net.parameters(), lr=lr, betas=getattr(net, "betas", (0.9, 0.99)), fused=True)
    for step in range(2 if SMOKE else steps):
        batch = data[torch.randint(len(data), (64,), generator=generator)].to(device())
        loss = loss_of(net, batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_ema(ema, net, step + 1)
        losses.append((step, loss.item()))
    return ema.eval().cpu(), losses


# %% alt="The loss of the autoencoder of f = 8 falls and levels off."
digits, judge, teacher = compressed.classifiers(SMOKE)  # 8x8 digits; in gpu mode CIFAR-10 at 16x16
pictures, (channels, side, _) = digits.at(torch.arange(min(10_000, len(digits)))), digits.shape
vaes = {}
for f in (1, 2, 4, 8):
    vaes[f], losses = learn(VAE(f, channels), pictures, vae_loss, 1500, lr=3e-3)
_ = plot.losses(losses[:: max(1, len(losses) // 200)], title="the last one, f = 8")

# %% [markdown]
# ### Exercise 06.1: The latents' scale (4 minutes, 1 point)
# A diffusion's noise levels suit data of one size, here a standard deviation of .5. Write `latent_scale(z, std=0.5)` for latents z (N, C, h, w): the one number by which to multiply them.
# <details><summary>Hint</summary>One standard deviation, over everything. .18215, seen everywhere, belongs to one autoencoder.</details>

# %% exercise="06.1" points=1 minutes=4
def latent_scale(z, std=0.5):
    """z (N, C, h, w) -> the factor that gives z the standard deviation `std`."""
    # BEGIN SOLUTION
    return std / z.std().item()
    # END SOLUTION


# %%
scale_of = check.latent_scale(latent_scale).answer or lecture06.latent_scale
encoded = {f: vae(pictures)[1].detach() for f, vae in vaes.items()}
scales = {f: scale_of(z) for f, z in encoded.items()}

# %% [markdown]
# ## 3. The second stage: diffusion of latents
#
# Encode once; then diffusion is lecture 02's, with $z$ for $x$. The way back to pictures:
#
# ```python
# def sample_latents(prior, decode, scale, n, shape, steps, generator):
#     z = torch.randn(n, *shape, generator=generator)
#     grid = prior.schedule.grid(steps).flip(0)
#     for now, then in zip(grid[:-1], grid[1:]):
#         guess = prior(z, now)
#         a, b = prior.schedule(then)
#         z = a * guess.x0 + b * guess.eps
#     return decode(z * scale)
# ```
#
# ### Exercise 06.5: Three bugs (20 minutes, 2 points)
# This code runs, and has three bugs. Write it right: n pictures from a prior, of any schedule, of latents (n, *shape) that were multiplied by `scale` for training.
# `prior(x, t)` returns x0 and eps, `prior.schedule.grid(steps)` falls from noise to 0; all noise comes from `generator`.
# <details><summary>Hint</summary>How loud is x where the walk starts? Which way do times go? Who multiplied by scale?</details>

# %% exercise="06.5" points=2 minutes=20
import torch


def sample_latents(prior, decode, scale, n, shape, steps, generator):
    """-> pictures (n, ...), by DDIM"""
    # BEGIN SOLUTION
    times = prior.schedule.grid(steps)
    x = prior.schedule(times[0])[1] * torch.randn(n, *shape, generator=generator)
    for t, s in zip(times[:-1], times[1:], strict=True):
        x0, eps = prior(x, t)
        alpha, sigma = prior.schedule(s)
        x = alpha * x0 + sigma * eps
    return decode(x / scale)
    # END SOLUTION


# %%
draw = check.sample_latents(sample_latents).answer or lecture06.sample_latents
diffusions = {}
for f, z in encoded.items():
    net = Denoiser(latents.Flat(z.shape[1:]), VP(), "edm", 0.5)
    diffusions[f], losses = learn(net, scales[f] * z, lambda net, z: net.loss(z, times=lognormal_times), 2500, lr=1e-3)

# %% [markdown]
# Simpler priors need no training: $N(0, I)$; one Gaussian with the latents' mean and covariance; a mixture of ten, by expectation maximisation.
#
# **Predict before you run.** Which column draws digits? Does it depend on the row?
# <details><summary>Answer</summary>N(0, I) draws none at f = 1, where latents are nearly pixels, and is the farthest from digits in every row; from f = 2 diffusion and the mixture are nearest. At f = 8 four numbers are left, and details are lost whatever the prior.</details>

# %% alt="One digit through four autoencoders, and what four priors dream in each: from noise to digits."
priors, dreams, n = ("N(0, I)", "Gaussian", "mixture", "diffusion"), {}, 20 if SMOKE else 1000
with torch.no_grad():
    for f, vae in vaes.items():
        z = encoded[f]
        fitted = {"N(0, I)": Gaussian(z.shape[1:], full=False), "Gaussian": Gaussian(z.shape[1:]), "mixture": Mixture(z.shape[1:])}
        for name, prior in fitted.items():
            prior.fit(z, generator)
            dreams[name, f] = vae.decode(prior.sample(n, generator=generator))
        dreams["diffusion", f] = draw(diffusions[f], vae.decode, scales[f], n, z.shape[1:], 4 if SMOKE else 50, generator)
        dreams["reconstructed", f] = vae.decode(vae.encode(pictures[:n]).chunk(2, 1)[0])
fig, ax = plt.subplots(figsize=(10, 3.6), layout="constrained")
rows = [[pictures[:1], dreams["reconstructed", f][:1]] + [dreams[name, f][:3] for name in priors] for f in vaes]
_ = plot.grid(torch.cat([x for row in rows for x in row]), 14, ax, row_labels=[f"f = {f}, {encoded[f][0].numel()} numbers" for f in vaes])
_ = ax.set_xticks([(side + 1) * (k + 0.5) for k in (0, 1, 3, 6, 9, 12)], ["picture", "back", *priors])

# %% [markdown]
# In numbers: the **Fréchet distance** compares mean and covariance of a classifier's features (it is not FID, whose features are Inception's). The last line is the **floor**: mere reconstructions.

# %%
print(f"{'f':14}" + "".join(f"{f:8}" for f in vaes))
for name in (*priors, "reconstructed"):
    print(f"{name:14}" + "".join(f"{compressed.distance(dreams[name, f], SMOKE):8.1f}" for f in vaes))
print(*(claims.kept(k) for k in ("6.2", "6.3")), sep="\n")  # three seeds, 400 steps for a prior

# %% [markdown]
# **The numbers that decide.** No second stage mends the first (6.3). Above, after 2,500 steps, diffusion's row is a U in $f$; after 400 (6.2) the smallest latents win: little is to be learned.
# Its right arm is partly the floor; the mixture is nearer to that. So "the best $f$" belongs to pictures *and* budget. Published: reconstruction FID of
# latent diffusion's autoencoders is .27 at f = 4, .90 at 8, 2.04 at 32; LDM-1, in pixels, is 38 FID behind LDM-8 after 2M steps (Rombach et al. 2022).
#
# ## 4. Are latents a simple Gaussian?
#
# **Claim.** $p_\phi(z)$ should be "a non-trivial distribution rather than a simple Gaussian".
#
# Distances of decoded pictures mix prior and decoder. The fair test is the **likelihood of held-out latents**. For a Gaussian it is a formula; for a diffusion model it is its loss, at all levels:
#
# $$-\mathbb E \log p(z) \le \tfrac D2 \log 2\pi e s^2 + \tfrac12 \int \left[\, \mathbb E\|\epsilon - \hat\epsilon\|^2 - \tfrac{s^2}{s^2 + \sigma^2/\alpha^2} D \,\right] d\log \text{SNR},$$
#
# equal for the exact model (Kong et al. 2023): each level is compared with what $D$ normal numbers of any variance $s^2$ would leave.


# %%
@torch.no_grad()
def log_likelihood(model, z, s=0.5, levels=64):
    """The bound, in nats a latent."""
    total, log_snrs = 0.0, torch.linspace(12.5, -9, levels)
    for log_snr in log_snrs:
        t, eps = model.schedule.time(log_snr), torch.randn(z.shape, generator=generator)
        alpha, sigma = model.schedule(t)
        gaussian = s**2 / (s**2 + torch.exp(-log_snr))
        total += ((eps - model(alpha * z + sigma * eps, t).eps).square() - gaussian * eps.square()).mean().item()
    return -torch.log(torch.tensor(2 * torch.pi * torch.e * s**2)).item() / 2 - total * (log_snrs[0] - log_snrs[1]).item() / 2


unseen = scales[2] * vaes[2](compressed.held_out())[1].detach()
one = Gaussian(unseen.shape[1:])
one.fit(scales[2] * encoded[2])
print(f"log-likelihood of held-out latents, nats each: one full Gaussian {latents.gaussian_nats(one, unseen) / one.mean.numel():.3f}, diffusion {log_likelihood(diffusions[2], unseen):.3f}, of those it learned from {log_likelihood(diffusions[2], scales[2] * encoded[2]):.3f}")

# %% [markdown]
# Our diffusion is *behind* one Gaussian here, and far ahead on what it learned from: it knows its 1,400 digits by heart. So the experiment (other autoencoders, other nats, each latent drawn anew) has three seeds, and trains until latents put aside get no likelier.
#
# **Predict before you run.** How many nats a latent is diffusion ahead of one Gaussian? (.1 on 64 latents makes each digit $e^{6.4}$ = 600 times likelier.)
# <details><summary>Answer</summary>The next cell prints it; above 0 the slide is right.</details>

# %%
print(simple := claims.measure("6.4"))
print({name: round(sum(v) / len(v), 2) for name, v in simple.detail["found"]["nats"].items()})

# %% [markdown]
# ## 5. Tokens: a codebook and an autoregressive prior
#
# VQ-VAE replaces each latent vector by the nearest of $K$ **codes**. A picture becomes a grid of whole numbers, **tokens**. Rounding has no gradient; the encoder gets the code's, as if nothing had been rounded
# (*straight through*). Two more terms pull codes to vectors and vectors to codes.
#
# ### Exercise 06.3: Quantise (18 minutes, 2 points)
# Write `quantise(h, codes)` for vectors h (B, D, H, W) and codes (K, D). Return z like h, each vector replaced by its nearest code, and the indices (B, H, W). The gradient of z goes to h unchanged, and none to the codes.
# <details><summary>Hint</summary>Move axis 1 to the end and flatten to rows; torch.cdist gives all distances. For the gradient: what is added to h must be a constant.</details>

# %% exercise="06.3" points=2 minutes=18
import torch


def quantise(h, codes):
    """h (B, D, H, W), codes (K, D) -> z like h, index (B, H, W)"""
    # BEGIN SOLUTION
    vectors = h.movedim(1, -1)
    index = torch.cdist(vectors.flatten(0, 2), codes).argmin(1).view(vectors.shape[:3])
    z = codes[index].movedim(-1, 1)
    return h + (z - h).detach(), index
    # END SOLUTION


# %%
nearest = check.quantise(quantise).answer or lecture06.quantise
K = 64


class VQ(VAE):
    def __init__(self, f, channels):
        super().__init__(f, channels, out=4)
        self.codes = nn.Parameter(torch.randn(K, 4))

    def loss(self, x):
        h = self.encode(x)
        z, index = nearest(h, self.codes)
        code = self.codes[index].movedim(-1, 1)
        return mse_loss(self.decode(z), x) + mse_loss(code, h.detach()) + 0.25 * mse_loss(h, code.detach())


vq, losses = learn(VQ(2, channels), pictures, VQ.loss, 1500)
tokens = nearest(vq.encode(pictures), vq.codes)[1].flatten(1)
print(f"{tokens.shape[1]} tokens a picture, {len(tokens.unique())} of {K} codes in use")

# %% [markdown]
# Codes that no vector is near to get no gradient and stay unused; the package moves such dead codes onto vectors of the batch.
#
# The prior of tokens is a chain: $\log p(k_1, \dots, k_N) = \sum_i \log p(k_i | k_1, \dots, k_{i-1})$, with each factor from one **causal** transformer, whose output $i$ may look at inputs $0 \dots i$ alone.
#
# ### Exercise 06.4: The likelihood of tokens (20 minutes, 3 points)
# Write `causal_nll(net, tokens, start)`. `net` takes whole numbers (B, N) and returns logits (B, N, K); output i sees inputs 0 to i. Return the total negative log-likelihood (B,) of tokens (B, N), in nats; `start` is a number that stands before the first token.
# <details><summary>Hint</summary>Output i must predict token i, so input i must be token i - 1. What is then input 0? cross_entropy takes the classes in axis 1.</details>

# %% exercise="06.4" points=3 minutes=20
import torch
from torch.nn.functional import cross_entropy


def causal_nll(net, tokens, start):
    """tokens (B, N) -> (B,); one call of net."""
    # BEGIN SOLUTION
    first = torch.full_like(tokens[:, :1], start)
    logits = net(torch.cat([first, tokens[:, :-1]], 1))
    return cross_entropy(logits.transpose(1, 2), tokens, reduction="none").sum(1)
    # END SOLUTION


# %%
nll = check.causal_nll(causal_nll).answer or lecture06.causal_nll


def net_of(model):
    return lambda k: model(*model.prefix(None, len(k)), k[:, 1:])  # its start is a vector, whatever number k begins with


prior = Causal((side // 2, side // 2), K, width=96, depth=3)  # lecture 05's transformer with a mask
prior, losses = learn(prior, tokens, lambda model, k: nll(net_of(model), k, 0), 1000, lr=1e-3)
k = torch.zeros(n, 1, dtype=torch.long)
with torch.no_grad():
    for _ in range(tokens.shape[1]):  # token by token, each from all before it
        k = torch.cat([k, torch.multinomial(net_of(prior)(k)[:, -1].softmax(1), 1, generator=generator)], 1)
    chained = vq.decode(vq.codes[k[:, 1:].view(n, side // 2, side // 2)].movedim(-1, 1))
    ours, theirs = nll(net_of(prior), tokens[:4], 0), prior.loss(tokens[:4].view(4, side // 2, -1))
print("as the package's, a token:", torch.allclose(ours / tokens.shape[1], theirs, rtol=1e-4))

# %% [markdown]
# ## 6. GANs: one, and a stack of two
#
# A **generator** makes pictures from noise, a **critic** tells them from real ones. Each has its loss; with the other's weights held constant, both go into one sum, and into our loop. The squared gradient at real pictures (R1) keeps the critic smooth.


# %%
class Pair(nn.Module):
    betas = 0.0, 0.99  # of Adam: with momentum the two run in circles

    def __init__(self, shape):
        super().__init__()
        self.make, self.tell = gan.DCGAN(shape), gan.Critic(shape)

    def loss(self, real, r1=0.1):
        fake = self.make(torch.randn(len(real), gan.NOISE, device=real.device), real.new_zeros(len(real), 0))
        self.tell.requires_grad_(False)
        fooled = softplus(-self.tell(fake)[0])
        self.tell.requires_grad_(True)
        logit = self.tell(real.requires_grad_())[0]
        slope = torch.autograd.grad(logit.sum(), real, create_graph=True)[0]
        return fooled + softplus(self.tell(fake.detach())[0]) + softplus(-logit) + r1 / 2 * slope.flatten(1).square().sum(1)


single, losses = learn(Pair(digits.shape), pictures, Pair.loss, 1500, lr=1e-3)

# %% [markdown]
# **Stacked GANs** are two such pairs: the upper makes *features* of a classifier from noise, the lower makes pictures from features. The classifier must find in the lower's picture the features it was made of
# (*conditional*; the upper's needs labels), and each critic must guess the noise (*entropy*), so that it is used.

# %%
stack = StackedGAN(digits.shape, r1=0.1)
stack.use(teacher.requires_grad_(False), teacher.features(pictures[:200].to(device())).std().item())
stacked, losses = learn(stack, pictures, StackedGAN.loss, 1000, lr=1e-3)

# %% [markdown]
# The three systems and one GAN. **Predict before you run.** Which is nearest to the data?
# <details><summary>Answer</summary>Latent diffusion, then VQ, GANs far behind; the mixture at f = 4 before all. Each has under a minute of training.</details>

# %% alt="Digits of five rows: real, stacked GAN, codebook with autoregressive prior, latent diffusion, one GAN."
with torch.no_grad():
    drawn = {"real": compressed.training_pictures(n), "stacked GAN": stacked.sample(n), "VQ + autoregressive": chained}
    drawn |= {"latent diffusion, f = 2": dreams["diffusion", 2], "one GAN": single.make(torch.randn(n, gan.NOISE), torch.zeros(n, 0))}
labels = [f"{name}: {compressed.distance(x, SMOKE):.1f}" for name, x in drawn.items()]
fig, ax = plt.subplots(figsize=(10, 3.4), layout="constrained")
_ = plot.grid(torch.cat([x[:16] for x in drawn.values()]), 16, ax, "rows with their Fréchet distance", labels)

# %% [markdown]
# **Claim.** The slide shows stacked GANs beside a DCGAN, as sharper. A fair duel: 32x32 pictures of single shapes, the colour given to both; the stack's lower pair has the layers, penalty and learning rate of the one GAN; equal training
# *FLOPs* (equal time would be that of one machine).

# %%
cost = stacks.costs()  # FLOPs of a training step, backward passes and the stack's classifier included
print({name: f"{value / 1e9:.1f} GFLOPs a step" for name, value in cost.items()}, f"so {cost['stacked'] / cost['one']:.1f} times as many steps for the one")
print(claims.kept("6.6"))  # four seeds

# %% [markdown]
# **The number that decides:** above 1 the stack is nearer. It is not: after 400 steps nothing that it draws looks like a shape. Two pairs must keep balance.
#
# ## 7. Eight minutes each, on larger pictures
#
# The package's systems (`--model stacked_gan`, `vq` and `ar`, `vae` and diffusion) had eight minutes each, autoencoders included. One seed. (*Recall*: the share of real pictures that samples come near.)

# %%
for name in ("shapes64", "cifar10"):
    report = lecture06.eight_minutes_each(name)
    print(f"{name}: Fréchet distance, recall; real pictures {report['floor']['frechet']:.1f}")
    print("\n".join(f"  {k:32}{v['frechet']:7.1f}{v['recall']:6.2f}" for k, v in (report["autoencoders"] | report["systems"]).items()))

# %% [markdown]
# ![Captioned shapes, eight minutes each](../tests/bench/stages_shapes64.jpg)
#
# On shapes latent diffusion wins clearly. Without guidance its *first* stage alone (row `vae`) has half of its distance, and it made 4,200 steps where the same net in pixels, with 256 tokens instead of 16, made 840. The stacked GAN and diffusion in pixels fail.
#
# ![CIFAR-10, eight minutes each](../tests/bench/stages_cifar10.jpg)
#
# On CIFAR-10 the *stacked GAN* wins. It learned from a classifier of the ten classes, and the distance is of such a classifier's features. A second judge that never saw a label (it tells quarter turns of pictures) has it first too, by
# less: 11 against 20 for guided latent diffusion. (The `vae` row is of the very pictures that it is compared with: it can lie below the floor.) Latents of 256 positions saved no time here: 440 steps, in pixels 660.
#
# ## 8. 4096 x 4096
#
# **Claim.** "Directly generating high-resolution images with diffusion is very costly!" The slide counts pixels: $4096^2 = 17$ million.
#
# ### Exercise 06.6: How much cheaper? (5 minutes, 1 point)
# Write `cheaper(kind, f)`: by which factor one layer costs less on latents of side 4096 / f than on pixels of side 4096. `kind` is "conv" (3x3) or "attention" (scores and weighted sum, each position a token); widths are equal.
# <details><summary>Hint</summary>How many positions are left? How does each cost grow with their number?</details>

# %% exercise="06.6" points=1 minutes=5
def cheaper(kind, f):
    """kind "conv" or "attention" -> a factor"""
    # BEGIN SOLUTION
    return f**2 if kind == "conv" else f**4
    # END SOLUTION


# %% alt="FLOPs of one picture of 4096 pixels a side in pixels and in latents, for a U-Net and two transformers."
_ = check.cheaper(cheaper)
costs = claims.measure("6.5")  # whole nets: 50 calls a picture, and one of the decoder
fig, ax = plt.subplots(figsize=(5.5, 3), layout="constrained")
for i, label in enumerate(("in pixels", "at f = 8")):
    _ = ax.bar([k + 0.4 * i for k in range(3)], [float(v[i]) for v in costs.detail["found"].values()], 0.38, label=label)
_ = ax.set(yscale="log", ylabel="FLOPs of one picture", xticks=[0.2, 1.2, 2.2], xticklabels=list(costs.detail["found"]))
_ = ax.legend()
print(costs)

# %% [markdown]
# A U-Net saves nearly the 64 of its positions. Attention saves nearly $64^2$: in pixels, $10^{20}$ operations a picture, it is out of the question. The slide is right, by a factor from 60 to 4,000.
#
# **Vary it.**
#
# - `vae_loss(net, x, s=1)`: $N(0, I)$ is nearer to the truth. What happens to the reconstructions?
# - K = 8 or 512 codes: reconstruction, codes in use, nats a token?
# - Train the diffusions for 300 steps: where is the best $f$ then?
#
# **Take away.**
#
# - Two stages win where data lie on something small. No second stage mends the first: look at the floor.
# - Latents are not a simple Gaussian: measure it by held-out likelihood, with nets at their plateau.
# - Compare at equal FLOPs, with a second judge, and report recall: a GAN's losses do not show that it failed.
#
# Next: [lecture 07](07_guidance.ipynb): what a condition does, and guidance.

# %%
check.progress()
claims.summary()
