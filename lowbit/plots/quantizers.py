"""The page of a quantizer: rounding, sampling, codes and gradient."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from IPython.display import Markdown

from lowbit import quantizers
from lowbit.plots import markdown
from lowbit.plots.style import BLUE, INK, PALE, RED, WIDTH
from lowbit.quantizers import Quantizer, Site, packing

SITE = Site(inputs=512, units=4, gates=4)  # of the weights that a quantizer is shown on
ACT_BITS = 12  # of the activations that A's hardware adds up


def card(quantizer: Quantizer) -> Markdown:
    """Formula, gradient and source of a quantizer."""
    levels = f"{len(quantizer.levels)} levels, {quantizer.bits} bit" if quantizer.levels else "full precision"
    summary = f"**In short:** {levels}; in hardware one weight costs: {quantizer.lane(ACT_BITS).operation}; after"
    return Markdown(f"{markdown.docstring(type(quantizer))}\n\n{summary} {{cite:t}}`{quantizer.reference}`.")


def packed(quantizer: Quantizer) -> Markdown:
    """The bytes of a thousand by thousand matrix, packed."""
    levels = len(quantizer.levels)
    size = 1_000_000 // packing.per_byte(levels) if levels else 4_000_000
    text = f"A 1000 × 1000 matrix takes {size / 1000:,.0f} kB, {8 * size / 1e6:.2f} bits a weight"
    return Markdown(f"{text}; in float32 it takes 4,000 kB.")


def staircase(quantizer: Quantizer) -> plt.Figure:
    """Q(w) by nearest rounding and the mean of sampled rounding, over w in units of the scale."""
    figure, ax = plt.subplots(figsize=(WIDTH, 3.0))
    u, matrix, site, scale = _ramp(quantizer)
    ax.plot(u, u, color=PALE, lw=1, label="w itself")
    if quantizer.levels:
        mean = torch.stack([quantizer(matrix, site, sample=True)[0] for _ in range(100)]).mean(0) / scale
        ax.plot(u, mean, color=RED, lw=1, label="mean of 100 samples")
    nearest = quantizer(matrix, site, sample=False)[0] / scale
    ax.plot(u, nearest, color=INK, lw=2, label="nearest", drawstyle="steps-mid")
    ax.set(xlabel="w / α", ylabel="Q(w) / α")
    ax.legend(loc="upper left")
    return figure


def sampling_law(quantizer: Quantizer) -> plt.Figure:
    """Counted shares of each level over w in units of the scale; the exact probabilities are the broad lines."""
    figure, ax = plt.subplots(figsize=(WIDTH, 2.6))
    if not quantizer.levels:
        ax.text(0.5, 0.5, "full precision: nothing to sample", ha="center", transform=ax.transAxes, color=INK)
        return figure
    u, matrix, site, _ = _ramp(quantizer)
    samples = torch.stack([quantizer.encode(matrix, site, sample=True)[0][0] for _ in range(200)])
    levels = quantizer.fit(matrix, site).codebook[0].numpy()
    position = quantizer.normalize(matrix, quantizer.scale(matrix, site), site)[0].numpy()
    visible = np.flatnonzero((abs(levels) <= 1.5) & (abs(levels) >= (0.2 if len(levels) > 16 else 0)))
    for code, color in zip(visible, sns.color_palette("viridis", len(visible)), strict=True):
        ax.plot(u, np.interp(position, levels, np.arange(len(levels)) == code), color=color, lw=5, alpha=0.25)
        ax.plot(u, (samples == int(code)).float().mean(0), color=color, lw=1, label=f"{levels[code]:.3g}")
    ax.set(xlabel="w / α", ylabel="share of 200 samples", ylim=(-0.03, 1.03))
    ax.legend(title="level", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def codes(quantizer: Quantizer) -> plt.Figure:
    """Shares of the levels in a freshly initialized matrix; in full precision, its values."""
    figure, ax = plt.subplots(figsize=(WIDTH, 2.2))
    if not quantizer.levels:
        ax.hist(_masters(SITE).flatten().numpy(), bins=64, color=BLUE)
        ax.set(xlabel="w", ylabel="weights")
        return figure
    site = _site(quantizer)
    matrix = _masters(site)
    levels = quantizer.fit(matrix, site).codebook.mean(0)
    counts = quantizer.encode(matrix, site)[0].flatten().long().bincount(minlength=len(quantizer.levels))
    used = counts.nonzero().flatten()
    ax.bar(np.arange(len(used)), 100 * (counts / counts.sum())[used].numpy(), color=BLUE, width=0.7)
    ax.set_xticks(np.arange(len(used)), [f"{levels[i]:.3g}" for i in used])
    if len(used) > 16:
        ax.tick_params(axis="x", rotation=90, labelsize=6)
    ax.set(xlabel="level (times α)", ylabel="% of weights")
    return figure


def gradient(quantizer: Quantizer) -> plt.Figure:
    """The derivative of Q that training uses, by automatic differentiation."""
    figure, ax = plt.subplots(figsize=(WIDTH, 1.8))
    u, matrix, site, _ = _ramp(quantizer)
    matrix.requires_grad_()
    quantizer(matrix, site)[0].sum().backward()
    slope = matrix.grad[0].numpy()
    ax.plot(u, slope, color=RED, lw=2)
    ax.set(xlabel="w / α", ylabel="dQ / dw", ylim=(min(-0.1, 1.1 * slope.min()), max(1.4, 1.1 * slope.max())))
    return figure


def _site(quantizer: Quantizer) -> Site:
    return SITE if "input" in quantizer.fits else SITE._replace(inputs=128, units=128, gates=1)


def _masters(site: Site) -> torch.Tensor:
    uniform = torch.rand(site.gates * site.units, site.inputs, generator=torch.Generator().manual_seed(0))
    return (2 * uniform - 1) * 2 * quantizers.build("binary").scale(uniform, site)


def _ramp(quantizer: Quantizer) -> tuple[torch.Tensor, torch.Tensor, Site, torch.Tensor]:
    """A first row from low to high in units of the scale, the initialized matrix that holds it, site and scale."""
    site = _site(quantizer)
    matrix = _masters(site)
    site = site._replace(factors=quantizer.factors(matrix, site))
    matrix[0] = torch.linspace(-1.6, 1.6, site.inputs) * quantizer.scale(matrix, site)[0, 0]
    scale = quantizer.scale(matrix, site)[0, 0]
    return matrix[0] / scale, matrix, site, scale
