"""A merged model as a repository: whole or not there, with configuration and tokenizer of its base."""

import glob
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learners.soups.check.facts import Facts
from schemas import OutsideError, UsageError
from schemas.files import UNFINISHED
from zoo.locate import within

COPIED = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "bpe.codes", "chat_template.json", "chat_template.jinja"),
    *("spiece.model", "spm.model", "sentencepiece.model", "sentencepiece.bpe.model", "source.spm", "target.spm"),
    *("video_preprocessor_config.json", "open_clip_config.json"),
)
"""Files of the base that a merged model needs beside its weights. Code is never copied."""
LARGEST_COPIED = 200_000_000
TYPE_NAMES = ("torch_dtype", "dtype")
"""What configurations call the type of the weights."""


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
    """Raise UsageError if a folder is there and not empty, unless it may be replaced, or somebody is in it."""
    if not replace and Path.cwd().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder} is the folder that you are in, or one above it; name one inside of it")
    if folder.is_file() or (not replace and folder.exists() and any(folder.iterdir())):
        raise UsageError(f"{folder} is there already; name another folder, or remove it")


def copy_of_base(base: Facts, folder: Path, ingredients: Sequence[Facts] = (), dtype: str | None = None) -> list[str]:
    """Copy what a merged model needs of its base beside the weights; gives the files' names.

    The initialisation that the base's configuration names is left out unless all ingredients share it.

    Args:
        base: The model whose layout the merged one has.
        folder: Where the files go.
        ingredients: What is merged.
        dtype: Type that the weights are stored in, where that is not the base's: the configuration says so, too.

    Raises:
        DataError: A file of the base is a link that leads out of its folder.
    """
    copied = []
    for name in COPIED if base.repository else ():
        path = (base.repository or folder) / name
        if path.is_file() and path.stat().st_size <= LARGEST_COPIED:
            shutil.copyfile(within(path.parent, name), folder / name)
            copied.append(name)
    if "config.json" not in copied and (known := _known_configuration(base)):
        _write_json(folder / "config.json", known)
        copied.append("config.json")
    if len({_init(facts) for facts in (base, *ingredients)}) > 1:
        _forget_init(folder / "config.json")
    if dtype is not None:
        _say_type(folder / "config.json", dtype)
    return copied


def _known_configuration(base: Facts) -> dict[str, Any]:
    """What the lake knows of a model whose configuration is not on this machine: its hub's, or how it was built."""
    if base.config or base.description is None:
        return dict(base.config)
    built = base.description
    return {"model_type": f"weightlake-{built.architecture}", "weightlake": built.model_dump()}


def _init(facts: Facts) -> str | None:
    return facts.description.init if facts.description else None


def _forget_init(config: Path) -> None:
    """Take out where a model started."""
    content = json.loads(config.read_bytes()) if config.is_file() else None
    ours = content.get("weightlake") if isinstance(content, dict) else None
    if isinstance(ours, dict) and ours.get("init") is not None:
        ours["init"] = None
        _write_json(config, content)


def _say_type(config: Path, dtype: str) -> None:
    """Name another type where a configuration, or a part of it, names one: libraries load weights in that type."""
    content = json.loads(config.read_bytes()) if config.is_file() else None
    said = _with_type(content, dtype)
    if said != content:
        _write_json(config, said)


def _with_type(content: Any, dtype: str) -> Any:
    if not isinstance(content, dict):
        return content
    return {
        key: dtype if key in TYPE_NAMES and isinstance(value, str) else _with_type(value, dtype)
        for key, value in content.items()
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
