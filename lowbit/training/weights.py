"""The weights of a network: clipping of masters, histograms, codes, bytes."""

import hashlib

import torch
from torch import Tensor

from lowbit.layers.networks import Network
from lowbit.quantizers import packing

BINS = torch.linspace(-4, 4, 65)  # of a histogram of masters, in units of the scale


@torch.no_grad()
def clip_masters(network: Network) -> None:
    """Brings masters back within the bound of their quantizer, as BinaryConnect does.

    Those without a fixed scale, as in full precision, only where a norm makes their size not matter.
    """
    for layer in network.recurrent().values():
        for _, w, site, levels in layer.matrices():
            if (levels and layer.quantizer.fixed) or layer.norm_x.scale_invariant:
                bound = layer.quantizer.bound(w, site)
                w.clamp_(-bound, bound)


def masters(network: Network) -> list[Tensor]:
    """Copies of all master weights."""
    return [matrix.master.detach().clone() for layer in network.recurrent().values() for matrix in layer.matrices()]


@torch.no_grad()
def clip_steps(network: Network, before: list[Tensor]) -> None:
    """Keeps what an update added to quantized masters within the scale: what A's code clips in their place."""
    old = iter(before)
    for layer in network.recurrent().values():
        for _, w, site, levels in layer.matrices():
            start = next(old)
            if levels:
                bound = layer.quantizer.scale(w, site)
                w.copy_(start + (w - start).clamp(-bound, bound))


@torch.no_grad()
def follow_curvature(network: Network, optimizer: torch.optim.Optimizer) -> None:
    """Hands the root of Adam's second moment to the quantizers whose scale asks for it (hou2017loss)."""
    for layer in network.recurrent().values():
        if layer.quantizer.curved:
            for _, w, site, levels in layer.matrices():
                if levels and "exp_avg_sq" in optimizer.state.get(w, {}):
                    site.curvature.copy_(optimizer.state[w]["exp_avg_sq"].sqrt() + 1e-8)


@torch.no_grad()
def describe(network: Network) -> dict:
    """By matrix: a histogram of masters over their scale, counts of codes, the share beyond the outermost levels."""
    matrices = {}
    for name, layer in network.recurrent().items():
        for matrix, master, site, levels in layer.matrices():
            w = master.detach()
            scale = layer.quantizer.scale(w, site) if levels else w.std()
            u = (w / scale).flatten().cpu()
            entry = {"scale": float(torch.as_tensor(scale).mean()), "sha256": _digest(w.cpu())}
            entry["histogram"] = torch.histogram(u.clamp(-4, 4), BINS).hist.int().tolist()
            if levels:
                codes, _ = layer.quantizer.encode(w, site)
                counts = codes.flatten().long().bincount(minlength=len(levels))
                entry["codes"] = counts.tolist()
                entry["saturated"] = float(((u <= levels[0]) | (u >= levels[-1])).float().mean())
                own = layer.quantizer.fit(w, site).codebook.mean(0)
                if not torch.allclose(own, own.new_tensor(levels)):
                    entry["levels"] = own.tolist()  # the mean over rows, where they are not those at scale 1
            matrices[f"{name}.{matrix}"] = entry
    return matrices


def sizes(network: Network) -> dict:
    """Parameters, quantized weights, and the bytes of the recurrent matrices when packed."""
    weights = packed = 0
    for layer in network.recurrent().values():
        for _, w, _, levels in layer.matrices():
            weights += w.numel()
            packed += -(-w.numel() // packing.per_byte(len(levels))) if levels else 4 * w.numel()
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return {"parameters": parameters, "recurrent_weights": weights, "packed_bytes": packed}


def _digest(w: torch.Tensor) -> str:
    return hashlib.sha256(w.contiguous().numpy().tobytes()).hexdigest()
