"""The penalties of a selection as a matrix, as distances between its models, and as a dendrogram."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering  # type: ignore[import-untyped]
from scipy.spatial.distance import squareform  # type: ignore[import-untyped]

from learners.stitching.contrast import Matrix, mean_of_pairs
from schemas.errors import UsageError


@dataclass(frozen=True)
class PenaltyMatrix:
    """What it costs to join every model of a selection to every other one.

    Attributes:
        models: The models' names, in the order of the selection.
        rows: A row for each joint: `front`, `end` (names), `end_architecture`, whose `cut` it is, `joint`, `penalty`,
            `standard_error`, `low`, `high`, `loss_penalty` and more, as in the view `stitch_penalties`.
        measured: How many pairs were measured for it; the others were in the lake.
        left_out: Joints that are impossible: `front`, `end`, `cut` and the reason.
    """

    models: tuple[str, ...]
    rows: pl.DataFrame
    measured: int
    left_out: pl.DataFrame

    def matrix(
        self,
        value: str = "penalty",
        joint: str = "least squares",
        cut: str | None = None,
        architecture: str | None = None,
    ) -> Matrix:
        """A column of `rows` as a matrix, fronts down and ends across; a mean over cuts unless one is named.

        Args:
            value: Which column.
            joint: Kind of joint.
            cut: Name of a cut of the ends.
            architecture: Whose cut it is; ends of others have no value.

        Raises:
            UsageError: There is no such column, kind of joint, cut or architecture, or several architectures have a cut
                of this name, which is not the same place in them.
        """
        chosen = self.rows
        for name, choice in (("joint", joint), ("cut", cut), ("end_architecture", architecture)):
            if choice is None:
                continue
            choices = self.rows[name].unique().sort().to_list()
            if choice not in choices:
                called = name.removeprefix("end_")
                raise UsageError(f"{called} = {choice!r}: expected one of {', '.join(map(str, choices))}")
            chosen = chosen.filter(pl.col(name) == choice)
        if cut is not None:
            _check_one_architecture(chosen, cut)
        if value not in self.rows.columns or not self.rows.schema[value].is_numeric():
            raise UsageError(f"value = {value!r}: expected a column of figures, e.g. penalty or loss_penalty")
        means = {(front, end): mean for front, end, mean in chosen.group_by("front", "end").agg(pl.mean(value)).rows()}
        return np.array([[means.get((front, end)) for end in self.models] for front in self.models], dtype=float)

    def distances(self, value: str = "penalty", joint: str = "least squares", cut: str | None = None) -> Matrix:
        """How far apart the models are: the mean of both ways' penalties, above what self-stitches cost; symmetric.

        d(i, j) = max(0, (p(i, j) + p(j, i) - p(i, i) - p(j, j)) / 2)

        So far are the two stitched networks, on average, behind the two that they were made of. It is no metric:
        nothing makes the penalty of a detour larger than that of the direct way.
        """
        penalty = self.matrix(value, joint, cut)
        itself = np.diag(penalty)
        apart: Matrix = np.maximum(0.0, ((penalty + penalty.T) - (itself[:, None] + itself[None, :])) / 2)
        return apart

    def dendrogram(self, value: str = "penalty", joint: str = "least squares", cut: str | None = None) -> Matrix:
        """Hierarchical clustering of the distances by average linkage, as scipy's `linkage` gives it `[N - 1, 4]`.

        Neighbours in its order are as near to each other as they can be.

        Raises:
            UsageError: Some pairs cannot be joined, so that they have no distance.
        """
        apart = self.distances(value, joint, cut)
        if np.isnan(apart).any():
            front, end = np.argwhere(np.isnan(apart))[0]
            raise UsageError(
                f"{self.models[front]} and {self.models[end]} have no distance: no cut joins them both ways"
            )
        condensed = squareform(apart, checks=False)
        tree: Matrix = optimal_leaf_ordering(linkage(condensed, method="average"), condensed)
        return tree

    def summary(self) -> pl.DataFrame:
        """A row for each kind of joint, architecture of ends and cut: pairs, their mean penalty and its standard error.

        Pairs are those of different models. The error is that of drawing other models, NULL with fewer than three of
        them; `itself` is the mean penalty of self-stitches.
        """
        rows = []
        keys = ["joint", "end_architecture", "cut"]
        kinds = self.rows.group_by(keys).agg(pl.min("end_cut")).sort("joint", "end_architecture", "end_cut", "cut")
        for joint, architecture, cut in kinds.select(keys).rows():
            penalty, loss = (self.matrix(value, joint, cut, architecture) for value in ("penalty", "loss_penalty"))
            mean, error = mean_of_pairs(penalty)
            pairs = int((~np.isnan(penalty)).sum() - (~np.isnan(np.diag(penalty))).sum())
            figures = {"penalty": mean, "standard_error": error, "loss_penalty": mean_of_pairs(loss)[0]}
            itself = float(np.nanmean(np.diag(penalty)))
            kind = {"joint": joint, "end_architecture": architecture, "cut": cut}
            rows.append({**kind, "pairs": pairs, **figures, "itself": itself})
        return pl.DataFrame(rows).with_columns(pl.col(pl.Float64).fill_nan(None))

    def order(self, value: str = "penalty", joint: str = "least squares", cut: str | None = None) -> list[str]:
        """The models in the dendrogram's order."""
        return [self.models[leaf] for leaf in leaves_list(self.dendrogram(value, joint, cut))]


def _check_one_architecture(rows: pl.DataFrame, cut: str) -> None:
    several = rows["end_architecture"].unique().sort().to_list() if "end_architecture" in rows.columns else []
    if len(several) > 1:
        raise UsageError(
            f"cut = {cut!r} is another place in {' and in '.join(map(str, several))}; say which with architecture"
        )
