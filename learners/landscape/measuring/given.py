"""What a caller says of models that the lake does not know how to run: an architecture and data."""

from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import nn

from learners.landscape.measuring.fingerprint import fingerprint
from schemas import UsageError
from zoo.datasets import Dataset, load_dataset
from zoo.describe import Description


@dataclass(frozen=True, eq=False)
class Given:
    """How models are built and on what they are measured.

    Attributes:
        label: What to call them.
        module: The network, in evaluation mode; its values do not count.
        data: The data.
        digest: What tells these two from others.
    """

    label: str
    module: nn.Module
    data: Dataset
    digest: str


def given_by(description: Description | None, architecture: nn.Module | None, data: Dataset | None) -> Given | None:
    """Put together what a caller gave; None where that is nothing.

    Raises:
        UsageError: One half is missing, or both ways were taken.
    """
    if description is None and architecture is None and data is None:
        return None
    if description is not None:
        if architecture is not None:
            raise UsageError("give a description or an architecture, not both")
        found = data or load_dataset(description.dataset, description.split_seed)
        label = f"{description.architecture} of width {description.width}"
        return _given(label, description.skeleton(), found, description.model_dump_json())
    if architecture is None or data is None:
        raise UsageError("an architecture needs data, and data an architecture or a description; give both")
    network = deepcopy(architecture).eval()
    return _given(type(architecture).__name__, network, data, fingerprint(network, data.train.x))


def _given(label: str, module: nn.Module, data: Dataset, text: str) -> Given:
    digest = sha256(f"{text}{data.name}{data.split_seed}{data.sha256}".encode())
    for part in (data.train, data.validation, data.test):
        digest.update(part.y.to(torch.int64).cpu().numpy().tobytes())
    return Given(label, module, data, digest.hexdigest()[:16])
