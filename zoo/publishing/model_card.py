"""Writes the model card of a trained or made model: front matter for hubs, sections for people."""

from collections.abc import Mapping
from typing import Any

from zoo.describe import Description
from zoo.publishing.written import front_matter

CARD = """---
{front_matter}---

# {name}

{summary}

## Model description

{kind} for images of {channels} x {height} x {columns} pixels with {classes} classes: architecture `{architecture}` at
width {width}, {parameters:,} parameters.

## Training data

The dataset `{dataset}`, split into train, validation and test with seed {split_seed}.

## Training procedure

{procedure}

## Evaluation

{evaluation}

## How to use

```python
from miners import mine
from schemas import open_lake
from zoo.load import load_module

with open_lake("lake") as lake:
    mine(lake, "local", folder="repositories")  # holds this repository as {repository}/
    model = load_module(lake, "local:{repository}")
```

The weights are in `model.safetensors`; what it takes to run them is in `config.json` under `weightlake`.

## Limitations

It was made to study populations of models, not to be used: it is small, and knows nothing but small images of this
one dataset.
"""

KINDS = {"cnn": "A convolutional network", "mlp": "A multilayer perceptron"}
SETTINGS = ("batch_size", "learning_rate", "weight_decay", "label_noise", "epochs", "seed", "init_seed")


def model_card(
    model: Mapping[str, Any],
    description: Description,
    ingredients: Mapping[str, str | None],
    license_id: str | None,
    repository: str,
) -> str:
    """Write a model's card.

    Args:
        model: Its row of the view `models`.
        description: How it is built and what it was trained on.
        ingredients: What a made model was made of: model_id -> its repository where the card is published, or None
            if it has none there; nothing for a trained model.
        license_id: Licence as hubs name it, e.g. `cc0-1.0`; None says nothing of it.
        repository: owner/name under which the model is published.
    """
    channels, height, columns = description.input_shape
    return CARD.format(
        front_matter=front_matter(_front_matter(model, description, ingredients, license_id)),
        name=model["name"],
        summary=_summary(model, ingredients),
        kind=KINDS.get(description.architecture, "A network"),
        channels=channels,
        height=height,
        columns=columns,
        classes=description.classes,
        architecture=description.architecture,
        width=description.width,
        parameters=model["parameters"],
        dataset=dataset_name(description),
        split_seed=description.split_seed,
        procedure=_procedure(model, description, ingredients),
        evaluation=_evaluation(model),
        repository=repository,
    )


def dataset_name(description: Description) -> str:
    """The dataset without the folder in which it lies on this machine."""
    return description.dataset.rpartition("/")[2].removeprefix("npz:").removesuffix(".npz")


def _front_matter(
    model: Mapping[str, Any], description: Description, ingredients: Mapping[str, str | None], license_id: str | None
) -> dict[str, object]:
    dataset = dataset_name(description)
    return {
        "license": license_id,
        "library_name": "weightlake",
        "pipeline_tag": "image-classification",
        "datasets": [dataset],
        "metrics": ["accuracy"],
        "tags": ["weightlake", "model-zoo", description.architecture, *([model["method"]] if ingredients else [])],
        "base_model": [repository for repository in ingredients.values() if repository],
        "base_model_relation": "merge" if any(ingredients.values()) else None,
        "model-index": _model_index(model, dataset),
    }


def _model_index(model: Mapping[str, Any], dataset: str) -> list[dict[str, object]]:
    if model["test_accuracy"] is None:
        return []
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": dataset, "type": dataset, "split": "test"},
        "metrics": [{"type": "accuracy", "value": round(model["test_accuracy"], 6)}],
    }
    return [{"name": model["name"], "results": [result]}]


def _summary(model: Mapping[str, Any], ingredients: Mapping[str, str | None]) -> str:
    if ingredients:
        return f"The average of the weights of {len(ingredients)} models ({model['method'].replace('_', ' ')})."
    return f"One of the models of the population `{model['population_id']}`."


def _procedure(model: Mapping[str, Any], description: Description, ingredients: Mapping[str, str | None]) -> str:
    if ingredients:
        made_of = "\n".join(f"- `{ingredient}`" for ingredient in ingredients)
        return f"Nothing was trained for it. Its ingredients are:\n\n{made_of}"
    rows = "\n".join(f"| {key.replace('_', ' ')} | {model[key]} |" for key in SETTINGS if model[key] is not None)
    diverged = "" if model["state"] == "trained" else "\n\nThe training diverged; these are the last finite weights."
    init = f"`{description.init}`" if description.init else "not known"
    return f"| setting | value |\n| --- | --- |\n{rows}\n| initial weights | {init} |{diverged}"


def _evaluation(model: Mapping[str, Any]) -> str:
    if model["test_accuracy"] is None:
        return "Not evaluated."
    shares = (("validation", model["validation_accuracy"]), ("test", model["test_accuracy"]))
    rows = "\n".join(f"| {split} | {value:.4f} |" for split, value in shares if value is not None)
    return f"| split | accuracy |\n| --- | --- |\n{rows}"
