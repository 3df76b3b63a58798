"""Ray Tune folders, as the model zoos of "Model Zoos" (Schürholt et al., 2022) and those after it were published.

A folder a trial: `params.json` says how it was trained, `result.json` has a line of JSON for each epoch, and
`checkpoint_NNNNNN/checkpoints` is the state dict after that many epochs, written by torch.save.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from schemas import DataError
from zoo.exchange.companion import Companion
from zoo.exchange.fields import METRICS, RAY_TUNE, columns, real_number, whole_number
from zoo.exchange.foreign import Block, ForeignMember, ForeignZoo, Unreadable, checked_shapes, read_bounded
from zoo.exchange.outgoing import Outgoing, OutgoingMember
from zoo.exchange.small_network import CLASSES, SIDE, about_network, listed_names, renamed
from zoo.exchange.torch_files import TorchFiles

FORMAT = "ray-tune"
CHECKPOINT = re.compile(r"checkpoint_(\d{1,9})")
WEIGHTS = "checkpoints"
SETTINGS = ("params.json", "config.json")
RESULTS = "result.json"
EPOCH = "training_iteration"
LONGEST_REASON = 200
LONGEST_SETTINGS = 2**20
LONGEST_RESULTS = 2**28
LINE = {
    f"{split}_{ours}": f"{split}_{theirs}"
    for split in ("train", "test", "val")
    for ours, theirs in (("loss", "loss"), ("accuracy", "acc"))
}
"""What a line of result.json calls a curve, by weightlake's word."""
OF_EPOCHS = " of each epoch"
UNTRAINED = -999
"""What stands for training metrics in the line of epoch 0, before there was any training."""
OF_RAY = {
    *("time_this_iter_s", "time_total_s", "time_since_restore", "timestamp", "warmup_time", "pid"),
    *("timesteps_total", "timesteps_since_restore", "iterations_since_restore", "episodes_total"),
}
"""Numbers by which Ray keeps its books; they say nothing of the model and are kept as statements."""


def recognises(root: Path) -> bool:
    """Whether a folder has trials in it."""
    return any(_is_trial(folder) for folder in _folders(root))


def read(root: Path, torch_files: TorchFiles, companion: Companion | None) -> ForeignZoo:
    """Open the folder of an experiment; `companion` is what weightlake has put beside it, if it wrote it.

    Raises:
        DataError: There is no trial in it.
        UsageError: The torch files are not trusted.
    """
    trials = [folder for folder in _folders(root) if _is_trial(folder)]
    if not trials:
        raise DataError(f"{root} has no trials: expected folders with {SETTINGS[0]}, {RESULTS} and checkpoint_NNNNNN")
    members = [read_trial(root, folder) for folder in trials]
    checkpoints = [_checkpoints(folder, member) for folder, member in zip(trials, members, strict=True)]
    if found := next((path for paths in checkpoints for path in paths.values()), None):
        torch_files.check_trusted(found)

    def blocks() -> Iterator[Block | Unreadable]:
        for number, paths in enumerate(checkpoints):
            for epoch, path in sorted(paths.items()):
                yield _block(torch_files, number, epoch, path)

    if companion is not None:
        ours = companion.population.architecture == "cnn"
        return ForeignZoo(FORMAT, members, blocks, companion.about, rename=renamed if ours else None)
    settings = [member.statements.get("params.json", {}) for member in members]
    about = about_network(FORMAT, settings)
    if about.architecture != "cnn":
        return ForeignZoo(FORMAT, members, blocks, about)
    for member in members:
        member.columns["width"] = 8  # the one that they all have
    return ForeignZoo(FORMAT, members, blocks, about, rename=renamed)


def read_trial(root: Path, folder: Path) -> ForeignMember:
    """Read what a trial's folder says; what of it cannot be read is among the member's problems."""
    member = ForeignMember(folder.name)
    settings = _settings(root, folder, member)
    member.columns = columns(settings, RAY_TUNE)
    if settings:
        member.statements["params.json"] = settings
    lines = _lines(root, folder, member)
    if "epochs" not in member.columns and lines:
        member.columns["epochs"] = max(lines)
    for epoch, line in sorted(lines.items()):
        _take_line(member, epoch, line)
    others = {key for line in lines.values() for key in line if not _is_finding(key, line[key])} - {EPOCH}
    said = dict(
        _over_epochs(key, {epoch: line[key] for epoch, line in lines.items() if key in line}, len(lines))
        for key in sorted(others)
    )
    said = {key: value for key, value in said.items() if key != "config" or value != settings}
    if said:
        member.statements[RESULTS] = said
    return member


def _take_line(member: ForeignMember, epoch: int, line: Mapping[str, Any]) -> None:
    """Take the numbers of an epoch: curves, and others as measurements."""
    for key, value in line.items():
        if not _is_finding(key, value):
            continue
        split, metric = METRICS.get(key, (None, key))
        if split == "train" and epoch == 0 and value == UNTRAINED:
            continue
        number = real_number(value)
        if number is None:
            member.diverged = member.diverged or (epoch, f"{key} is {value}"[:LONGEST_REASON])
        elif split is None:
            member.measured.append((epoch, metric, number))
        else:
            member.curve.append((epoch, split, metric, number))


def _is_finding(key: str, value: Any) -> bool:
    """Whether it is a number that says something of the model."""
    return isinstance(value, int | float) and not isinstance(value, bool) and key not in {*OF_RAY, EPOCH}


def _over_epochs(key: str, values: Mapping[int, Any], lines: int) -> tuple[str, Any]:
    """One value where all lines say the same; otherwise those of the epochs, under a name that says so."""
    first = next(iter(values.values()))
    if len(values) == lines and all(value == first for value in values.values()):
        return key, first
    return f"{key}{OF_EPOCHS}", {str(epoch): value for epoch, value in sorted(values.items())}


def _settings(root: Path, folder: Path, member: ForeignMember) -> dict[str, Any]:
    path = next((folder / name for name in SETTINGS if (folder / name).is_file()), folder / SETTINGS[0])
    try:
        found = json.loads(read_bounded(root, path, LONGEST_SETTINGS))
    except DataError as error:
        member.problems.append(str(error))
        return {}
    except (ValueError, RecursionError) as error:
        member.problems.append(f"{path.name} is no JSON: {error}")
        return {}
    if not isinstance(found, dict):
        member.problems.append(f"{path.name} is no JSON object")
        return {}
    return found


def _lines(root: Path, folder: Path, member: ForeignMember) -> dict[int, dict[str, Any]]:
    """The lines of result.json by epoch; of two with the same epoch, as a trial leaves that was restored, the last."""
    try:
        content = read_bounded(root, folder / RESULTS, LONGEST_RESULTS)
    except DataError as error:
        member.problems.append(str(error))
        return {}
    lines: dict[int, dict[str, Any]] = {}
    for number, text in enumerate(content.splitlines(), start=1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            member.problems.append(f"line {number} of {RESULTS} is cut off or no JSON: {error}")
            continue
        epoch = whole_number(line.get(EPOCH)) if isinstance(line, dict) else None
        if epoch is None or not 0 <= epoch < 2**31:
            member.problems.append(f"line {number} of {RESULTS} says no {EPOCH}")
            continue
        if epoch in lines:
            member.problems.append(f"epoch {epoch} stands more than once in {RESULTS}; the last is taken")
        lines[epoch] = line
    return lines


def _checkpoints(folder: Path, member: ForeignMember) -> dict[int, Path]:
    """The torch file of each epoch."""
    found: dict[int, Path] = {}
    for inner in sorted(_folders(folder)):
        match = CHECKPOINT.fullmatch(inner.name)
        if match is None:
            continue
        epoch = int(match[1])
        if epoch in found or epoch >= 2**31:
            member.problems.append(f"{inner.name}: there is another checkpoint of epoch {epoch}")
        elif not (inner / WEIGHTS).exists():
            member.problems.append(f"{inner.name} has no file {WEIGHTS}")
        else:
            found[epoch] = inner / WEIGHTS
    return found


def _block(torch_files: TorchFiles, number: int, epoch: int, path: Path) -> Block | Unreadable:
    try:
        weights = torch_files.read(path)
        checked_shapes(weights)
    except DataError as error:
        return Unreadable(number, epoch, str(error))
    return Block(epoch, [number], {name: tensor[None] for name, tensor in weights.items()})


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror or error}") from error


def _is_trial(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (*SETTINGS, RESULTS)) or any(
        CHECKPOINT.fullmatch(inner.name) for inner in _folders(folder)
    )


def write(outgoing: Outgoing, folder: Path) -> dict[str, str]:
    """Write a population as trials; weightlake's cnn gets the names of the zoos' list of layers.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    for member in outgoing.members:
        place = folder / member.name
        place.mkdir()
        settings = _settings_of(outgoing, member)
        (place / SETTINGS[0]).write_text(json.dumps(settings, indent=2), encoding="utf-8")
        lines = [json.dumps(line) for line in _lines_of(member, settings)]
        (place / RESULTS).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    for block in outgoing.blocks():
        for row, number in enumerate(block.members):
            member = outgoing.members[number]
            names = listed_names(member.columns.get("dropout")) if outgoing.architecture == "cnn" else {}
            inner = folder / member.name / f"checkpoint_{block.epoch:06d}"
            inner.mkdir()
            weights = {names.get(name, name): tensor[row].clone() for name, tensor in block.tensors.items()}
            torch.save(OrderedDict(weights), inner / WEIGHTS)
    return {}


def _settings_of(outgoing: Outgoing, member: OutgoingMember) -> dict[str, Any]:
    """What params.json says: what it said where the member came from one, and the columns of `member` otherwise."""
    if known := member.statements.get(SETTINGS[0]):
        return known
    words = {column: word for word, column in RAY_TUNE.items()}
    shape, classes = outgoing.population["input_shape"], outgoing.population["classes"]
    theirs = (member.columns.get("width"), shape and shape[1:], classes) == (8, [SIDE, SIDE], CLASSES)
    kind = "CNN" if outgoing.architecture == "cnn" and theirs else outgoing.architecture
    said = {words.get(column, column): value for column, value in member.columns.items()}
    defaults = {"model::dropout": 0.0, "model::nlin": "tanh" if kind == "CNN" else None}
    return {"model::type": kind, "model::channels_in": shape and shape[0], "model::o_dim": classes, **defaults, **said}


def _lines_of(member: OutgoingMember, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A line an epoch without gaps, since readers count lines: from 0 where that has a checkpoint, otherwise from 1."""
    epochs = [*member.epochs, *member.curve, *member.measured]
    said = member.statements.get(RESULTS, {})
    same = {key: value for key, value in said.items() if not key.endswith(OF_EPOCHS)}
    varied = {key.removesuffix(OF_EPOCHS): value for key, value in said.items() if key.endswith(OF_EPOCHS)}
    for epoch in range(0 if 0 in epochs else 1, max(epochs) + 1):
        known = {long: member.curve.get(epoch, {}).get(short) for short, long in LINE.items()}
        if epoch == 0:
            known |= {name: UNTRAINED for name in ("train_loss", "train_acc") if known[name] is None}
        kept = {name: value for name, value in known.items() if value is not None or not name.startswith("val_")}
        own = {key: values[str(epoch)] for key, values in varied.items() if str(epoch) in values}
        yield {
            **same,
            **own,
            **kept,
            **member.measured.get(epoch, {}),
            EPOCH: epoch,
            "config": own.get("config", same.get("config", settings)),
        }
