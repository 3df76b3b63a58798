"""Estimates anew what normalising layers behind a joint know of their inputs, for every stitch by itself."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from learners.stitching.joint import Joint
from learners.stitching.stitchable import StitchableNetwork
from schemas.errors import UsageError

KEPT = ("running_mean", "running_var")


@torch.no_grad()
def estimate_statistics(network: StitchableNetwork, batches: Sequence[Tensor], *, moved: bool = False) -> None:
    """Give every stitch means and variances of its own for its batch normalisation, from samples.

    Averages over the batches, in which each sample weighs as much, in place of what was there before; the anchors' own
    stay as they are. Before the first
    joint of a stitch everything is as it is in its anchor, and so are the statistics, unless the anchors' weights have
    moved since theirs were found; an anchor by itself then has some of its own, too.

    Args:
        network: The network.
        batches: Samples to estimate them from.
        moved: Whether the anchors' weights were trained.

    Raises:
        UsageError: There are fewer than two samples, which have no variance.
    """
    together = without_singles(batches)
    network.statistics = {}
    for index in range(len(network.stitches)):
        body = network.body(index)
        joints = [number for number, part in enumerate(body) if isinstance(part, Joint)]
        first = 0 if moved else min(joints, default=len(body))
        layers = {
            name: part
            for name, part in body.named_modules()
            if isinstance(part, _BatchNorm) and int(name.partition(".")[0]) >= first
        }
        if layers:
            network.statistics[index] = _estimated(body, layers, together)


def without_singles(batches: Sequence[Tensor]) -> list[Tensor]:
    """Put a batch of a single sample, which may have no variance, together with the one before or behind it."""
    found: list[Tensor] = []
    for x in batches:
        if found and 1 in (len(x), len(found[-1])):
            found[-1] = torch.cat([found[-1], x])
        else:
            found.append(x)
    return found


def _estimated(body: nn.Module, layers: dict[str, _BatchNorm], batches: Sequence[Tensor]) -> dict[str, Tensor]:
    if not batches or len(batches[0]) < 2:
        raise UsageError("means and variances of batch normalisation are estimated from at least two samples")
    before = {name: {key: value.clone() for key, value in layer.named_buffers()} for name, layer in layers.items()}
    modes = {name: (layer.training, layer.momentum) for name, layer in layers.items()}
    for layer in layers.values():
        layer.reset_running_stats()
        layer.train()
    seen = 0
    for x in batches:
        seen += len(x)
        for layer in layers.values():
            layer.momentum = len(x) / seen
        body(x)
    found = {f"{name}.{key}": getattr(layer, key).clone() for name, layer in layers.items() for key in KEPT}
    for name, layer in layers.items():
        layer.training, layer.momentum = modes[name]
        for key, value in layer.named_buffers():
            value.copy_(before[name][key])
    return found
