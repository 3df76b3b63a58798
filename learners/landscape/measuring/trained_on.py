"""What members were trained on: their share of the training samples, with the labels that they met."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from schemas import Lake
from zoo.datasets import Dataset
from zoo.population import Samples
from zoo.train import noisy_labels, used_samples

UNKNOWN = "other samples or labels, which are not known here; measured on the data as they are"
TRAINED_ON = """
SELECT model_id, coalesce(data_fraction, 1.0), coalesce(label_noise, 0.0), seed,
    seed IS NOT NULL AND ((recipe -> '$.imported') IS NULL OR (recipe -> '$.original') IS NOT NULL)
        AND (recipe -> '$.original.imported') IS NULL AS known
FROM member JOIN population USING (population_id)
WHERE model_id IN (SELECT unnest($ids)) AND (coalesce(data_fraction, 1.0) < 1 OR coalesce(label_noise, 0.0) > 0)
"""
"""Another program's training is not known here; one that weightlake did in another lake is."""


@dataclass(frozen=True)
class TrainedOn:
    """A share of the training samples, and of their labels one that was replaced by another class, by a seed.

    Where that is not `known`, because another program drew them, the data are taken as they are.
    """

    fraction: float = 1.0
    noise: float = 0.0
    seed: int = 0
    known: bool = True

    @property
    def mark(self) -> dict[str, object]:
        """What values depend on through it beside the model; nothing where training saw the data as they are."""
        if not self.known:
            return {"trained_on": UNKNOWN}
        fraction = {"data_fraction": self.fraction} if self.fraction < 1 else {}
        return fraction | ({"labels": "as trained"} if self.noise else {})

    def of(self, data: Dataset) -> Dataset:
        """The dataset with the training part that such a member saw."""
        if not self.known:
            return data
        train = used_samples(data.train, self.fraction)
        if self.noise:
            noisy = noisy_labels(train.y.flatten(), data.classes, self.noise, self.seed)
            train = Samples(train.x, noisy.view(train.y.shape))
        return replace(data, train=train)


WHOLE = TrainedOn()
NOT_KNOWN = TrainedOn(known=False)


def trained_on(lake: Lake, ids: Sequence[str]) -> dict[str, TrainedOn]:
    """By model what it was trained on, where that is not the whole of the training samples as they are.

    Members whose training another program did are measured on the data as they are, and that is said.
    """
    rows = lake.sql(TRAINED_ON, ids=list(ids)).iter_rows()
    return {
        name: TrainedOn(fraction, noise, seed if noise else 0) if known else NOT_KNOWN
        for name, fraction, noise, seed, known in rows
    }


def union(first: Dataset, second: Dataset) -> Samples:
    """The training samples of two members with the labels of both: once where they agree, else each sample twice."""
    one, other = first.train, second.train
    if one.y.equal(other.y):
        return one
    return Samples(torch.cat([one.x, other.x]), torch.cat([one.y, other.y]))
