"""Small transformers in folders, made as their own library makes them, and a lake in which they are mined."""

from pathlib import Path
from typing import Any

import torch

from miners import mine
from schemas import Lake, open_lake

VOCABULARY = 64


def write_transformer(folder: Path, seed: int, base: Path | None = None, *, shard: str = "5GB", **changes: Any) -> Path:
    """Write a small Llama, or one whose weights are a little away from those of `base`."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(seed)
    if base is None:
        model = AutoModelForCausalLM.from_config(LlamaConfig(**{**settings, **changes}))  # type: ignore[no-untyped-call] # it has no types
    else:
        model = AutoModelForCausalLM.from_pretrained(base)
        shared = torch.Generator().manual_seed(99)  # what all fine-tunes learn, beside what each does
        with torch.no_grad():
            for parameter in model.parameters():
                common = torch.randn(parameter.shape, generator=shared)
                parameter.add_(0.01 * (common + torch.randn_like(parameter)))
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    return folder


def card(folder: Path, licence: str | None, base: str | None = None) -> None:
    """Give a model a card that states its licence and what it was fine-tuned from."""
    fields = [f"license: {licence}"] if licence else []
    fields += [f"base_model: {base}", "base_model_relation: finetune"] if base else []
    (folder / "README.md").write_text("\n".join(["---", *fields, "---", "# A model"]))


def mined(folder: Path, lake: Path) -> Lake:
    """Mine a folder of repositories into a lake."""
    opened = open_lake(lake)
    mine(opened, "local", folder=folder)
    return opened
