"""Writes stitchable networks of the lake as model repositories, which load on their own."""

import json
from pathlib import Path

from learners.stitching.repository import rebuild, write_repository
from schemas import Lake, UsageError
from schemas.files import check_folder


def export_stitchable(lake: Lake, model_id: str, folder: str | Path) -> Path:
    """Write a stitchable network of the lake as a model repository `folder/<name>/`, for `load_stitchable`.

    Raises:
        UsageError: It is no stitchable network of this lake.
        OutsideError: The folder cannot be written.
    """
    rows = lake.sql("SELECT settings FROM product WHERE model_id = $id AND method = 'stitchable'", id=model_id)
    if rows.is_empty():
        raise UsageError(f"{model_id} is no stitchable network of this lake; weightlake stitch --train makes one")
    settings = json.loads(rows["settings"][0])
    shard = lake.sql("SELECT shard FROM checkpoint WHERE model_id = $id", id=model_id)["shard"][0]
    tensors = lake.weights.read_member(shard, 0)
    rebuild(settings["network"], tensors)
    made_of = "\n".join(f"- `{anchor}`" for anchor, _ in settings["anchors"])
    card = CARD.format(name=model_id.rpartition("/")[2], anchors=made_of, stitches=len(settings["network"]["stitches"]))
    return write_repository(Path(folder) / model_id.rpartition("/")[2], settings["network"], tensors, card)


def check_export_folder(folder: str | Path) -> None:
    """Make a folder for model repositories, if it is not there; raises OutsideError unless it can be written to."""
    check_folder(Path(folder))


CARD = """---
library_name: weightlake
tags: [weightlake, stitchable]
---

# {name}

A stitchable network: {stitches} networks of different cost in one, which share their weights. Its anchors are:

{anchors}

```python
from learners import load_stitchable

network = load_stitchable(".")
small = network.at(flops=min(network.flops))  # or network.at(index)
```
"""
