"""Stitchable networks of the lake as networks that can be measured: each by its best path on validation samples."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from learners.stitching.repository import rebuild
from schemas import Lake
from zoo.load import load_weights

STITCHES = """
SELECT model_id, settings->>'$.network' AS network FROM product
WHERE method = 'stitchable' AND model_id IN (SELECT unnest($ids))
"""


@dataclass(frozen=True)
class Stitch:
    """A stitchable network: its configuration as JSON, and the data of its anchors."""

    model_id: str
    configuration: str
    dataset: str
    split_seed: int

    @property
    def label(self) -> str:
        """What to call it."""
        return f"the best stitch of {self.model_id}"

    def network(self, lake: Lake) -> nn.Module:
        """The path of the highest validation accuracy, with values."""
        network = rebuild(json.loads(self.configuration), load_weights(lake, self.model_id))
        best = max(range(len(network.accuracies)), key=network.accuracies.__getitem__)
        return network.at(best).eval()


def stitches(lake: Lake, ids: Sequence[str]) -> dict[str, Stitch]:
    """Those of the models that are stitchable networks."""
    found = {}
    for model_id, network in lake.sql(STITCHES, ids=list(ids)).iter_rows():
        anchor = json.loads(network)["anchors"][0]
        found[model_id] = Stitch(model_id, network, anchor["dataset"], anchor["split_seed"])
    return found
