"""Writes the card of a published population: front matter for hubs, sections for people, all from what is in it."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from zoo.families import SPLITS
from zoo.publishing.splits_section import splits_section
from zoo.publishing.written import front_matter

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
LARGEST = "10M<n<100M"
MARK = "weightlake"
"""The tag by which a folder is known to be published by weightlake."""

WHAT = {
    "models": "one row a model: how it was trained, how good it became, its family and split",
    "training": "training curves, one row a model, epoch, split and metric",
    "measurements": "what was measured of a model, with standard error and settings",
    "pairs": "what was measured of two models",
    "phases": "the phase of each cell in the grid of load and temperature, one row a cell and rule; not split",
    "populations": "the recipe, software and device of each population; not split",
    "tensors": "where each tensor of each checkpoint lies: shard and bytes",
}
CARD = """---
{front_matter}---

# {title}

{summary}

{picture}## What is in it

{contents}

The weights are {shards} safetensors files in `weights/`, {size}. A tensor is called `model_id/epoch/name` there.

## How it was made

{making}

## How to load it

{loading}

## Splits

{splits}

## Columns of `models`

{columns}

## Licence

{licence}

## Citation

{citation}
"""

LOADING = """{where}```python
from datasets import load_dataset

models = load_dataset("{place}", "models")  # or "training", ...; with streaming=True nothing is stored
```

```python
import duckdb

duckdb.sql("SELECT width, avg(test_accuracy) FROM '{files}/models/*.parquet' GROUP BY width")
```

One model by `safetensors` alone:

```python
import duckdb
{fetching}from safetensors import safe_open

query = "SELECT name, epoch, shard FROM '{files}/tensors/*.parquet' WHERE model_id = ? AND final"
rows = duckdb.execute(query, ["{example}"]).fetchall()
with safe_open({shard}, framework="numpy") as file:
    weights = {{name: file.get_tensor(f"{example}/{{epoch}}/{{name}}") for name, epoch, _ in rows}}
```

Stacked, and from a hub the bytes of the models asked for and a part of the tables, by [weightlake](https://pypi.org/project/weightlake/):

```python
from zoo import load_population

population = load_population("{source}", "{condition}")
population.tensors  # [N, ...] by name; population.rows holds the rows of the table models
```"""


@dataclass(frozen=True)
class Facts:
    """What a card says."""

    title: str
    place: str
    """owner/name on the hub that it goes to, or the folder's name."""
    on_hub: bool
    license_id: str | None
    together: str
    models: pl.DataFrame
    split_of: pl.DataFrame
    """A row a model: model_id and split."""
    populations: pl.DataFrame
    counts: Mapping[tuple[str, str], int]
    """Rows by configuration and split."""
    shards: int
    bytes: int
    picture: str | None
    """What the picture shows; None where there is none."""
    meanings: Mapping[str, str]
    """Of the columns of `models`."""
    citation: str


def dataset_card(facts: Facts) -> str:
    """Write the card."""
    picture = f"![{facts.picture}](phases.png)\n\n{facts.picture}\n\n" if facts.picture else ""
    return CARD.format(
        front_matter=front_matter(_front_matter(facts)),
        title=facts.title,
        summary=_summary(facts),
        picture=picture,
        contents=_contents(facts.counts),
        shards=facts.shards,
        size=size_in_words(facts.bytes),
        making=_making(facts),
        loading=_loading(facts),
        splits=splits_section(facts.models, facts.split_of, facts.together, {config for config, _ in facts.counts}),
        columns=_columns(facts),
        licence=_licence(facts.license_id),
        citation=f"```bibtex\n{facts.citation}\n```" if facts.citation else "Nothing to cite.",
    )


def configurations(counts: Mapping[tuple[str, str], int], default: str) -> list[dict[str, object]]:
    """The front matter's `configs`: for each configuration the files of the splits that have rows."""
    return [
        {
            "config_name": config,
            **({"default": True} if config == default else {}),
            "data_files": [
                {"split": split, "path": f"{config}/{split}-*.parquet"} for split in SPLITS if (config, split) in counts
            ],
        }
        for config in dict.fromkeys(config for config, _ in counts)
    ]


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    return next((name for limit, name in SIZES.items() if rows < limit), LARGEST)


def _front_matter(facts: Facts) -> dict[str, object]:
    architectures = facts.models["architecture"].drop_nulls().unique().sort().to_list()
    return {
        "license": facts.license_id,
        "pretty_name": facts.title,
        "tags": [MARK, "model-zoo", "weight-space", "neural-network-weights", *architectures],
        "size_categories": [size_category(facts.models.height)],
        "configs": configurations(facts.counts, "models"),
    }


def _summary(facts: Facts) -> str:
    trained = facts.models.filter(origin="trained")
    made = facts.models.height - trained.height
    architectures, datasets = (_named(facts.models[name]) for name in ("architecture", "dataset"))
    what = f"{trained.height:,} trained networks" + (f" and {made:,} made of them" if made else "")
    diverged = trained.filter(state="diverged").height
    note = f" {diverged:,} of them diverged and have their last finite weights (`state`)." if diverged else ""
    of, on = f" ({architectures})" if architectures else "", f" on {datasets}" if datasets else ""
    return f"{what}{of}{on}: weights, training curves and what was measured of them.{note}"


def _named(values: pl.Series) -> str:
    return ", ".join(f"`{value}`" for value in values.drop_nulls().unique().sort().to_list())


def _contents(counts: Mapping[tuple[str, str], int]) -> str:
    lines = ["| configuration | holds | train | validation | test |", "|---|---|---|---|---|"]
    for config in dict.fromkeys(config for config, _ in counts):
        cells = " | ".join(f"{counts.get((config, split), 0):,}" for split in SPLITS)
        lines.append(f"| `{config}` | {WHAT[config]} | {cells} |")
    return "\n".join(lines)


def _making(facts: Facts) -> str:
    if facts.populations.is_empty():
        return "Each was made of other models; the column `method` says how, `parents` of which."
    lines = ["| population | architecture | dataset | members | device | software |", "|---|---|---|---|---|---|"]
    lines += [
        f"| `{row['population_id']}` | {_code(row['architecture'])} | {_code(row['dataset'])} "
        f"| {row['members'] or 0:,} | {row['device'] or 'not known'} | {row['software'] or 'not known'} |"
        for row in facts.populations.iter_rows(named=True)
    ]
    again = "it can be built again."
    if facts.populations["recipe"].str.contains('"imported"', literal=True).any():
        again = "one that was imported says from where, others can be built again."
    return "\n".join(lines) + f"\n\nThe configuration `populations` holds each recipe whole, as JSON; {again}"


def _code(value: str | None) -> str:
    return "not known" if value is None else f"`{value}`"


def _loading(facts: Facts) -> str:
    example = facts.models.sort("model_id")["model_id"][0]
    place, on_hub = facts.place, facts.on_hub
    downloaded = f'hf_hub_download("{place}", rows[0][2], repo_type="dataset")'
    return LOADING.format(
        where="" if on_hub else f"From the folder in which `{place}` lies:\n\n",
        place=place,
        files=f"hf://datasets/{place}" if on_hub else place,
        fetching="from huggingface_hub import hf_hub_download\n" if on_hub else "",
        shard=downloaded if on_hub else f'f"{place}/{{rows[0][2]}}"',
        source=f"hf:{place}" if on_hub else place,
        condition=_condition(facts.models),
        example=example,
    )


def _condition(models: pl.DataFrame) -> str:
    """A condition on the models that selects some of the same shapes: of a phase, if any is known."""
    named: list[tuple[str, object]] = []
    for column in ("phase", "architecture", "width", "depth"):
        values = models[column].drop_nulls().unique().sort()
        if len(values) > 1 or (column == "phase" and len(values)):
            named.append((column, values[-1]))
            models = models.filter(pl.col(column) == values[-1])
    return " AND ".join(f"{column} = {value!r}" for column, value in named) or "true"


def _columns(facts: Facts) -> str:
    lines = ["| column | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {facts.meanings.get(name, '')} |" for name in facts.models.columns]
    return "\n".join(lines)


def _licence(license_id: str | None) -> str:
    if license_id is None:
        return "Its publisher states none."
    return f"`{license_id}`, for tables and weights."


def size_in_words(size: int) -> str:
    """Bytes for people, as 1.2 MB."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
