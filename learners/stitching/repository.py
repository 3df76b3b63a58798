"""A stitchable network as tensors and a configuration, as a folder that loads on its own, and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from learners.stitching.space import SpaceSettings
from learners.stitching.statistics import KEPT
from learners.stitching.stitchable import StitchableNetwork
from schemas.errors import DataError, UsageError
from schemas.files import write_whole
from schemas.weights import read_safetensors, write_safetensors
from zoo.architectures import skeleton

WEIGHTS = "model.safetensors"
CONFIGURATION = "config.json"
BLOCK = "weightlake_stitchable"
STATISTICS = "statistics."


def build_anchor(description: Mapping[str, Any]) -> nn.Module:
    """Build an anchor without values: architecture, input_shape, classes, width, and depth and activation if given."""
    given = {name: description.get(name) for name in ("depth", "activation")}
    shape = tuple(description["input_shape"])
    empty = skeleton(description["architecture"], shape, description["classes"], description["width"], **given)
    return empty.to_empty(device="cpu")


def sample_of(description: Mapping[str, Any]) -> Tensor:
    """Two samples of nothing, of the shape and kind that a network takes."""
    tokens = description["architecture"] == "gpt2"
    return torch.zeros(2, *description["input_shape"], dtype=torch.int64 if tokens else torch.float32)


def tensors_of(network: StitchableNetwork) -> dict[str, Tensor]:
    """Everything that has values: weights, buffers, and the statistics of each stitch."""
    found = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    for index, named in network.statistics.items():
        found |= {f"{STATISTICS}{index}.{name}": tensor.cpu() for name, tensor in named.items()}
    return found


def configuration_of(network: StitchableNetwork, anchors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Everything else: what the anchors are built like, the space, and what each stitch costs and is worth."""
    return {
        "anchors": [dict(anchor) for anchor in anchors],
        "space": asdict(network.settings),
        "rank": network.joints[0].rank,
        "flops": list(network.flops),
        "accuracies": list(network.accuracies),
        "stitches": [str(stitch) for stitch in network.stitches],
        "statistics": sum(map(len, network.statistics.values())),
    }


def rebuild(configuration: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> StitchableNetwork:
    """Build a stitchable network from its configuration and tensors.

    Raises:
        DataError: They do not belong together, the configuration is damaged, or a tensor is not finite.
    """
    broken = next((name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())), None)
    if broken is not None:
        raise DataError(f"{broken} of a stitchable network is not finite: its training diverged, or it is damaged")
    try:
        network = _built(configuration)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise DataError(f"the configuration of a stitchable network is damaged: {_short(error)}") from error
    except UsageError as error:
        raise DataError(f"the configuration of a stitchable network is damaged: {error}") from error
    try:
        network.load_state_dict({name: t for name, t in _folded(tensors).items() if not name.startswith(STATISTICS)})
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"the weights of a stitchable network are not those of its configuration: {reason}") from error
    network.statistics = _statistics(network, tensors)
    expected, found = configuration.get("statistics"), sum(map(len, network.statistics.values()))
    if expected is None and not found and any(name.endswith(KEPT) for name in network.state_dict()):
        expected = "some"  # older versions wrote no number of them
    if expected is not None and found != expected:
        raise DataError(f"a stitchable network has {found} means and variances of batch norm, expected {expected}")
    return network.eval().requires_grad_(False)


def _short(error: Exception) -> str:
    return repr(error).partition("\n")[0][:200]


def _built(configuration: Mapping[str, Any]) -> StitchableNetwork:
    """The network without values; whatever is raised, the configuration is damaged."""
    anchors = [build_anchor(anchor) for anchor in configuration["anchors"]]
    settings, rank = SpaceSettings(**configuration["space"]), configuration["rank"]
    if type(rank) is not int or rank < 0:
        raise ValueError(f"rank = {rank!r}")
    network = StitchableNetwork(anchors, sample_of(configuration["anchors"][0]), settings, rank)
    paths = [str(stitch) for stitch in network.stitches]
    if configuration["stitches"] != paths:
        raise ValueError(f"it has other stitches than the {len(paths)} that its space has")
    for name in ("flops", "accuracies"):
        figures = configuration[name]
        if not isinstance(figures, list) or len(figures) not in (0, len(paths)):
            raise ValueError(f"{name} are not {len(paths)} figures")
        if any(isinstance(value, bool) or not isinstance(value, int | float) or value < 0 for value in figures):
            raise ValueError(f"{name} are no figures from 0 on")
    network.flops, network.accuracies = tuple(configuration["flops"]), tuple(configuration["accuracies"])
    return network


def _statistics(network: StitchableNetwork, tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Means and variances by stitch; each has to be one that the stitch has, of its shape."""
    found: dict[int, dict[str, Tensor]] = {}
    shapes: dict[str, dict[str, torch.Size]] = {}
    for name in (name for name in tensors if name.startswith(STATISTICS)):
        index, _, rest = name.removeprefix(STATISTICS).partition(".")
        if index not in shapes:
            known = index in map(str, range(len(network.stitches)))
            buffers = network.body(int(index)).named_buffers() if known else ()
            shapes[index] = {key: t.shape for key, t in buffers if key.rpartition(".")[2] in KEPT}
        if shapes[index].get(rest) != tensors[name].shape:
            raise DataError(f"{name} of a stitchable network is of no layer of it, or of another shape")
        found.setdefault(int(index), {})[rest] = tensors[name]
    return found


def _folded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take updates of low rank into the joints' weights, which older versions stored beside them."""
    found = dict(tensors)
    for name in [name for name in tensors if name.startswith("joints.") and name.endswith(".up")]:
        joint = name.removesuffix("up")
        up, down = found.pop(name), found.pop(f"{joint}down")
        found[f"{joint}weight"] = found[f"{joint}weight"] + up @ down
    return found


def write_repository(folder: Path, configuration: Mapping[str, Any], tensors: Mapping[str, Tensor], card: str) -> Path:
    """Write a model repository: model.safetensors, config.json, README.md."""
    write_safetensors(folder / WEIGHTS, tensors)
    fields = {"architectures": ["StitchableNetwork"], "model_type": "weightlake-stitchable", BLOCK: configuration}
    write_whole(folder / CONFIGURATION, json.dumps(fields, indent=2).encode() + b"\n")
    write_whole(folder / "README.md", card.encode())
    return folder


def load_stitchable(path: str | Path) -> StitchableNetwork:
    """Load a stitchable network from its model repository; no lake is needed, and no pickle is opened.

    Raises:
        DataError: The folder is no such repository, or damaged.
    """
    folder = Path(path)
    try:
        fields = json.loads((folder / CONFIGURATION).read_bytes())
        configuration = fields[BLOCK]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is no stitchable network: expected a {CONFIGURATION} with {BLOCK}") from error
    return rebuild(configuration, read_safetensors(folder / WEIGHTS))
