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
# # Lecture 10: quiz and capstone
#
# After this lecture you can
#
# - answer 30 questions over the whole course, each with a number or a reason;
# - go from words to pictures with parts of your own, from tokens to the last step;
# - say of a claim which experiment could prove it wrong;
# - say how sure you are, and check whether you are as sure as you should be.
#
# **Before:** lectures 00 to 09. **Time:** an hour and a half; the notebook runs some minutes on two cores. **Papers:** those of the lectures; for part 4, [what calibration is](https://en.wikipedia.org/wiki/Calibrated_probability_assessment).

# %%
import copy

import matplotlib.pyplot as plt
import torch
from experiments import claims

from minidiff import check, data, plot, samplers
from minidiff.data.shapes import checker
from minidiff.denoise import Denoiser, noisy_lognormal_times
from minidiff.guidance import Guided
from minidiff.nets import build
from minidiff.run import checkpoint, pretrained
from minidiff.run.generate import generate
from minidiff.run.models import tokenizer_of
from minidiff.schedules import VP
from minidiff.text import Tokenizer
from minidiff.train import update_ema

SMOKE = claims.mode() == "smoke"  # seconds instead of minutes; its numbers mean nothing

# %% [markdown]
# ## 1. The quiz
#
# A point each. Choices are answered by their letter, numbers to 1%, two numbers as a tuple, (1, 2). `check.q(8, "3/4")` checks a single answer and gives a hint.
#
# ### Exercise 10.1: 30 questions (36 minutes, 30 points)
# 1. Which mean and deviation does each channel of AdaIN(x, y) have? (a) x's; (b) y's; (c) 0 and 1; (d) halfway between the two.
# 2. How many million pixels has a picture of 4096 x 4096?
# 3. The slide's table for ImageNet 512 x 512 has two columns of numbers. Which measures are they really, by the paper? (a) inception score, FID; (b) FID, inception score; (c) FID, sFID; (d) precision, recall.
# 4. s0 is the score without the condition, s1 with it. What is the guided score, at scale gamma? (a) s1 + gamma (s1 - s0); (b) s0 + gamma (s1 - s0); (c) s1 + gamma (s0 - s1); (d) gamma s1 - s0.
# 5. What does guided sampling draw from at gamma = 0, and at gamma = 1? (a) the conditional, then the unconditional distribution; (b) noise, then the conditional distribution; (c) the unconditional, then the conditional distribution; (d) the conditional, then a sharper one.
# 6. A paper writes s1 + w (s1 - s0), so that w = 0 is off. Which gamma is its w = 2?
# 7. Guidance at gamma = 3 follows the score of p_cond^a p_uncond^b. What are (a, b)?
# 8. p_cond is N(0, 1), p_uncond is N(0, 2) (mean, variance). What is the variance of p_cond^3 p_uncond^-2, normalised?
# 9. The guided ODE, at gamma = 3, with the exact scores of these two: what variance do its samples have?
# 10. How many network evaluations does one guided step of DDIM take for one picture?
# 11. How many pixels wide is the receptive field of L convolutions of 3 x 3? (a) 3L; (b) 2L + 1; (c) 2L; (d) 3^L.
# 12. What is the least L at which that receptive field is at least 32 pixels wide?
# 13. How many tokens has a latent of 64 x 64 with patches of 2 x 2?
# 14. By which factor does the number of pairs in attention grow when the patch's side is halved?
# 15. An autoencoder makes each side f = 8 times shorter. By which factor does the number of positions fall?
# 16. A denoiser D(x) guesses x0 from x = x0 + sigma eps. What is the score at x? (a) (D - x) / sigma; (b) (x - D) / sigma^2; (c) (D - x) / sigma^2; (d) D / sigma^2.
# 17. What does a block with adaLN-Zero return before training, given x? (a) x; (b) 0; (c) noise; (d) x, normalised.
# 18. What are NCSN's (FID, inception score) on CIFAR-10?
# 19. Why are labels dropped at random in training with classifier-free guidance? (a) as regularisation; (b) one net learns both scores that guidance needs; (c) fewer labels are needed; (d) training is faster.
# 20. What does guidance improve, and what does it cost? (a) it improves recall and costs precision; (b) it improves both and costs only time; (c) it improves precision and costs recall; (d) it improves diversity and costs fidelity.
# 21. How many backward passes does the exact trace of a score's Jacobian take, at one point in 3,072 dimensions?
# 22. d = 3,072 numbers of pure noise N(0, sigma^2): with which relative error (deviation over mean) does their root mean square show sigma?
# 23. Data N(0, 1), alpha = sigma. What is the mean squared error of a perfect net that predicts eps?
# 24. Which of these becomes ill-posed as sigma goes to 0? (a) x0 from the predicted eps; (b) eps from the predicted x0; (c) x0 from the predicted v; (d) none of them.
# 25. Langevin's step x + a / 2 score + sqrt(a) z, with the exact score of N(0, 1) and a = 0.5, repeated without end: which variance does x have?
# 26. By which factor does the error of a sampler of second order fall when it takes twice as many steps?
# 27. Heun's method, 10 steps, the last of which ends at t = 0: how many network evaluations for one picture, without guidance?
# 28. A picture becomes 8 x 8 tokens from a codebook of 512 codes. How many bits do the tokens hold at most?
# 29. The prompt is 'a circle', the negative prompt 'red'. In s0 + gamma (s1 - s0), what is s0? (a) the score with no words; (b) the score with 'red'; (c) the score with 'a circle'; (d) the mean of a and b.
# 30. What is the squared Fréchet distance between N(0, 1) and N(1, 4) (mean, variance)?
#
# Return your answers as a dictionary, number to answer; leave out what you do not know.
# <details><summary>Hint</summary>Almost all can be computed: with the oracles for 8, 9, 23, 25 and 26, with a net's gradient for 11 and 12, with torch for 1, 16, 22 and 30.</details>

# %% exercise="10.1" points=30 minutes=36
def quiz():
    """No arguments -> a dictionary, number of the question -> answer."""
    # BEGIN SOLUTION
    return {
        1: "b", 2: 16.8, 3: "c", 4: "b", 5: "c", 6: 3, 7: (3, -2), 8: 0.5, 9: 0.25, 10: 2,
        11: "b", 12: 16, 13: 1024, 14: 16, 15: 64, 16: "c", 17: "a", 18: (25.32, 8.87), 19: "b", 20: "c",
        21: 3072, 22: 0.0128, 23: 0.5, 24: "b", 25: 8 / 7, 26: 4, 27: 19, 28: 576, 29: "b", 30: 2,
    }
    # END SOLUTION


# %%
_ = check.quiz(quiz)

# %% [markdown]
# A question may have a formula *and* a trap. Number 9 is lecture 07's: the guided ODE does not draw the sharpened distribution of number 8. Simulate it, with the exact scores of both Gaussians:

# %% alt="The variance of guided samples against the guidance scale, by simulation, beside the sharpened distribution's."
x0 = torch.randn(200 if SMOKE else 20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
sigmas = torch.logspace(3, -3, 20 if SMOKE else 400, dtype=torch.float64)
gammas, variances = torch.arange(1, 4.01, 0.5), []
for gamma in gammas:
    x = sigmas[0] * x0
    for sigma, lower in zip(sigmas[:-1], sigmas[1:], strict=True):
        score = -x / (2 + sigma**2) + gamma * (x / (2 + sigma**2) - x / (1 + sigma**2))
        x = x + (sigma - lower) * sigma * score
    variances.append(x.var().item())
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
_ = ax.plot(gammas, variances, "o", label="guided ODE, simulated")
_ = ax.plot(gammas, 2 ** (1 - gammas), label="2^(1 - gamma)")
_ = ax.plot(gammas, 2 / (gammas + 1), "--", label="sharpened distribution")
_ = ax.set(xlabel="guidance scale gamma", ylabel="variance of the samples")
_ = ax.legend()

# %% [markdown]
# ## 2. From words to pictures
#
# All parts are there: tokens and cross-attention (08), a path and a sampler (02), guidance (07). First a model. This loop trains a small diffusion transformer on one coloured shape a picture; a caption is dropped once in ten times, so that the net also learns to draw without it, which guidance needs.

# %% alt="The training loss falls."
shapes = data.load("shapes:1")
tokens_of, generator = Tokenizer(*shapes.vocabulary()), torch.Generator().manual_seed(0)
net = build("dit", shapes.shape, width=96, patch=4, tokenizer=tokens_of, text_mode="cross")
spread = data.std(shapes)
model = Denoiser(net, VP(), "edm", spread)
ema, optimizer, losses = copy.deepcopy(model).eval(), torch.optim.Adam(model.parameters(), lr=1e-3), []
for step in range(1, (3 if SMOKE else 800) + 1):
    pictures, captions = shapes.batch(32, generator)
    tokens = tokens_of(captions)
    tokens[torch.rand(32, generator=generator) < 0.1] = 0  # no word: the null condition
    t = noisy_lognormal_times(32, model.schedule, generator)  # more of the noise at which words decide
    eps = torch.randn(pictures.shape, generator=generator)
    alpha, sigma = (v.view(-1, 1, 1, 1) for v in model.schedule(t))
    guess = model(alpha * pictures + sigma * eps, t, tokens).x0
    loss = ((1 + (spread * alpha / sigma) ** 2) * (guess - pictures) ** 2).mean() / spread**2  # EDM's weight
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    update_ema(ema, model, step)
    losses.append((step, loss.item()))
ax = plot.losses(losses[:: max(1, len(losses) // 200)], title="a reader of captions")
ax.yaxis.set_major_formatter("{x:g}")
ax.yaxis.set_minor_formatter("{x:.1g}")

# %% [markdown]
# ### Exercise 10.2: Text to image (30 minutes, 6 points)
# Write `text_to_image(model, tokeniser, prompts, shape, scale, steps, generator)`: a picture for each of the prompts, (n, *shape), in [-1, 1]. `tokeniser(prompts)` gives tokens (n, L), all 0 for an empty prompt, which is the null condition. `model(x, t, tokens)` returns x0 and eps, `model.schedule` has `grid(steps)`.
# Draw the noise with the generator. Scale 1 is no guidance. Use the package's parts or your own.
# <details><summary>Hint</summary>Tokens; noise times sigma at the first time (samplers.start); Guided(model, scale); a sampler over the whole grid, with the tokens as its condition; clamp.</details>

# %% exercise="10.2" points=6 minutes=30
from minidiff import samplers
from minidiff.guidance import Guided


def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    """prompts: n texts; shape (C, H, W) -> pictures (n, C, H, W) in [-1, 1]."""
    # BEGIN SOLUTION
    tokens = tokeniser(prompts)
    x = samplers.start(model, (len(prompts), *shape), generator)
    times = model.schedule.grid(steps)
    x = samplers.last(samplers.dpmpp_2m(Guided(model, scale), x, times, tokens))
    return x.clamp(-1, 1)
    # END SOLUTION


# %%
def package_draw(model, tokeniser, prompts, shape, scale, steps, generator):
    """The same by the package, for those who have not written it yet."""
    from minidiff.run.generate import from_noise

    return from_noise(model, shape, len(prompts), tokeniser(prompts), generator, scale=scale, steps=steps).clamp(-1, 1)


picture_of = check.text_to_image(text_to_image).answer or package_draw

# %% [markdown]
# First the shipped net, which draws latents of scenes of up to two objects (lecture 06), step by step, decoded; then your function, by the net that has just been trained.
#
# **Predict before you run.** Which is worst after the short training: colour, shape, size or place?
# <details><summary>Answer</summary>Shape. A colour is the mean of some pixels, and the first thing learned; a triangle differs from a cross at its edges, in few pixels of 16 x 16.</details>

# %% alt="One noise, eight prompts, a row each: the guess by step, by the shipped model, with guidance 2."
run = pretrained.folder("shapes")
shipped, read = checkpoint.load(run), tokenizer_of(checkpoint.read_config(run))
PROMPTS = ["a big red circle", "a small yellow cross", "a blue square above a green circle", "a white triangle at the top left"]
PROMPTS += ["a purple cross left of a yellow square", "a big green triangle on the right", "a tiny white circle", ""]
with torch.no_grad():
    x = samplers.start(shipped, (1, *shipped.latent_shape), torch.Generator().manual_seed(1)).expand(8, -1, -1, -1)
    guided, times, guesses, tokens = Guided(shipped, 2.0), shipped.schedule.grid(2 if SMOKE else 20), [], read(PROMPTS)
    for now, after in zip(times[:-1], times[1:], strict=True):
        x0, eps = guided(x, now, tokens)
        alpha, sigma = shipped.schedule(after)
        x = alpha * x0 + sigma * eps
        guesses.append(shipped.decode(x0))
keep = torch.linspace(0, len(guesses) - 1, 7).round().long().tolist()
fig, ax = plt.subplots(figsize=(8, 5.2), layout="constrained")
_ = plot.grid(torch.stack([guesses[i] for i in keep], 1).flatten(0, 1), 7, ax, "the guess of x0, from much noise to none", row_labels=[p or "(no words)" for p in PROMPTS])

# %% alt="Eight pictures by the net trained here, at guidance 3: colours and places are those of the captions, which are printed; shapes are ragged."
n = 8 if SMOKE else 200
_, captions, asked = shapes.asked(n, torch.Generator().manual_seed(3))
steps = 2 if SMOKE else 12
for scale in (1.0, 3.0):
    with torch.no_grad():
        ours = picture_of(ema, tokens_of, captions, shapes.shape, scale, steps, torch.Generator().manual_seed(4))
    theirs = generate(shipped, n, cond=read(captions), scale=scale, steps=steps, seed=4)
    for name, x in {"trained here": ours, "shipped": theirs}.items():
        right = checker.accuracy(asked, x)
        print(f"{name}, scale {scale:g}: " + ", ".join(f"{k} {right[k]:.2f}" for k in ("colour", "shape", "size", "place")))
_ = plot.grid(ours[:8], 8, None, "trained here, scale 3, the captions printed")
print("; ".join(captions[:8]))

# %% [markdown]
# **The number that decides** is the share that a checker, which knows no net, reads back as asked. Guidance makes more of what a net half knows, the shape, but not all of it. What it costs, variety, this number does not see (lecture 09).
#
# ## 3. What could prove it wrong?
#
# Six claims of this course:
#
# 1. A net must be given the noise level.
# 2. Adaptive layer norm is the best way to give a transformer the noise level.
# 3. Skip connections keep the details.
# 4. Guidance helps because a learned distribution is too flat.
# 5. The model draws what its captions say because it learned it from captions.
# 6. The samples are not copies of training pictures.
#
# And nine experiments, most with a floor:
#
# - a: the same net without the noise level, trained as long; floor: real against real samples
# - b: other ways to give it, of equal parameters and equal compute; floor: the spread over seeds
# - c: the same net with its skip connections cut and the parameters given back; floor: the best possible error
# - d: the exact score, guided in the same way; floor: its samples at gamma = 1
# - e: nets of growing width, and the best gamma of each; floor: the spread over seeds
# - f: the same training with the captions of other pictures; floor: chance
# - g: the nearest training picture of samples, of held-out pictures, and of a net that memorises
# - h: nets trained on two halves of the data, drawing from the same noise; floor: two nets of one half
# - i: the same net, trained twice as long; floor: itself before
#
# ### Exercise 10.3: Controls (12 minutes, 3 points)
# For each claim choose the experiment that could prove it wrong: claim's number to letter. For two claims either of two is right, and one experiment belongs to none.
# <details><summary>Hint</summary>Suppose the claim is false. Which experiment would then come out differently?</details>

# %% exercise="10.3" points=3 minutes=12
def controls():
    """No arguments -> a dictionary, number of the claim -> letter of the experiment."""
    # BEGIN SOLUTION
    return {1: "a", 2: "b", 3: "c", 4: "d", 5: "f", 6: "g"}
    # END SOLUTION


# %%
_ = check.controls(controls)

# %% [markdown]
# What came out stands in the [ledger](CLAIMS.md). Look for the claims that were contradicted, and for the floors that decided.
#
# ## 4. How sure are you?
#
# A prediction is an interval and a probability. Give 50% intervals: half of them should hold the measured value. If nearly all do, you are too careful; if few do, too sure.
#
# ### Exercise 10.4: Ten predictions (8 minutes, 1 point)
# Choose ten claims of the [ledger](CLAIMS.md) whose numbers you do not remember, or better: predict before each experiment while you read, with `check.predict("7.4", 0.8, 1.2)`, which remembers for one session, and note them here. Return claim to (low, high). The point is for ten predictions, not for being right.
# <details><summary>Hint</summary>Most numbers are ratios, shares or differences: CLAIMS.md says of each what it is. Look at "the number that decides", not at its value.</details>

# %% exercise="10.4" points=1 minutes=8
def predictions():
    """No arguments -> a dictionary, claim -> (low, high), at least ten."""
    # BEGIN SOLUTION
    return {
        "0.1": (3, 15), "0.2": (0.3, 0.6), "1.2": (0.9, 1.1), "1.3": (1.2, 2.0), "3.4": (0.97, 1.03),
        "6.3": (1.2, 1.5), "7.3": (1.1, 1.5), "7.8": (0.2, 0.5), "8.3": (0.02, 0.06), "9.2": (0.8, 1.2),
    }
    # END SOLUTION


# %%
chosen = check.predictions(predictions).answer
if chosen:  # else nothing is measured yet: a claim that is can no longer be predicted
    for claim, interval in chosen().items():
        check.predict(claim, *interval)
    for claim, row in claims.ledger().items():
        check.measured(claim, row["value"])
    _ = check.calibration()

# %% [markdown]
# After the measurement there is nothing left to predict: `check.predict` refuses a claim that this session has measured.
#
# **Vary it.**
#
# - Replace the sampler in `text_to_image` by your own DDIM, Heun or DPM-Solver++ of lecture 02. How few steps does the checker accept?
# - Guide within an interval of noise only (lecture 07), or away from a phrase, with `negative`.
# - Train the loop of part 2 with `shapes:2`. Which attribute needs the longest?
# - A project: latents instead of pixels (06), captions of your own pictures (`python -m minidiff train --data folder:PATH`), or a claim of yours with a control.
#
# **Take away.**
#
# - A text-to-image model is five small parts, each of which you have written and checked on a closed form.
# - A claim is worth the experiment that could have refuted it.
# - Predict first: it costs a line, and shows what you understood.
#
# Back to [the tour](00_tour.ipynb), whose pictures you can now draw yourself.

# %%
check.progress()
