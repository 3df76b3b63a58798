"""The card of a merged model: what it is made of and how, and how to make it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from learners.soups.check.facts import Facts
from learners.soups.licences import Licences
from learners.soups.merging import Merge

HUB = "huggingface:"

CARD = """---
{front_matter}---

# {name}

A merge of {count} models by {method}: {summary}

    {formula}

{paper}

## Ingredients

{ingredients}

## Settings

{settings}

## What to know

{notes}

## Licences

{licences}

## Making it again

```python
from learners import merge
from schemas import open_lake

merge(open_lake("lake"), {sql!r}, {method!r}{arguments})
```
"""


@dataclass(frozen=True)
class Recipe:
    """What a merged model's card tells.

    Attributes:
        name: The merged model's name.
        sql: The selection.
        merge: Method and settings.
        ingredients: The models.
        parent: Where they come from, if that took part.
        kept: Patterns of tensors that are the base's.
        notes: Warnings and what else one should know.
        licences: What follows from the ingredients' licences.
        treatment: What was done to the models before and to the merged one after (`align`, `repair`, `dtype`), and
            whether the merge was forced.
        origins: The models that others published among them, and among what they were made of.
        types: What the merged tensors are stored in.
        weighted: Whether the query gives the weights.
    """

    name: str
    sql: str
    merge: Merge
    ingredients: Sequence[Facts]
    parent: Facts | None
    kept: tuple[str, ...]
    notes: tuple[str, ...]
    licences: Licences
    treatment: Mapping[str, Any] = field(default_factory=dict)
    origins: Sequence[str] = ()
    types: Sequence[str] = ()
    weighted: bool = False


def write_card(recipe: Recipe, folder: Path) -> None:
    """Write README.md: front matter for hubs, sections for people."""
    merge = recipe.merge
    text = CARD.format(
        front_matter=yaml.safe_dump(_front_matter(recipe), sort_keys=False),
        name=recipe.name,
        count=len(recipe.ingredients),
        method=merge.method.name,
        summary=merge.method.summary,
        formula=merge.method.formula,
        paper=merge.method.paper,
        ingredients=_table(recipe),
        settings=_settings(recipe),
        notes=_list(recipe.notes, "Nothing spoke against it."),
        licences=_licences(recipe),
        sql=recipe.sql,
        arguments="".join(f", {key}={value!r}" for key, value in _arguments(recipe).items()),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _front_matter(recipe: Recipe) -> dict[str, object]:
    """What hubs read: `base_model` names only models that are on the Hub, since names of a lake are no repositories."""
    licence = recipe.licences.licence
    bases = [name.removeprefix(HUB) for name in recipe.origins if name.startswith(HUB)]
    fields: dict[str, object] = {
        "license": licence,
        "library_name": recipe.ingredients[0].config.get("library_name"),
        "tags": ["merge", "weightlake", recipe.merge.method.name],
        "base_model": bases,
        "base_model_relation": "merge" if bases else None,
        "ingredients": [facts.name for facts in _everything(recipe)],
    }
    return {key: value for key, value in fields.items() if value}


def _everything(recipe: Recipe) -> list[Facts]:
    return [*recipe.ingredients, *([recipe.parent] if recipe.parent else [])]


def _table(recipe: Recipe) -> str:
    weights = recipe.merge.settings.get("weights") or [None] * len(recipe.ingredients)
    rows = ["| model | commit or epoch | licence | weight |", "| --- | --- | --- | --- |"]
    for facts, weight in zip(recipe.ingredients, weights, strict=True):
        version = facts.epoch if facts.epoch is not None else facts.sha or ""
        rows.append(f"| `{facts.model_id}` | {version} | {facts.license or 'none stated'} | {_shown(weight)} |")
    if recipe.parent is not None:
        parent = recipe.parent
        rows.append(f"| `{parent.name}` (parent) | {parent.sha or ''} | {parent.license or 'none stated'} | |")
    return "\n".join(rows)


def _shown(weight: float | None) -> str:
    return "" if weight is None else f"{weight:g}"


def _settings(recipe: Recipe) -> str:
    settings: dict[str, Any] = {key: value for key, value in recipe.merge.settings.items() if key != "weights"}
    settings |= recipe.treatment
    settings |= {"computed in": str(recipe.merge.dtype).removeprefix("torch.")}
    settings |= {"stored in": ", ".join(recipe.types)} if recipe.types else {}
    settings |= {"seed": recipe.merge.seed} if recipe.merge.method.seeded else {}
    settings |= {"taken from the base": ", ".join(recipe.kept)} if recipe.kept else {}
    return "\n".join(
        ["| setting | value |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in settings.items())]
    )


def _licences(recipe: Recipe) -> str:
    if recipe.licences.conflicts:
        return _list(recipe.licences.conflicts, "")
    if recipe.licences.licence:
        return f"`{recipe.licences.licence}`, which the licences of all ingredients permit, as far as is known here."
    return "No ingredient states a licence."


def _list(sentences: Sequence[str], otherwise: str) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences) or otherwise


def _arguments(recipe: Recipe) -> Mapping[str, Any]:
    defaults = {parameter.name: parameter.default for parameter in recipe.merge.method.parameters}
    changed = {key: value for key, value in recipe.merge.settings.items() if value != defaults[key]}
    if recipe.weighted:
        del changed["weights"]
    changed |= {"precision": "float64"} if recipe.merge.dtype == torch.float64 else {}
    parent = {"parent": recipe.parent.name} if recipe.parent else {}
    kept = {"keep": list(recipe.kept)} if recipe.kept else {}
    return parent | kept | dict(recipe.treatment) | ({"seed": recipe.merge.seed} if recipe.merge.seed else {}) | changed
