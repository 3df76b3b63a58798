"""A stitchable network as tensors and a configuration, as a folder that loads on its own, and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from learners.stitching.space import SpaceSettings
from learners.stitching.stitchable import StitchableNetwork
from schemas.errors import DataError
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
    }


def rebuild(configuration: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> StitchableNetwork:
    """Build a stitchable network from its configuration and tensors.

    Raises:
        DataError: They do not belong together, or the configuration is damaged.
    """
    try:
        anchors = [build_anchor(anchor) for anchor in configuration["anchors"]]
        settings = SpaceSettings(**configuration["space"])
        network = StitchableNetwork(anchors, sample_of(configuration["anchors"][0]), settings, configuration["rank"])
        network.flops, network.accuracies = tuple(configuration["flops"]), tuple(configuration["accuracies"])
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(f"the configuration of a stitchable network is damaged: {error!r}") from error
    try:
        network.load_state_dict({name: t for name, t in _folded(tensors).items() if not name.startswith(STATISTICS)})
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"the weights of a stitchable network are not those of its configuration: {reason}") from error
    for name, tensor in tensors.items():
        if name.startswith(STATISTICS):
            index, _, rest = name.removeprefix(STATISTICS).partition(".")
            network.statistics.setdefault(int(index), {})[rest] = tensor
    return network.eval().requires_grad_(False)


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
