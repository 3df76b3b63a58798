"""Small networks of every architecture with random weights in float64, and copies with permuted units."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.architectures import skeleton
from zoo.initialise import initialise

SHAPES: dict[str, tuple[tuple[int, ...], int, int]] = {
    "mlp": ((1, 8, 8), 10, 6),
    "cnn": ((1, 8, 8), 10, 6),
    "resnet18": ((1, 8, 8), 10, 3),
    "vit": ((1, 8, 8), 10, 6),
    "gpt2": ((6,), 12, 8),
}
"""Input shape, classes and width by architecture."""
DEPTHS = {"vit": 2, "gpt2": 2}


def network(architecture: str, seed: int = 0, width: int | None = None, depth: int | None = None) -> nn.Module:
    """A network with random weights, in float64 and in evaluation mode."""
    shape, classes, usual = SHAPES[architecture]
    module = skeleton(architecture, shape, classes, width or usual, depth=depth or DEPTHS.get(architecture))
    source = torch.Generator().manual_seed(seed)
    weights = initialise(module, source, "kaiming_normal")
    for name, tensor in weights.items():
        if tensor.ndim == 1:  # no shift is zero and no scale is one
            weights[name] = tensor + 0.4 * torch.rand(tensor.shape, generator=source) - 0.2
    state = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    module.load_state_dict(state, assign=True)
    return module.requires_grad_(False)


def samples(architecture: str, count: int, seed: int = 1) -> Tensor:
    """Random samples as a network of an architecture takes them."""
    shape, classes, _ = SHAPES[architecture]
    source = torch.Generator().manual_seed(seed)
    if architecture == "gpt2":
        return torch.randint(classes, (count, *shape), generator=source)
    return torch.randn(count, *shape, generator=source, dtype=torch.float64)


def permuted(architecture: str, module: nn.Module, seed: int = 2) -> nn.Module:
    """A copy that computes the same, with the units of every layer in another order."""
    source = torch.Generator().manual_seed(seed)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    def permute(pattern: list[tuple[str, int]], size: int, inner: int = 1) -> None:
        """Reorder the axes of these tensors alike; each unit may stand for `inner` values in a row."""
        order = torch.arange(size)
        while size > 1 and torch.equal(order, torch.arange(size)):
            order = torch.randperm(size, generator=source)
        for name, axis in pattern:
            repeat = state[name].shape[axis] // size
            assert repeat in (1, inner)
            places = (order[:, None] * repeat + torch.arange(repeat)).flatten()
            state[name] = state[name].index_select(axis, places)

    PERMUTERS[architecture](state, permute)
    copy = network(architecture, width=_width(architecture, module))
    copy.load_state_dict(state, assign=True)
    return copy.requires_grad_(False)


def _width(architecture: str, module: nn.Module) -> int:
    if architecture == "gpt2":
        return int(module.state_dict()["tokens.weight"].shape[1])
    first = {"mlp": "linear1", "cnn": "conv1", "resnet18": "conv1", "vit": "patches"}[architecture]
    return len(module.state_dict()[f"{first}.weight"])


def _mlp(state: dict[str, Tensor], permute: Callable[..., None]) -> None:
    for layer in (1, 2):
        size = len(state[f"linear{layer}.bias"])
        permute([(f"linear{layer}.weight", 0), (f"linear{layer}.bias", 0), (f"linear{layer + 1}.weight", 1)], size)


def _cnn(state: dict[str, Tensor], permute: Callable[..., None]) -> None:
    for layer, following in (("conv1", "conv2"), ("conv2", "conv3"), ("conv3", "linear1"), ("linear1", "linear2")):
        size = len(state[f"{layer}.bias"])
        permute([(f"{layer}.weight", 0), (f"{layer}.bias", 0), (f"{following}.weight", 1)], size, inner=9)


NORM = ("weight", "bias", "running_mean", "running_var")


def _resnet(state: dict[str, Tensor], permute: Callable[..., None]) -> None:
    stream = [("conv1.weight", 0), *((f"bn1.{name}", 0) for name in NORM)]
    for stage in range(1, 5):
        for block in range(2):
            prefix = f"layer{stage}.{block}"
            if f"{prefix}.downsample.0.weight" in state:
                shortcut = f"{prefix}.downsample"
                permute([*stream, (f"{prefix}.conv1.weight", 1), (f"{shortcut}.0.weight", 1)], len(state[stream[0][0]]))
                stream = [(f"{shortcut}.0.weight", 0), *((f"{shortcut}.1.{name}", 0) for name in NORM)]
            else:
                stream.append((f"{prefix}.conv1.weight", 1))
            stream += [(f"{prefix}.conv2.weight", 0), *((f"{prefix}.bn2.{name}", 0) for name in NORM)]
            inner = [(f"{prefix}.conv1.weight", 0), *((f"{prefix}.bn1.{name}", 0) for name in NORM)]
            permute([*inner, (f"{prefix}.conv2.weight", 1)], len(state[f"{prefix}.bn1.bias"]))
    permute([*stream, ("fc.weight", 1)], len(state["fc.weight"][0]))


def _transformer(state: dict[str, Tensor], permute: Callable[..., None]) -> None:
    outer = ("class_token", "positions")
    stream: list[tuple[str, int]] = [(name, state[name].ndim - 1) for name in outer if name in state]
    stream += [(name, 1) for name in ("tokens.weight", "positions.weight", "head.weight") if name in state]
    stream += [(f"patches.{name}", 0) for name in ("weight", "bias") if "patches.weight" in state]
    stream += [("norm.weight", 0), ("norm.bias", 0)]
    for name in state:
        block, _, rest = name.partition("norm1.weight")
        if block != name and not rest:
            for part in ("weight", "bias"):
                axes = [f"{block}{layer}.{part}" for layer in ("norm1", "norm2", "attention.projection", "linear2")]
                stream += [(name, 0) for name in axes]
            stream += [(f"{block}{layer}.weight", 1) for layer in ("attention.queries_keys_values", "linear1")]
            hidden = [(f"{block}linear1.weight", 0), (f"{block}linear1.bias", 0), (f"{block}linear2.weight", 1)]
            permute(hidden, len(state[f"{block}linear1.bias"]))
    permute(stream, len(state["norm.bias"]))


PERMUTERS: dict[str, Callable[[dict[str, Tensor], Callable[..., None]], None]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "resnet18": _resnet,
    "vit": _transformer,
    "gpt2": _transformer,
}
