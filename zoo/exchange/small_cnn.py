"""The layout of the Small CNN Zoo ("Predicting Neural Network Accuracy from Weights", Unterthiner et al., 2020).

`weights.npy` is a matrix of float32 with a row a checkpoint; `layout.csv` says which of its columns are which tensor
(`varname`, `start_idx`, `end_idx`, `size`, `shape`), `metrics.csv.gz` has a row a checkpoint, in the matrix's order:
how it was trained (`config.*`), `modeldir`, `step` (epochs done), and loss and accuracy. Kernels are laid out as Keras
does it: height, width, inputs, outputs. What is imported keeps names and shapes; what weightlake exported gets its own
back.
"""

import gzip
import inspect
import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas import DataError, UsageError
from zoo.architectures import ARCHITECTURES
from zoo.exchange.companion import Companion
from zoo.exchange.fields import METRICS, SMALL_CNN, TEXT, columns, read_number, real_number, whole_number
from zoo.exchange.foreign import About, Block, ForeignMember, ForeignZoo, Unreadable, inside
from zoo.exchange.keras_layout import LAYOUT, Columns, as_keras, as_torch, keras_name, read_layout
from zoo.exchange.outgoing import Outgoing, OutgoingMember
from zoo.exchange.table import read_table
from zoo.exchange.torch_files import TorchFiles
from zoo.population import Weights

FORMAT = "small-cnn-zoo"
WEIGHTS = "weights.npy"
METRICS_FILES = ("metrics.csv.gz", "metrics.csv")
PUBLISHED = (
    *("config.activation", "config.b_init", "config.dataset", "config.dnn_architecture", "config.dropout"),
    *("config.epochs", "config.epochs_between_checkpoints", "config.init_std", "config.l2reg", "config.learning_rate"),
    *("config.num_layers", "config.num_units", "config.optimizer", "config.random_seed", "config.train_fraction"),
    *("config.w_init", "modeldir", "step", "test_accuracy", "test_loss", "train_accuracy", "train_loss"),
)
"""The columns that the zoo's authors list, in their order. An export has all of them, empty where nothing is known."""
ROW_BYTES = 8192
"""What a row of metrics may have in text."""
ROWS_AT_ONCE = 8192


def recognises(root: Path) -> bool:
    """Whether a folder has the three files."""
    return (root / WEIGHTS).is_file() and (root / LAYOUT).is_file()


def read(root: Path, torch_files: TorchFiles, companion: Companion | None) -> ForeignZoo:
    """Open such a folder; the matrix is mapped and read as its rows are asked for.

    Raises:
        DataError: A file is missing or damaged, or they do not fit together.
    """
    matrix = _matrix(root)
    layout = read_layout(root, matrix.shape[1])
    metrics = _metrics(root, matrix.shape[0])
    parts = metrics.with_row_index("row").partition_by("run", maintain_order=True)
    varying = _varying(metrics)
    members = [_member(part, varying) for part in parts]
    _tell_apart(members, [part["run"][0] for part in parts])
    rows = [part.select("epoch", "row") for part in parts]
    number = pl.concat([part.with_columns(member=pl.lit(index)) for index, part in enumerate(rows)])
    names = companion.names if companion is not None else None

    def blocks() -> Iterator[Block | Unreadable]:
        for (epoch,), each in sorted(number.group_by("epoch", maintain_order=True), key=lambda pair: str(pair[0])):
            for piece in each.sort("row").iter_slices(ROWS_AT_ONCE):
                taken = torch.from_numpy(matrix[piece["row"].to_numpy()])
                yield Block(int(str(epoch)), piece["member"].to_list(), _tensors(taken, layout, names))

    architecture = _only(metrics, "config.dnn_architecture")
    about = About(
        f"{FORMAT}:{architecture or 'cnn'}",
        dataset=_only(metrics, "config.dataset"),
        unlike="its networks have three convolutions of stride 2 and a mean over the map, which weightlake has not",
    )
    said = [[part.name, part.start, part.end, list(part.shape)] for part in layout]
    return ForeignZoo(FORMAT, members, blocks, companion.about if companion else about, {"layout": said})


def _matrix(root: Path) -> NDArray[np.float32]:
    path = inside(root, root / WEIGHTS)
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError) as error:
        raise DataError(f"{path} is no file of numpy that can be read: {error}") from error
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype != np.dtype("<f4") or 0 in matrix.shape:
        found = f"{matrix.dtype} {list(matrix.shape)}" if isinstance(matrix, np.ndarray) else type(matrix).__name__
        raise DataError(f"{path} holds {found}; expected float32 of two axes, a row a checkpoint")
    return matrix


def _metrics(root: Path, rows: int) -> pl.DataFrame:
    """The rows of metrics, with columns `run` (what a member is) and `epoch`."""
    path = next((root / name for name in METRICS_FILES if (root / name).exists()), root / METRICS_FILES[0])
    frame = read_table(root, path, most=2**20 + ROW_BYTES * rows)
    if frame.height != rows:
        raise DataError(f"{path} has {frame.height:,} rows and {WEIGHTS} has {rows:,}; expected a row for each")
    if "step" not in frame.columns or "modeldir" not in frame.columns:
        raise DataError(f"{path} has no column modeldir or step; it has {', '.join(frame.columns[:12])}")
    epochs = [whole_number(read_number(value)) for value in frame["step"].to_list()]
    bad = [number for number, epoch in enumerate(epochs) if epoch is None or not 0 <= epoch < 2**31]
    if bad:
        raise DataError(f"{path}: step of row {bad[0] + 1} is {frame['step'][bad[0]]!r}; expected a whole number")
    runs = frame["modeldir"].cast(pl.String).fill_null("")
    known = frame.with_columns(run=runs, epoch=pl.Series(epochs, dtype=pl.Int64))
    twice = known.filter(pl.struct("run", "epoch").is_duplicated())
    if twice.height:
        raise DataError(f"{path} has {twice['run'][0]!r} at step {twice['epoch'][0]} more than once")
    return known


def _varying(metrics: pl.DataFrame) -> list[str]:
    """Columns that say something of a checkpoint and not of a model."""
    others = [name for name in metrics.columns if name not in ("run", "epoch", "modeldir", "step", *METRICS)]
    counts = metrics.group_by("run").agg(pl.col(name).n_unique() for name in others).drop("run").max()
    return [name for name in others if counts[name][0] > 1]


def _member(part: pl.DataFrame, varying: list[str]) -> ForeignMember:
    said = {name: value for name, value in part.row(0, named=True).items() if name not in OURS and name not in METRICS}
    fixed = {name: value for name, value in said.items() if name not in varying and value is not None}
    whole = str(said.get("modeldir") or "")
    read = {name: value if SMALL_CNN.get(name) in TEXT else read_number(value) for name, value in fixed.items()}
    member = ForeignMember(
        whole.rstrip("/").rpartition("/")[2] or whole, columns(read, SMALL_CNN), {"metrics.csv": fixed}
    )
    for row in part.iter_rows(named=True):
        _take_row(member, row, varying)
    return member


def _tell_apart(members: list[ForeignMember], folders: list[str]) -> None:
    """Members are called as the last part of their folders, and as all of it where others end alike."""
    times = Counter(member.name for member in members)
    for member, folder in zip(members, folders, strict=True):
        if times[member.name] > 1:
            member.name = folder


OURS = ("run", "epoch", "row", "step")


def _take_row(member: ForeignMember, row: dict[str, Any], varying: list[str]) -> None:
    epoch = row["epoch"]
    for name in (name for name in METRICS if name in row):
        member.take_metric(epoch, name, read_number(row[name]), f"row {row['row'] + 1} of metrics.csv")
    for name in varying:
        if (number := real_number(read_number(row[name]))) is not None:
            member.measured.append((epoch, name, number))
        elif row[name] is not None:
            member.statements["metrics.csv"][f"{name} of step {epoch}"] = row[name]


def _tensors(rows: Tensor, layout: list[Columns], names: dict[str, str] | None) -> Weights:
    """Cut rows of the matrix into tensors; with names they get those, and kernels torch's order of axes."""
    cut = {part.name: rows[:, part.start : part.end].reshape(len(rows), *part.shape) for part in layout}
    if not names:
        return {name: tensor.contiguous() for name, tensor in cut.items()}
    return {names.get(name, name): as_torch(name, tensor).contiguous() for name, tensor in cut.items()}


def _only(metrics: pl.DataFrame, name: str) -> str | None:
    values = metrics[name].drop_nulls().unique().to_list() if name in metrics.columns else []
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def write(outgoing: Outgoing, folder: Path) -> dict[str, str]:
    """Write a population as one matrix; tensors of weightlake get Keras' names and order of axes.

    Returns:
        weightlake's names of tensors by those of the layout; empty where the population was imported in this format.

    Raises:
        UsageError: Members have different shapes, or tensors that are not float32.
        OSError: The disk is full or cannot be written.
    """
    layout, names = _layout_of(outgoing)
    place = {(n, epoch): 0 for n, member in enumerate(outgoing.members) for epoch in member.epochs}
    place = {key: row for row, key in enumerate(place)}
    matrix = np.lib.format.open_memmap(
        folder / WEIGHTS, mode="w+", dtype=np.float32, shape=(len(place), layout[-1].end)
    )
    for block in outgoing.blocks():
        rows = [place[member, block.epoch] for member in block.members]
        for part in layout:
            tensor = block.tensors[names.get(part.name, part.name)]
            stacked = as_keras(part.name, tensor) if names else tensor
            matrix[rows, part.start : part.end] = stacked.reshape(len(rows), -1).numpy()
    matrix.flush()
    _write_tables(outgoing, folder, layout)
    return names


def _layout_of(outgoing: Outgoing) -> tuple[list[Columns], dict[str, str]]:
    """The columns of the matrix, and weightlake's names of tensors where those are others."""
    shapes: dict[str, tuple[int, ...]] = {}
    for shard in outgoing.checkpoints["shard"].unique(maintain_order=True):
        tensors = outgoing.lake.weights.read_members(shard, [0])
        if odd := [name for name, tensor in tensors.items() if tensor.dtype != torch.float32]:
            raise UsageError(f"tensor {odd[0]} is {tensors[odd[0]].dtype}, and {FORMAT} holds float32; take {OTHERS}")
        found = {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()}
        if shapes and found != shapes:
            raise UsageError(
                f"these members have different shapes, and {FORMAT} is one matrix; select those of one width, "
                f"e.g. with WHERE width = ..., or take {OTHERS}"
            )
        shapes = found
    said = [Columns(name, start, end, tuple(shape)) for name, start, end, shape in outgoing.layout]
    if {part.name: part.shape for part in said} == shapes:
        return said, {}
    names = {keras_name(name, shape): name for name, shape in sorted(shapes.items())}
    layout, start = [], 0
    for varname, name in names.items():
        shape = tuple(as_keras(varname, torch.empty(1, *shapes[name], device="meta")).shape[1:])
        layout.append(Columns(varname, start, start + math.prod(shape), shape))
        start = layout[-1].end
    return layout, names


OTHERS = "ray-tune or state-dicts"


def _write_tables(outgoing: Outgoing, folder: Path, layout: list[Columns]) -> None:
    parts = [(p.name, p.start, p.end, p.end - p.start, str(p.shape)) for p in layout]
    columns = ["varname", "start_idx", "end_idx", "size", "shape"]
    pl.DataFrame(parts, schema=columns, orient="row").write_csv(folder / LAYOUT)
    rows = [_row_of(outgoing, member, epoch) for member in outgoing.members for epoch in member.epochs]
    table = pl.from_dicts(rows, infer_schema_length=None)
    with gzip.open(folder / METRICS_FILES[0], "wb") as file:
        file.write(table.write_csv().encode())


def _row_of(outgoing: Outgoing, member: OutgoingMember, epoch: int) -> dict[str, Any]:
    """A row of metrics: what it said where the member came from one, and the columns of `member` otherwise."""
    known = member.statements.get("metrics.csv")
    said = {key: value for key, value in known.items() if " of step " not in key} if known else _said(outgoing, member)
    curve = member.curve.get(epoch, {})
    metrics = {f"{split}_{metric}": curve.get(f"{split}_{metric}") for split in ("test", "train") for metric in SCORES}
    row = {
        **said,
        "modeldir": said.get("modeldir", member.name),
        "step": epoch,
        **metrics,
        **member.measured.get(epoch, {}),
    }
    return dict.fromkeys(PUBLISHED) | row


SCORES = ("accuracy", "loss")


def _said(outgoing: Outgoing, member: OutgoingMember) -> dict[str, Any]:
    """What the lake knows of a member, under the zoo's names of columns; of others under names of the same kind."""
    words = {column: word for word, column in SMALL_CNN.items()}
    gaps = {after - before for before, after in pairwise(member.epochs)}
    said = {
        "config.dataset": outgoing.population["dataset"],
        "config.dnn_architecture": outgoing.architecture,
        "config.epochs_between_checkpoints": gaps.pop() if len(gaps) == 1 else None,
    }
    if outgoing.is_ours:
        said |= {"config.activation": _own_activation(outgoing.architecture), **UNSET}
    return said | {words.get(column, f"config.{column}"): value for column, value in member.columns.items()}


UNSET = {"config.dropout": 0.0, "config.train_fraction": 1.0}
"""What it means that a member trained here has no such setting."""


def _own_activation(architecture: str | None) -> str | None:
    """The activation of an architecture of ours where a recipe names none."""
    found = inspect.signature(ARCHITECTURES[str(architecture)]).parameters.get("activation")
    return found.default if found is not None and isinstance(found.default, str) else None
