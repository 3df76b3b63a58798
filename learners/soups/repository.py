"""A merged model as a repository: configuration and tokenizer of its base, and a card that says how it was made."""

import glob
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from learners.soups.check.facts import Facts
from learners.soups.licences import Licences
from learners.soups.merging import Merge
from schemas import OutsideError, UsageError
from schemas.files import UNFINISHED

COPIED = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "chat_template.jinja"),
)
"""Files of the base that a merged model needs beside its weights. Code is never copied."""
LARGEST_COPIED = 200_000_000
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
        treatment: What was done to the models before and to the merged one after: `align`, `repair`.
        origins: The models that others published among them, and among what they were made of.
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


@contextmanager
def whole_folder(folder: Path, replace: bool) -> Iterator[Path]:
    """Yield a folder beside `folder` to write to; at the end of the block it is renamed to `folder`.

    When the block raises, or the process is killed, `folder` stays as it was.

    Args:
        folder: Where the repository goes.
        replace: Whether one that is there may be replaced.

    Raises:
        UsageError: The folder is there and is not to be replaced.
        OutsideError: The disk is full, or the place cannot be written.
    """
    check_free(folder, replace)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}{UNFINISHED}")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old{UNFINISHED}")
    try:
        beside.mkdir(parents=True)
        yield beside
        if folder.exists():
            folder.rename(old)
        beside.rename(folder)
        _clear_left(folder)
    except OSError as error:
        raise OutsideError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _clear_left(folder: Path) -> None:
    """Delete what killed runs to the same place have left beside it; what a run that goes on writes stays."""
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.*{UNFINISHED}"):
        number = path.name.removeprefix(f".{folder.name}.").split(".")[0]
        if number.isdigit() and int(number) != os.getpid() and not _runs(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def check_free(folder: Path, replace: bool) -> None:
    """Raise UsageError if a folder is there and not empty, unless it may be replaced."""
    if folder.is_file() or (not replace and folder.exists() and any(folder.iterdir())):
        raise UsageError(f"{folder} is there already; name another folder, or remove it")


def copy_of_base(base: Facts, folder: Path, ingredients: Sequence[Facts] = ()) -> list[str]:
    """Copy what a merged model needs of its base beside the weights; gives the files' names.

    The initialisation that the base's configuration names is left out unless all ingredients share it.
    """
    source = Path(base.location) if base.location else None
    copied = []
    for name in COPIED if source and source.is_dir() else ():
        path = (source or folder) / name
        if path.is_file() and path.stat().st_size <= LARGEST_COPIED:
            shutil.copyfile(path, folder / name)
            copied.append(name)
    if "config.json" not in copied and base.description is not None:
        content = {
            "model_type": f"weightlake-{base.description.architecture}",
            "weightlake": base.description.model_dump(),
        }
        _write_json(folder / "config.json", content)
        copied.append("config.json")
    if len({_init(facts) for facts in (base, *ingredients)}) > 1:
        _forget_init(folder / "config.json")
    return copied


def _init(facts: Facts) -> str | None:
    return facts.description.init if facts.description else None


def _forget_init(config: Path) -> None:
    """Take out where a model started."""
    content = json.loads(config.read_bytes()) if config.is_file() else None
    ours = content.get("weightlake") if isinstance(content, dict) else None
    if isinstance(ours, dict) and ours.get("init") is not None:
        ours["init"] = None
        _write_json(config, content)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


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
    parent = {"parent": recipe.parent.name} if recipe.parent else {}
    kept = {"keep": list(recipe.kept)} if recipe.kept else {}
    return parent | kept | dict(recipe.treatment) | ({"seed": recipe.merge.seed} if recipe.merge.seed else {}) | changed
