"""Runs models that are known here on their data: statistics that methods need, batch norm anew, accuracy of a merge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from learners.soups.alignment.repair import repaired
from learners.soups.check.facts import Facts
from learners.soups.data.batch_norm import has_statistics, lack_of_data, reestimate
from learners.soups.data.fishers import diagonal_fisher
from learners.soups.data.grams import gram_matrices
from learners.soups.files.mapped import mapped
from learners.soups.files.stored import Stored, read_header
from learners.soups.members import Changed
from learners.soups.methods import Method
from schemas import DataError, UsageError
from schemas.weights import write_safetensors
from zoo.datasets import Dataset, load_dataset
from zoo.describe import Description
from zoo.population import Samples, Weights, evaluate

BATCH_NORM_SAMPLES = 10_000
REPAIR_SAMPLES = 2000
Compute = Callable[[nn.Module, Weights, Samples], Weights]
DATA_NEEDS: dict[str, tuple[str, Compute]] = {
    "fishers": ("Fisher information needs", diagonal_fisher),
    "grams": ("Gram matrices need", gram_matrices),
}
"""What methods need that is computed by running each model on its own training data: what it is called, and how."""


@dataclass(frozen=True)
class Kitchen:
    """The models that are merged, and how they are run, if that is known.

    Attributes:
        models: What is known of each.
        samples: Training samples that statistics are computed from.
        repair: Whether the units of a merge without batch norm get the mean moments of the models' (REPAIR).
    """

    models: Sequence[Facts]
    samples: int
    repair: bool = False

    @cached_property
    def shared(self) -> Description | None:
        """How all of them are run, if all are run alike and on the same data."""
        first = self.models[0].description
        if first is None or first.architecture == "pinn":
            return None
        alike = all(facts.description and _same(facts.description, first) for facts in self.models)
        return first if alike else None

    @cached_property
    def dataset(self) -> Dataset | None:
        """Their data, if it is on this machine."""
        return _dataset(self.shared) if self.shared else None

    def computed(self, need: str, scratch: Path) -> tuple[Mapping[str, Stored], ...]:
        """Compute one of `DATA_NEEDS` for each model, and give where the tensors lie: a file a model, none in memory.

        Args:
            need: A name in `DATA_NEEDS`.
            scratch: The folder for these files.

        Raises:
            UsageError: Nobody here knows how a model runs, or its training data is not here.
            OutsideError: The disk is full, or cannot be written.
        """
        what, compute = DATA_NEEDS[need]
        found = []
        for number, facts in enumerate(self.models):
            description, samples = self._training(facts, what)
            weights = _computed(_weights(facts))
            path = scratch / f"{need}-{number}.safetensors"
            write_safetensors(path, compute(description.skeleton(), weights, _like(weights, samples)))
            found.append(read_header(path))
        return tuple(found)

    def _training(self, facts: Facts, what: str) -> tuple[Description, Samples]:
        if facts.description is None or facts.stored is None:
            raise UsageError(f"{what} data and a way to run {facts.name}, which nobody here knows; take linear")
        if facts.description.architecture == "pinn":
            raise UsageError(f"{what} samples that {facts.name}, a pinn, is not shown one by one; take linear")
        dataset = _dataset(facts.description)
        if dataset is None:
            raise UsageError(f"{what} the dataset {facts.description.dataset}, which is not on this machine")
        return facts.description, _few(dataset.train, self.samples)

    def check(self, method: Method) -> None:
        """Raise UsageError if the method, or repair, wants models run that nobody can run, or data that is not here."""
        for need, (what, _) in DATA_NEEDS.items():
            for facts in self.models if need in method.needs else ():
                self._training(facts, what)
        if self.repair and self.shared is None:
            raise UsageError("repair runs the models on their data, and nobody here knows how these run; leave it out")
        if self.repair and self.shared is not None and self.dataset is None:
            raise UsageError(f"repair needs the dataset {self.shared.dataset}, which is not on this machine")

    def finish(self, folder: Path) -> list[str]:
        """Estimate the batch-norm statistics of merged weights anew, or repair them; gives what one should know."""
        if any(has_statistics(facts.tensors) for facts in self.models):
            return self._batch_norm(folder)
        if not self.repair or self.shared is None or self.dataset is None:
            return []
        weights = _computed(read_folder(folder))
        samples = _like(weights, _few(self.dataset.train, REPAIR_SAMPLES))
        dtype = _computed_in(weights)
        ingredients = Changed(self.models, lambda _, facts: _computed(_weights(facts), dtype))
        _rewrite(folder, repaired(self.shared.skeleton(), weights, ingredients, samples.x))
        return [f"units have the ingredients' mean moments on {len(samples)} training samples (REPAIR)"]

    def _batch_norm(self, folder: Path) -> list[str]:
        if self.shared is None or self.dataset is None:
            lack = lack_of_data(names_in(folder))  # by their headers: such models may be larger than memory
            return [lack] if lack else []
        weights = _computed(read_folder(folder))
        samples = _like(weights, _few(self.dataset.train, BATCH_NORM_SAMPLES))
        anew = reestimate(self.shared.skeleton(), weights, samples)
        _rewrite(folder, anew)
        return [f"batch-norm statistics are estimated anew from {len(samples)} training samples"]

    def accuracy(self, folder: Path) -> dict[str, tuple[float, int]]:
        """Accuracy (0 to 1) of merged weights on validation and test, with the number of predictions."""
        if self.shared is None or self.dataset is None:
            return {}
        weights = _computed(read_folder(folder))
        stacked = {name: tensor[None] for name, tensor in weights.items()}
        module = self.shared.skeleton()
        found = {}
        for split in ("validation", "test"):
            scores = evaluate(module, stacked, _like(weights, self.dataset.part(split)))
            found[split] = (float(scores.accuracy[0]), scores.samples)
        return found


def names_in(folder: Path) -> list[str]:
    """Names of the tensors in a repository's files, from their headers."""
    return [name for path in sorted(folder.glob("*.safetensors")) for name in read_header(path)]


def read_folder(folder: Path) -> Weights:
    """Every tensor of a repository's files, mapped."""
    return {
        name: mapped(tensor)
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in read_header(path).items()
    }


def _rewrite(folder: Path, weights: Weights) -> None:
    """Write other values into a repository's files, in the types that they have."""
    for path in sorted(folder.glob("*.safetensors")):
        kinds = {name: mapped(tensor).dtype for name, tensor in read_header(path).items()}
        write_safetensors(path, {name: weights[name].to(kind) for name, kind in kinds.items()})


def _same(one: Description, other: Description) -> bool:
    return one.model_copy(update={"init": None}) == other.model_copy(update={"init": None})


def _dataset(description: Description) -> Dataset | None:
    try:
        return load_dataset(description.dataset, description.split_seed)
    except (UsageError, DataError):
        return None


def _few(samples: Samples, count: int) -> Samples:
    return Samples(samples.x[:count], samples.y[:count])


def _computed(weights: Weights, dtype: torch.dtype | None = None) -> Weights:
    """Weights in the one type in which a network of them runs, whatever they are stored in."""
    chosen = dtype or _computed_in(weights)
    return {name: tensor.to(chosen) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}


def _computed_in(weights: Weights) -> torch.dtype:
    """float64 where some weights are so, else float32."""
    double = any(tensor.dtype == torch.float64 for tensor in weights.values())
    return torch.float64 if double else torch.float32


def _like(weights: Weights, samples: Samples) -> Samples:
    return samples.to(torch.device("cpu"), _computed_in(weights))


def _weights(facts: Facts) -> dict[str, Tensor]:
    return {name: mapped(tensor) for name, tensor in (facts.stored or {}).items()}
