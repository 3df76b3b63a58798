"""Decodes encoded images: tables of them as the Hub's Parquet files are, and folders of a class each."""

import io
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped] # pyarrow ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped] # as above

from schemas.errors import DataError, UsageError
from zoo.datasets.dataset import Array, Pair

FORMATS = ("BMP", "JPEG", "PNG", "WEBP")
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}
LARGEST = 4096 * 4096
COLOUR_AXES = 3
IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label")
TEST_NAMES = ("test", "valid", "validation", "val")


def read_parquet(path: Path) -> list[Pair]:
    """Read Parquet files in the layout of the Hub's image datasets: a column of encoded images, one of classes.

    `path` is one file, or a folder of files whose names begin with their split, `train`, or `test` or
    `valid`; without those names all of them are one pair.

    Raises:
        UsageError: There is no such file.
        DataError: A file is damaged, has other columns, or holds something that is no image.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet")) if path.is_dir() else []
    if not files:
        raise UsageError(f"dataset {path}: there is no Parquet file; parquet:PATH counts from the current folder")
    splits: dict[str, list[Path]] = {}
    for file in files:
        splits.setdefault(_split_of(file.name), []).append(file)
    return alike([_read_files(str(path), splits[split]) for split in sorted(splits, reverse=True)])


def _split_of(name: str) -> str:
    return "test" if name.lower().startswith(TEST_NAMES) else "train"


def _read_files(name: str, files: Sequence[Path]) -> Pair:
    try:
        tables = [pq.read_table(file) for file in files]
        whole = pa.concat_tables(tables)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"dataset {files[0]} cannot be read as Parquet: {error}") from error
    rows = [f"row {row} of {file.name}" for file, table in zip(files, tables, strict=True) for row in range(len(table))]
    return read_table(name, whole, rows)


def read_table(name: str, table: pa.Table, rows: Sequence[str] | None = None) -> Pair:
    """Decode a table's images, as `decoded`; gives them and their classes.

    `rows` are what messages call its rows; without it they are numbered.
    """
    image = next((column for column in IMAGE_COLUMNS if column in table.column_names), None)
    label = next((column for column in LABEL_COLUMNS if column in table.column_names), None)
    if image is None or label is None or not pa.types.is_struct(table.schema.field(image).type):
        found = ", ".join(table.column_names) or "nothing"
        raise DataError(f"dataset {name} has the columns {found}; expected an image (with bytes) and a label")
    classes = table.column(label)
    if not pa.types.is_integer(classes.type) or classes.null_count:
        raise DataError(f"dataset {name}: column {label} is {classes.type}; expected a whole number in each row")
    places = rows if rows is not None else [f"row {row}" for row in range(len(table))]
    cells = ((row, cell.as_py() or {}) for row, cell in zip(places, table.column(image), strict=True))
    encoded = ((f"{row} ({cell['path']})" if cell.get("path") else row, cell.get("bytes")) for row, cell in cells)
    return decoded(name, encoded), classes.to_numpy()


def read_folder(path: Path) -> list[Pair]:
    """Read images that lie in a folder for each class, or in two such trees called `train` and `test` or `valid`.

    Classes are numbered by their folders' names in order. Links are not followed out of the folder.

    Raises:
        UsageError: There is no such folder.
        DataError: It holds no images, test has a class that training lacks, or a file is no image.
    """
    if not path.is_dir():
        raise UsageError(f"dataset {path} is no folder; folder:PATH counts from the current folder")
    trees = [path / "train", *(path / name for name in TEST_NAMES)]
    found = [tree for tree in trees if tree.is_dir()][:2] if trees[0].is_dir() else [path]
    names = sorted(child.name for child in found[0].iterdir() if child.is_dir())
    return alike([_tree(path, tree, names) for tree in found])


def _tree(root: Path, tree: Path, names: list[str]) -> Pair:
    files: list[tuple[Path, int]] = []
    for child in sorted(child for child in tree.iterdir() if child.is_dir()):
        if child.name not in names:
            raise DataError(f"dataset {root}: {child} is a class that training lacks")
        images = sorted(file for file in child.rglob("*") if file.suffix.lower() in SUFFIXES)
        files += [(file, names.index(child.name)) for file in images]
    if not files:
        raise DataError(f"dataset {root}: {tree} holds no folders of images ({', '.join(sorted(SUFFIXES))})")
    for file, _ in files:
        if not file.resolve().is_relative_to(root.resolve()):
            raise DataError(f"{file} is a link that leads out of {root}; it is not followed, put a copy there")
    encoded = ((str(file.relative_to(root)), file.read_bytes()) for file, _ in files)
    return decoded(str(root), encoded), np.array([label for _, label in files], dtype=np.int64)


def decoded(name: str, encoded: Iterable[tuple[str, bytes | None]]) -> Array:
    """Decode images that all are of one size.

    Gives `[n, height, width]` if all are grey, else `[n, height, width, 3]`: red, green, blue. They are uint8, or
    if a grey one has 16 bits float32 from 0 to 1.
    """
    images = list(_each(name, encoded))
    if not images:
        raise DataError(f"dataset {name} holds no images")
    if any(image.ndim == COLOUR_AXES for image in images):
        images = [image if image.ndim == COLOUR_AXES else _in_colour(image) for image in images]
    if any(image.dtype != np.uint8 for image in images):
        images = [image.astype(np.float32) / 255 if image.dtype == np.uint8 else image for image in images]
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise DataError(f"dataset {name}: the images are of {len(sizes)} sizes, e.g. {min(sizes)} and {max(sizes)}")
    return np.stack(images)


def alike(pairs: Sequence[Pair]) -> list[Pair]:
    """Give grey images in colour if those for training or those for test are."""
    colour = COLOUR_AXES + 1
    if not any(x.ndim == colour for x, _ in pairs):
        return list(pairs)
    return [(x if x.ndim == colour else _in_colour(x), y) for x, y in pairs]


def _in_colour(grey: Array) -> Array:
    return np.repeat(grey[..., None], 3, axis=-1)


def _each(name: str, encoded: Iterable[tuple[str, bytes | None]]) -> Iterator[Array]:
    try:
        library: Any = import_module("PIL.Image")
    except ImportError as error:
        raise UsageError(f"dataset {name} holds encoded images; install: pip install 'weightlake[datasets]'") from error
    for where, content in encoded:
        if not content:
            raise DataError(f"dataset {name}: {where} has no image in it")
        try:
            with library.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > LARGEST:
                    raise DataError(f"dataset {name}: {where} is {image.width} x {image.height}, too large to decode")
                yield _pixels(image)
        except library.UnidentifiedImageError as error:
            raise DataError(f"dataset {name}: {where} cannot be decoded: it is no {' or '.join(FORMATS)}") from error
        except (OSError, ValueError, SyntaxError, library.DecompressionBombError) as error:
            raise DataError(f"dataset {name}: {where} cannot be decoded: {error}") from error


def _pixels(image: Any) -> Array:
    """Pixels as uint8, grey or in colour; of 16 bits, which a conversion would clip at 255, as float32 from 0 to 1."""
    if image.mode.startswith("I"):  # "I" is what Pillow called 16 bits before it had "I;16" for them
        return (np.asarray(image) / 65_535).astype(np.float32)
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
