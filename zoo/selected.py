"""A population that was loaded: stacked weights and rows, and the forms in which learners want them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import polars as pl
from torch import nn

from schemas import Lake, UsageError
from zoo import population
from zoo.describe import Description, describe
from zoo.families import families, families_of_rows
from zoo.flat import Flat, flat
from zoo.mistakes import expected_one_of
from zoo.population import Weights
from zoo.randomness import generator
from zoo.splits import assigned
from zoo.tokens import Tokens, tokens
from zoo.views import WeightDataset, targets_of


@dataclass(frozen=True, repr=False)
class Population:
    """Models of the same shapes: their stacked weights `[N, ...]` by name, and a row for each."""

    tensors: Weights
    rows: pl.DataFrame
    lake: Lake | None = field(default=None, compare=False)
    """Where they come from: it knows how they are built and who descends from whom."""
    kin: Callable[[], pl.DataFrame] | None = field(default=None, repr=False, compare=False)
    """Without a lake, who says who descends from whom: the published dataset they come from."""

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in self.tensors.items())
        return f"Population of {len(self)} models: {shapes}; rows: {', '.join(self.rows.columns)}"

    def __len__(self) -> int:
        return self.rows.height

    def member(self, index: int) -> Weights:
        """Weights of one model, without the leading axis.

        Raises:
            UsageError: There is no model of this index.
        """
        self._check(index)
        return population.member(self.tensors, index)

    def take(self, indices: Sequence[int]) -> Population:
        """The models of these indices, in this order."""
        tensors = {name: tensor[list(indices)] for name, tensor in self.tensors.items()}
        return replace(self, tensors=tensors, rows=self.rows[list(indices)])

    def flat(self, order: str = "names") -> Flat:
        """Give one matrix `[N, P]`, a row a model, with its layout; as `zoo.flat.flat`.

        Args:
            order: `names` takes the tensors as `tensors` has them, buffers among them: as they were asked for,
                or in alphabetical order, in which they are stored. `parameters` takes the parameters alone in the
                order of the module, so that a row is `torch.nn.utils.parameters_to_vector(model.parameters())`
                and `vector_to_parameters` takes it.

        Raises:
            UsageError: There is no such order; or, for `parameters`, nobody here knows how the models are built, or not
                all their parameters were loaded.
        """
        if order not in _ORDERS:
            raise UsageError(f"order {order!r}: {expected_one_of(order, _ORDERS)}")
        if order == "names":
            return flat(self.tensors)
        names = [name for name, _ in self._description(0).skeleton().named_parameters()]
        if missing := [name for name in names if name not in self.tensors]:
            raise UsageError(f"order 'parameters' needs {missing[0]}; load the population without tensors=")
        return flat({name: self.tensors[name] for name in names})

    def tokens(self, size: int) -> Tokens:
        """Give padded tokens `[N, T, size]` with their positions; as `zoo.tokens.tokens`."""
        return tokens(self.tensors, size)

    def module(self, index: int) -> nn.Module:
        """Build one model, ready to run, with a copy of its weights.

        Raises:
            UsageError: There is no model of this index, nobody here knows how it is built, or not all its tensors
                were loaded.
        """
        self._check(index)
        model_id: str = self.rows["model_id"][index]
        module = self._description(index).skeleton()
        weights = {name: tensor.clone() for name, tensor in self.member(index).items()}
        try:
            module.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise UsageError(
                f"{model_id} cannot be run with these tensors ({str(error).splitlines()[-1].strip()}); "
                "load the population without tensors="
            ) from error
        return module

    def _check(self, index: int) -> None:
        if not -len(self) <= index < len(self):
            raise UsageError(f"index {index}: expected 0 to {len(self) - 1}, since these are {len(self)} models")

    def _description(self, index: int) -> Description:
        model_id: str = self.rows["model_id"][index]
        if self.lake is None:
            raise UsageError(f"nobody here knows how {model_id} is built: this population was not loaded from a lake")
        return describe(self.lake, model_id)

    def dataset(self, target: str | Sequence[str], form: str = "flat", size: int | None = None) -> WeightDataset:
        """View as a dataset of torch: pairs of a model's weights and its targets, float32.

        Args:
            target: A column of the rows, or several: what is to be told from the weights.
            form: `flat` gives a model as a vector `[P]`, `tensors` as tensors by name, `tokens` as `[T, size]`.
            size: Values of a token.

        Raises:
            UsageError: A column is missing, holds no numbers or NULL, or there is no such form.
        """
        targets = targets_of(self.rows, [target] if isinstance(target, str) else list(target))
        if form == "tensors":
            return WeightDataset(self.member, targets)
        if form == "flat":
            return WeightDataset(self.flat().matrix.__getitem__, targets)
        if form == "tokens" and size is not None:
            return WeightDataset(self.tokens(size).values.__getitem__, targets)
        if form == "tokens":
            raise UsageError("form 'tokens' needs a size, the number of values of a token")
        raise UsageError(f"form {form!r}: {expected_one_of(form, ['flat', 'tensors', 'tokens'])}")

    def split(
        self, train: float = 0.7, validation: float = 0.15, test: float = 0.15, seed: int = 0
    ) -> dict[str, Population]:
        """Split into `train`, `validation` and `test` so that nothing leaks from one part into another.

        All checkpoints of a model stay together, and so do models with a common ancestor: fine-tunes of
        one parent, a soup and its ingredients (`zoo.families`). Where families are large the shares are
        as near as they allow.

        Args:
            train: Share of the models; what rounding leaves over goes here too.
            validation: Share of the models.
            test: Share of the models.
            seed: Which family goes where hangs on it.

        Raises:
            UsageError: The shares are negative or do not add up to 1, or there are fewer families than parts; or
                neither a lake nor a published dataset nor the rows (`family`, `parents`) say who descends from whom.
        """
        if min(train, validation, test) < 0 or abs(train + validation + test - 1) > 1e-9:
            raise UsageError(
                f"train, validation and test = {train}, {validation}, {test}: expected shares that sum to 1"
            )
        ids: list[str] = self.rows.get_column("model_id").to_list()
        family_of = self._families(ids)
        wanted = {"validation": validation, "test": test}
        part_of = assigned(family_of, wanted, generator("split models", seed))
        parts = {part: [i for i, model_id in enumerate(ids) if part_of[model_id] == part] for part in _PARTS}
        return {part: self.take(indices) for part, indices in parts.items()}

    def _families(self, model_ids: Sequence[str]) -> dict[str, str]:
        if self.lake:
            return families(self.lake, model_ids, "parent")
        return families_of_rows(self.kin() if self.kin else self.rows, model_ids)


_ORDERS = ("names", "parameters")
_PARTS = ("train", "validation", "test")
