"""A folder of state dicts, a file a checkpoint, and a table that says which model each is and how it was trained.

The table is `metadata.csv`, `.csv.gz`, `.jsonl` or `.parquet`, or the only such file there is. Its column `file` names
a `.safetensors` or `.pt` file below the folder, `name` its model (without it each file is a model), `epoch` the epochs
that were done. Columns such as `learning_rate`, `lr`, `seed` or `test_accuracy` are understood, all others are kept.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from schemas import DataError, UsageError
from schemas.weights import read_safetensors, write_safetensors
from zoo.exchange.companion import Companion, is_companion
from zoo.exchange.fields import METRICS, TABLE, TEXT, columns, read_number, real_number, whole_number
from zoo.exchange.foreign import About, Block, ForeignMember, ForeignZoo, Unreadable, checked_shapes, inside
from zoo.exchange.outgoing import Outgoing, OutgoingMember
from zoo.exchange.table import ENDINGS, read_table
from zoo.exchange.torch_files import TorchFiles
from zoo.population import Weights

FORMAT = "state-dicts"
TABLE_NAME = "metadata"
FILE = ("file", "path", "filename", "file_name", "weights", "checkpoint")
NAME = ("name", "model", "model_id", "id")
EPOCH = ("epoch", "step", "training_iteration")
SAFE = ".safetensors"
TORCH = (".pt", ".pth", ".ckpt", ".bin")


def recognises(root: Path) -> bool:
    """Whether a folder has a table and files of weights."""
    return bool(_tables(root)) and any(path.suffix in (SAFE, *TORCH) for path in root.rglob("*"))


def read(root: Path, torch_files: TorchFiles, companion: Companion | None) -> ForeignZoo:
    """Open such a folder.

    Raises:
        DataError: There is no table, or rows and files do not fit together.
        UsageError: There are torch files, and they are not trusted.
    """
    path = _table(root)
    frame = read_table(root, path)
    said = {word: next((name for name in names if name in frame.columns), None) for word, names in WORDS.items()}
    if said["file"] is None or frame.is_empty():
        raise DataError(f"{path} has no column {FILE[0]}, or no rows; it has {', '.join(frame.columns[:12])}")
    members, files, unreadable = _members(frame, path.name, said)
    _check_files(root, path, files, len(unreadable))
    if found := next((root / file for _, _, file in files if not file.endswith(SAFE)), None):
        torch_files.check_trusted(found)

    def blocks() -> Iterator[Block | Unreadable]:
        yield from unreadable
        for number, epoch, file in files:
            yield _block(root, torch_files, number, epoch, file)

    about = companion.about if companion is not None else _about(frame)
    return ForeignZoo(FORMAT, members, blocks, about)


File = tuple[int, int, str]
"""Number of a member, epoch, and a file's path below the folder."""
WORDS = {"file": FILE, "name": NAME, "epoch": EPOCH}


def _members(
    frame: pl.DataFrame, source: str, said: dict[str, str | None]
) -> tuple[list[ForeignMember], list[File], list[Unreadable]]:
    """The members, for each row its member's number, its epoch and its file, and rows that name no such file."""
    members: dict[str, ForeignMember] = {}
    numbers: dict[str, int] = {}
    files: list[File] = []
    unreadable: list[Unreadable] = []
    for line, row in enumerate(frame.iter_rows(named=True), start=1):
        where = f"row {line} of {source}"
        name, epoch = _named(row, said, where), _epoch(row, said, where)
        if name not in members:
            members[name] = ForeignMember(name, statements={source: {}})
            numbers[name] = len(numbers)
        try:
            files.append((numbers[name], epoch, _file(row, said, where)))
        except DataError as error:
            unreadable.append(Unreadable(numbers[name], epoch, str(error)))
        rest = {key: value for key, value in row.items() if key not in said.values() and value is not None}
        _take_row(members[name], source, epoch, rest, where)
    _check_once(files, source)
    return list(members.values()), files, unreadable


def _named(row: dict[str, Any], said: dict[str, str | None], where: str) -> str:
    """A member's name: as it is said, or its file's; the row's where there is neither."""
    name = row[said["name"]] if said["name"] else None
    file = row[str(said["file"])]
    if name is None and said["name"]:
        raise DataError(f"{where} has no name; give it one in the column {said['name']}")
    if name is None and (not isinstance(file, str) or not file):
        return where
    return str(name) if name is not None else file.removesuffix(PurePosixPath(file).suffix)


def _epoch(row: dict[str, Any], said: dict[str, str | None], where: str) -> int:
    epoch = whole_number(read_number(row[said["epoch"]])) if said["epoch"] else 0
    if epoch is None or not 0 <= epoch < 2**31:
        raise DataError(f"{where} has no epoch that is a whole number")
    return epoch


def _file(row: dict[str, Any], said: dict[str, str | None], where: str) -> str:
    """The file that a row names; raises DataError for one that cannot be one of this folder."""
    file = row[str(said["file"])]
    if not isinstance(file, str) or not file or "\0" in file:
        raise DataError(f"{where} names no file")
    parts = PurePosixPath(file)
    if parts.is_absolute() or ".." in parts.parts or parts.suffix not in (SAFE, *TORCH):
        raise DataError(f"{where} names {file!r}; expected a file below the folder that ends in {SAFE} or {TORCH[0]}")
    return file


def _take_row(member: ForeignMember, source: str, epoch: int, row: dict[str, Any], where: str) -> None:
    """Take what a row says; what changes from row to row of a model is said of the epoch."""
    known = member.statements[source]
    for key, value in row.items():
        read = value if TABLE.get(key) in TEXT else read_number(value)
        if key in METRICS:
            member.take_metric(epoch, key, read, where)
        elif key not in known:
            known[key] = value
            member.columns |= {c: v for c, v in columns({key: read}, TABLE).items() if c not in member.columns}
        elif known[key] != value:
            known[f"{key} of epoch {epoch}"] = value
        if key not in (*METRICS, *TABLE) and (number := real_number(read)) is not None:
            member.measured.append((epoch, key, number))


def _check_once(files: list[File], source: str) -> None:
    if len({(number, epoch) for number, epoch, _ in files}) < len(files):
        raise DataError(f"{source} has a model twice at one epoch; expected each once")
    if len({file for *_, file in files}) < len(files):
        raise DataError(f"{source} names a file twice; expected each once")


def _check_files(root: Path, table: Path, files: list[File], failed: int) -> None:
    """Raise DataError for weights that no row names: they would be left out, and nobody would notice.

    As many may lie there as rows have failed or name what is not there, since those are reported.
    """
    named = {(root / file) for *_, file in files}
    lying = [path for path in sorted(root.rglob("*")) if path.suffix in (SAFE, *TORCH) and path.is_file()]
    failed += len(named.difference(lying))
    if len(left := [path for path in lying if path not in named]) > failed:
        raise DataError(f"{left[0]} (of {len(left)}) is in no row of {table.name}; name it there, or move it away")


def _block(root: Path, torch_files: TorchFiles, number: int, epoch: int, file: str) -> Block | Unreadable:
    try:
        path = inside(root, root / file)
        weights: Weights = read_safetensors(path) if file.endswith(SAFE) else torch_files.read(path)
        if not weights:
            raise DataError(f"{path} has no tensors")
        checked_shapes(weights)
    except DataError as error:
        return Unreadable(number, epoch, str(error))
    return Block(epoch, [number], {name: tensor[None] for name, tensor in weights.items()})


def _about(frame: pl.DataFrame) -> About:
    kinds = frame["architecture"].drop_nulls().unique().to_list() if "architecture" in frame.columns else []
    kind = f"{FORMAT}:{kinds[0]}" if len(kinds) == 1 and isinstance(kinds[0], str) else None
    data = frame["dataset"].drop_nulls().unique().to_list() if "dataset" in frame.columns else []
    return About(
        kind,
        data[0] if len(data) == 1 and isinstance(data[0], str) else None,
        unlike="a table of files does not say how their network computes",
    )


def _table(root: Path) -> Path:
    found = _tables(root)
    if not found:
        raise UsageError(f"{root} has no table: expected {TABLE_NAME}.csv, .jsonl or .parquet with a column file")
    named = [path for path in found if path.name.partition(".")[0] == TABLE_NAME]
    chosen = named or found
    if len(chosen) > 1:
        raise UsageError(
            f"{root} has several tables ({', '.join(path.name for path in chosen)}); call one {TABLE_NAME}"
        )
    return chosen[0]


def _tables(root: Path) -> list[Path]:
    return [
        path
        for path in sorted(root.iterdir())
        if path.name.endswith(ENDINGS) and not is_companion(path.name) and path.is_file()
    ]


def write(outgoing: Outgoing, folder: Path) -> dict[str, str]:
    """Write a population as a safetensors file a checkpoint, and metadata.csv.

    Raises:
        OutsideError: The disk is full or cannot be written.
        OSError: The table cannot be written.
    """
    for block in outgoing.blocks():
        for row, number in enumerate(block.members):
            weights = {name: tensor[row] for name, tensor in block.tensors.items()}
            write_safetensors(folder / _file_of(outgoing.members[number], block.epoch), weights)
    rows = [_row_of(outgoing, member, epoch) for member in outgoing.members for epoch in member.epochs]
    pl.from_dicts(rows, infer_schema_length=None).write_csv(folder / f"{TABLE_NAME}.csv")
    return {}


def _file_of(member: OutgoingMember, epoch: int) -> str:
    return f"{member.name}-e{epoch}{SAFE}"


def _row_of(outgoing: Outgoing, member: OutgoingMember, epoch: int) -> dict[str, Any]:
    """A row of the table: what it said where the member came from one, and the columns of `member` otherwise."""
    tables = [said for source, said in member.statements.items() if source.endswith(ENDINGS)]
    said = {key: value for key, value in tables[0].items() if " of epoch " not in key} if tables else {}
    kept = {"architecture": outgoing.architecture, "dataset": outgoing.population["dataset"]} if not tables else {}
    known = member.columns if not tables else {}
    scalars = {key: value for key, value in said.items() if not isinstance(value, list | dict)}
    scores = {**member.curve.get(epoch, {}), **member.measured.get(epoch, {})}
    return {
        FILE[0]: _file_of(member, epoch),
        NAME[0]: member.name,
        EPOCH[0]: epoch,
        **kept,
        **known,
        **scalars,
        **scores,
    }
