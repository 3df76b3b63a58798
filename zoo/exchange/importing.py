"""The front door for other people's zoos: a folder in one of the known formats becomes a population of the lake."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from schemas import DataError, Lake, OutsideError, UsageError
from schemas.files import UNFINISHED, tidy
from zoo.exchange.companion import FILE, Companion, read_companion
from zoo.exchange.fitting import misfit, told
from zoo.exchange.foreign import About, Block, ForeignZoo, Unreadable, member_names
from zoo.exchange.formats import format_of
from zoo.exchange.registering import Import, register
from zoo.exchange.stacking import Stacks
from zoo.exchange.torch_files import TorchFiles
from zoo.grid import plain_name

Progress = Callable[[int, int | None, str], None]
"""Hears of checkpoints read, None, and the member that was read last."""


def import_population(
    lake: Lake,
    path: str | Path,
    name: str,
    *,
    format: str | None = None,
    trust_torch_files: bool = False,
    architecture: str | None = None,
    dataset: str | None = None,
    progress: Progress | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> str:
    """Take a zoo that others have published into the lake, as a population like any other.

    Its weights are copied into the weight store, stacked. What it says of its members becomes columns of `member`
    where there are such, curves, measurements, and in any case rows of `statement`. A member of which no checkpoint
    can be read is a row with the state `failed` and the reason; what else could not be read is in `failure`.

    Args:
        lake: Where it goes.
        path: The zoo's folder.
        name: What the population is called; its population_id has a hash of the content behind it, so that the same
            zoo is imported once.
        format: `ray-tune`, `small-cnn-zoo` or `state-dicts`; without it the folder is looked at.
        trust_torch_files: Read files of torch.save, which are pickles: with weights_only=True, in a process that has
            limits of memory and time.
        architecture: The one of weightlake's architectures that computes what these networks do, where the format does
            not tell; their tensors have to have its names and shapes.
        dataset: The dataset on which weightlake measures these models.
        progress: Called as checkpoints are read.
        clock: Says when.

    Returns:
        The population_id.

    Raises:
        UsageError: The folder is in no such format, the files are not trusted, or a name or option cannot be.
        DataError: The zoo is damaged, its files do not fit together, or no weights of it can be read.
        OutsideError: The disk is full or cannot be written.
    """
    root = Path(path)
    try:
        plain_name(name)
    except ValueError as error:
        raise UsageError(f"name {name!r}: {error}") from error
    module = format_of(root, format)
    if (root / FILE).exists():
        lake.upgrade()  # a lake that is yet to be knows no columns
    companion = read_companion(lake, root)
    with TorchFiles(root, trusted=trust_torch_files) as torch_files:
        zoo: ForeignZoo = module.read(root, torch_files, companion)
        about = told(companion.about if companion is not None else zoo.about, architecture, dataset)
        lake.upgrade()
        return _taken(lake, root, name, zoo, about, companion, progress, clock())


def _taken(
    lake: Lake,
    root: Path,
    name: str,
    zoo: ForeignZoo,
    about: About,
    companion: Companion | None,
    progress: Progress | None,
    now: datetime,
) -> str:
    """Stack the weights beside their place, move them there once their hash says what it is called, and register."""
    names = member_names(zoo.members)
    if companion is not None:
        _take_columns(zoo, names, companion)
    beside = _place_beside(lake)
    stacks = Stacks(beside)
    try:
        failures = list(_stack(zoo, about, stacks, names, progress))
        placed = stacks.finish()
        if not placed:
            first = failures[0].reason if failures else "there is no checkpoint"
            raise DataError(f"{root} has no weights that can be read; of {names[0]}: {first}")
        imported = Import(root.resolve().name, name, zoo, names, about, companion, stacks, failures, now)
        population_id = f"{name}-{imported.sha256[:8]}"
        _move(beside, lake.weights.folder / population_id)
        with lake.write() as transaction:
            register(transaction, imported, population_id)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        with suppress(OSError):  # unless there are weights in it
            lake.weights.folder.rmdir()
    return population_id


def _place_beside(lake: Lake) -> Path:
    """A new folder of the weight store for shards whose name is not known yet."""
    try:
        lake.weights.folder.mkdir(parents=True, exist_ok=True)
        for _ in tidy(lake.weights.folder):  # what imports that were killed have left: whole zoos
            pass
        return Path(tempfile.mkdtemp(prefix=".importing-", suffix=UNFINISHED, dir=lake.weights.folder))
    except OSError as error:
        raise OutsideError(f"cannot write {lake.weights.folder}: {error.strerror or error}") from error


def _take_columns(zoo: ForeignZoo, names: list[str], companion: Companion) -> None:
    """Let members have the columns that the rows beside the zoo say: what their networks are built like."""
    rows = {row["member"]: row for row in companion.tables["member"].iter_rows(named=True)}
    for member, name in zip(zoo.members, names, strict=True):
        if known := rows.get(name):
            member.columns = {key: known[key] for key in ("width", "depth", "activation") if known[key] is not None}


def _stack(
    zoo: ForeignZoo, about: About, stacks: Stacks, names: list[str], progress: Progress | None
) -> Iterator[Unreadable]:
    """Stack every block; gives the checkpoints that could not be read or do not fit."""
    done = 0
    for block in zoo.blocks():
        if isinstance(block, Unreadable):
            yield block
            continue
        try:
            tensors = zoo.rename(block.tensors) if zoo.rename else block.tensors
        except DataError as error:
            yield from (Unreadable(member, block.epoch, str(error)) for member in block.members)
            continue
        reasons = {member: misfit(about, zoo.members[member], tensors) for member in block.members}
        yield from (Unreadable(member, block.epoch, reason) for member, reason in reasons.items() if reason)
        kept = [row for row, member in enumerate(block.members) if not reasons[member]]
        if kept:
            whole = len(kept) == len(block.members)
            chosen = tensors if whole else {key: tensor[kept] for key, tensor in tensors.items()}
            stacks.add(Block(block.epoch, [block.members[row] for row in kept], chosen))
        done += len(block.members)
        if progress:
            progress(done, None, names[block.members[-1]])


def _move(beside: Path, place: Path) -> None:
    """Put the shards into their place, over those of an earlier import of the same zoo."""
    try:
        if place.is_dir():
            for path in sorted(beside.iterdir()):
                path.replace(place / path.name)
        else:
            beside.chmod(0o755)
            beside.replace(place)
    except OSError as error:
        raise OutsideError(f"cannot write {place}: {error.strerror or error}") from error
