"""What a soup is cooked in: its models and their data, and what is done to an average before it is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl
import torch
from torch import Tensor, nn

from learners.soups.alignment.align import align_rows, way_of
from learners.soups.alignment.repair import Moments, mean_moments, moments, restored
from learners.soups.average import mean_of
from learners.soups.check.described import Given, given_descriptions
from learners.soups.comparison import Judged, judge
from learners.soups.data.batch_norm import has_statistics, reestimate
from learners.soups.files.mapped import is_finite
from learners.soups.ingredients import Ingredients, gather
from learners.soups.members import Members, single
from schemas.errors import UsageError
from schemas.lake import Lake
from zoo.contents import content_of
from zoo.datasets import Dataset, load_dataset
from zoo.describe import Description
from zoo.locate import locate, selection
from zoo.population import Samples, Weights

BATCH_NORM_SAMPLES = 5000
REPAIR_SAMPLES = 2000


@dataclass(frozen=True)
class Manner:
    """How models are prepared and averages are finished.

    Attributes:
        align: How models are aligned with the first one by name, `weights` or `activations`; None for not at all.
        repair: Whether units of an average get back the means and deviations that averaging has taken.
        samples: How many samples of validation and of test count; None for all.
        given: How models are built of which the lake does not know it.
    """

    align: str | None = None
    repair: bool = False
    samples: int | None = None
    given: tuple[Description, ...] = ()

    def settings(self) -> dict[str, object]:
        """What differs from the usual."""
        all_of_it: dict[str, object] = {"align": self.align, "repair": self.repair or None, "samples": self.samples}
        all_of_it["description"] = [each.model_dump() for each in self.given] or None
        return {name: value for name, value in all_of_it.items() if value is not None}


@dataclass(frozen=True)
class Pot:
    """Everything that a soup of one selection needs.

    Attributes:
        lake: Where the models are.
        sql: What selected them.
        manner: How they are prepared, and averages finished.
        ingredients: What was found of them before.
        rows: One for each model that is averaged, with its `model_id` and, where some are given, `epoch`.
        members: Their weights, each read when it is asked for.
        contents: A hash of each one's weights as they are stored.
        types: What the tensors of a soup are stored in: those of the first model.
        module: How to compute.
        dataset: Theirs.
    """

    lake: Lake
    sql: str
    manner: Manner
    ingredients: Ingredients
    rows: pl.DataFrame
    members: Sequence[Weights]
    contents: tuple[str, ...]
    types: Mapping[str, torch.dtype]
    module: nn.Module
    dataset: Dataset

    def __len__(self) -> int:
        return len(self.members)

    def names(self, members: Sequence[int]) -> tuple[str, ...]:
        """model_id of each member."""
        return tuple(self.rows["model_id"][member] for member in members)

    @cached_property
    def has_statistics(self) -> bool:
        """Whether the models have batch norm."""
        return has_statistics(self.types)

    @property
    def judged_on(self) -> str:
        """Everything that scores of averages hang on beside the models."""
        finish = "batch norm" if self.has_statistics else "repair" if self.manner.repair else ""
        count = f"{self.manner.samples} samples" if self.manner.samples else ""
        built = self.ingredients.description.model_dump_json(exclude={"init"})
        return " ".join(filter(None, [self.dataset.sha256, finish, count, built]))

    @cached_property
    def judged(self) -> dict[str, Judged]:
        """How the models do on `validation` and `test`."""
        return {split: judge(self.module, self.members, samples) for split, samples in self.parts.items()}

    @property
    def parts(self) -> dict[str, Samples]:
        """What soups are judged on."""
        return {"validation": self.dataset.validation, "test": self.dataset.test}

    @property
    def best_first(self) -> list[int]:
        """The models by their accuracy on validation data, then by their loss."""
        scores = self.judged["validation"].scores
        return sorted(range(len(self)), key=lambda i: (-scores.accuracy[i], scores.loss[i], i))

    @property
    def notes(self) -> tuple[str, ...]:
        """What one should know of a soup from this pot."""
        if self.has_statistics:
            samples = min(BATCH_NORM_SAMPLES, len(self.dataset.train))
            return (f"batch-norm statistics are estimated anew from {samples} training samples",)
        return ("units have the ingredients' mean moments (REPAIR)",) if self.manner.repair else ()

    def average_of(self, members: Sequence[int]) -> dict[str, Tensor]:
        """The finished average of some models."""
        mean = mean_of(self.members[member] for member in members)
        return self.finished(mean, dict.fromkeys(members, 1 / len(members)))

    def finished(self, weights: dict[str, Tensor], shares: dict[int, float]) -> dict[str, Tensor]:
        """An average with batch-norm statistics of its own; without batch norm repaired, if that is the manner.

        Args:
            weights: The average.
            shares: For each model that is in it how much of it.
        """
        train = self.dataset.train
        if self.has_statistics:
            few = Samples(train.x[:BATCH_NORM_SAMPLES], train.y[:BATCH_NORM_SAMPLES])
            return reestimate(self.module, weights, few)
        if not self.manner.repair:
            return weights
        goal = mean_moments([self._moments[member] for member in shares], list(shares.values()))
        return restored(self.module, weights, goal, train.x[:REPAIR_SAMPLES])

    @cached_property
    def _moments(self) -> list[dict[str, Moments]]:
        x = self.dataset.train.x[:REPAIR_SAMPLES]
        return [moments(self.module, member, x) for member in self.members]


def manner_of(
    align: str | None = None, repair: bool = False, description: Given = (), samples: int | None = None
) -> Manner:
    """What a caller asks for."""
    return Manner(align, repair, samples, given_descriptions(description))


def pot_for(lake: Lake, sql: str, manner: Manner | None = None, *, force: bool = False) -> Pot:
    """Read what a soup of a selection needs, its models aligned if that is asked for; errors as in `uniform_soup`."""
    chosen = manner or Manner()
    ingredients = gather(lake, sql, force=force, aligned=chosen.align is not None, given=chosen.given)
    shared = ingredients.description
    dataset = load_dataset(shared.dataset, shared.split_seed)
    if chosen.samples is not None:
        few = [_few(part, chosen.samples) for part in (dataset.validation, dataset.test)]
        dataset = replace(dataset, validation=few[0], test=few[1])
    rows = ingredients.rows
    if chosen.align is not None:
        by_name = rows.sort("model_id", *({"epoch"} & set(rows.columns)))  # the same models give the same reference
        way = way_of(rows["model_id"].to_list(), ingredients.descriptions)
        rows = selection(lake, align_rows(lake, by_name, by=chosen.align, way=way).sql, {})
    epochs = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * rows.height
    members = Members(lake, locate(lake, rows["model_id"].to_list(), epochs))
    contents = tuple(_content(*each) for each in zip(rows["model_id"], members.stored(), strict=True))
    return Pot(lake, sql, chosen, ingredients, rows, members, contents, members.types, shared.skeleton(), dataset)


def _content(model_id: str, stored: Weights) -> str:
    """A hash of weights, all of which are finite; raises UsageError for others."""
    for name, tensor in single(stored).items():
        if not is_finite(tensor):
            raise UsageError(f"{model_id} has values that are not finite, in {name}; leave that model out")
    return content_of(stored)


def _few(samples: Samples, count: int) -> Samples:
    return Samples(samples.x[:count], samples.y[:count])
