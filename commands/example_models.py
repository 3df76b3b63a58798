"""A made-up family of models to try things on, with cards, licences and weights, and what a hub says of them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

TEXT = "text-generation"


@dataclass(frozen=True)
class Example:
    """A model of the example: what its card's front matter and text say, and how often it was downloaded."""

    name: str
    created: str
    downloads: int
    fields: Mapping[str, Any]
    text: str = ""
    width: int | None = 8  # of its weights; None for a repository without any


def _of(base: str, relation: str | None = None, **more: Any) -> dict[str, Any]:
    """The front matter of a model that was made of others, named with a space between."""
    return {"base_model": base.split(), **({"base_model_relation": relation} if relation else {}), **more}


WHOLE = {"pipeline_tag": TEXT, "library_name": "transformers"}
USES = "## Intended uses\n\nTalking about trees, in English. Not for medical or legal advice.\n"
DATA = "## Training data\n\n40,000 descriptions of trees, written for this example.\n"
LIMITS = "## Limitations\n\nIt has never seen a cactus and will invent one.\n"
RESULTS = "## Evaluation results\n\nPerplexity 12.5 on 1,000 held-out descriptions.\n"
MODELS = (
    Example(
        "grove/oak", "2024-03-01", 90_000, {"license": "apache-2.0", "language": "en", **WHOLE}, USES + DATA + LIMITS
    ),
    Example(
        "grove/oak-chat",
        "2024-05-20",
        31_000,
        _of("grove/oak", "finetune", license="apache-2.0", **WHOLE),
        USES + RESULTS,
    ),
    Example("grove/oak-large", "2024-06-02", 12_000, {"license": "apache-2.0", **WHOLE}, USES, width=32),
    Example(
        "meadow/oak-poems",
        "2024-07-11",
        2_400,
        _of("grove/oak", "finetune", license="cc-by-nc-4.0", pipeline_tag=TEXT),
        DATA,
    ),
    Example("meadow/oak-recipes", "2024-08-09", 310, _of("grove/oak", "finetune", license="apache-2.0")),
    Example("meadow/oak-chat-lora", "2024-09-15", 820, _of("grove/oak-chat", "adapter", library_name="peft"), width=2),
    Example("shore/oak-chat-int8", "2024-06-01", 17_500, _of("grove/oak-chat", "quantized", license="apache-2.0")),
    Example(
        "shore/oak-chat-int4", "2024-06-01", 9_100, _of("grove/oak-chat", "quantized", license="apache-2.0"), width=4
    ),
    Example("shore/oak-poems-int8", "2024-10-03", 95, _of("meadow/oak-poems", "quantized", license="mit")),
    Example(
        "shore/oak-duet", "2024-11-22", 1_300, _of("grove/oak-chat meadow/oak-poems", "merge", license="apache-2.0")
    ),
    Example("shore/untitled", "2025-01-14", 3, {}, width=None),
)


def write_example(folder: Path) -> Path:
    """Write the example's repositories as folder/owner/name and give the folder."""
    for example in MODELS:
        repository = folder / example.name
        repository.mkdir(parents=True)
        front = "".join(f"{key}: {json.dumps(value)}\n" for key, value in example.fields.items())
        if front:
            card = f"---\n{front}---\n# {example.name}\n\n{example.text}"
            (repository / "README.md").write_text(card, encoding="utf-8")
        if example.width is not None:
            save_file(_weights(example), repository / "model.safetensors")
    return folder


def record(folder: Path, example: Example) -> dict[str, Any]:
    """Give the record that the Hub would list of a model whose repository lies below a folder."""
    fields = example.fields
    said = {"license": [fields.get("license")], "base_model": fields.get("base_model") or []}
    moment = f"{example.created}T12:00:00.000Z"
    return {
        "id": example.name,
        "modelId": example.name,
        "sha": hashlib.sha1(example.name.encode(), usedforsecurity=False).hexdigest(),
        **dict.fromkeys(("private", "gated", "disabled"), False),
        "downloads": example.downloads,
        "likes": example.downloads // 500,
        "tags": [f"{kind}:{value}" for kind, values in said.items() for value in values if value],
        "createdAt": moment,
        "lastModified": moment,
        "siblings": [{"rfilename": path.name} for path in sorted((folder / example.name).iterdir())],
        "cardData": dict(fields),
        **{key: fields[key] for key in ("pipeline_tag", "library_name") if key in fields},
    }


def _weights(example: Example) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    width = example.width or 0
    kind = np.int8 if example.name.endswith("int8") else np.float32
    return {"embedding.weight": np.zeros((256, width), kind), "head.weight": np.zeros((256, width), kind)}
