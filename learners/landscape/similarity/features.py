"""What the layers of many networks compute on the same samples: outputs of each layer, and inputs of the last one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap


def layer_outputs(module: nn.Module, population: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Outputs of every layer that has parameters of its own, `[N, n, ...]` by its name, in the order of computing.

    A layer that runs several times counts with its last run, one that does not run or gives no tensor with a row a
    sample is left out.
    """

    def one(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def note(name: str) -> Any:
            def hook(_: nn.Module, __: object, output: object) -> None:
                if isinstance(output, Tensor) and output.ndim > 1 and len(output) == len(x):
                    seen.pop(name, None)
                    seen[name] = output

            return hook

        _run(module, weights, x, {name: note(name) for name in _layers(module)})
        return seen

    with torch.no_grad():
        outputs: dict[str, Tensor] = vmap(one)(dict(population))
    return outputs


@dataclass(frozen=True)
class Penultimate:
    """What goes into the classifier of many networks, and out of it.

    Attributes:
        layer: The classifier's name.
        features: What goes into it, `[N, n, d]`.
        logits: What comes out, `[N, n, outputs]`.
        classifier: Its weights as it computes with them, `[N, outputs, d]`.
    """

    layer: str
    features: Tensor
    logits: Tensor
    classifier: Tensor


def penultimate(module: nn.Module, population: Mapping[str, Tensor], x: Tensor) -> Penultimate | None:
    """Run networks and watch their classifier: the linear layer whose output is theirs. None where there is none."""
    chosen: list[str] = []

    def one(weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        runs: list[tuple[str, Tensor, Tensor, Tensor]] = []

        def note(name: str) -> Any:
            def hook(layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
                runs.append((name, inputs[0], output, layer.weight))

            return hook

        linear = {name: note(name) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
        logits = _run(module, weights, x, linear)
        last = [(name, inputs, weight) for name, inputs, output, weight in runs if output is logits]
        if not last:
            return logits, logits, logits
        chosen[:] = [last[-1][0]]
        return last[-1][1], logits, last[-1][2]

    with torch.no_grad():
        features, logits, classifier = vmap(one)(dict(population))
    return Penultimate(chosen[0], features, logits, classifier) if chosen else None


def _layers(module: nn.Module) -> list[str]:
    return [name for name, layer in module.named_modules() if name and list(layer.parameters(recurse=False))]


def _run(module: nn.Module, weights: Mapping[str, Tensor], x: Tensor, hooks: Mapping[str, Any]) -> Tensor:
    layers = dict(module.named_modules())
    handles = [layers[name].register_forward_hook(hook) for name, hook in hooks.items()]
    try:
        output: Tensor = functional_call(module, dict(weights), (x,))
    finally:
        for handle in handles:
            handle.remove()
    return output
