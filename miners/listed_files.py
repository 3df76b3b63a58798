"""The files that records list -> rows, with the weight format that each path's ending stands for."""

from collections.abc import Sequence

import polars as pl

from miners.batch import COLUMNS
from miners.fields import Fields, Positions

FORMATS = {
    "safetensors": "safetensors",
    "gguf": "gguf",
    "onnx": "onnx",
    **dict.fromkeys(["bin", "pt", "pth", "ckpt", "torchscript", "pkl", "pickle", "joblib", "pdparams"], "pickle"),
    **dict.fromkeys(["h5", "hdf5", "keras"], "keras"),
    **dict.fromkeys(["pb", "tflite"], "tensorflow"),
    "msgpack": "flax",
}


class FormatByPath(dict[str | None, str | None]):
    """The weight format that each path's ending stands for; repositories share most of their paths.

    >>> FormatByPath()["onnx/model.ONNX"], FormatByPath()["README.md"]
    ('onnx', None)
    """

    def __missing__(self, path: str | None) -> str | None:
        """Find the format of a path that was not asked for before."""
        self[path] = FORMATS.get(path.rpartition(".")[2].lower()) if path else None
        return self[path]


def file_rows(fields: Fields) -> pl.DataFrame:
    """Give (row, path, format, bytes, sha256, blob) of each file; a listing mostly names the path and no more."""
    plain = fields.sole_texts("siblings", "rfilename")
    if plain:
        files = _with_format(*plain).with_columns(
            pl.lit(None, dtype=dtype).alias(name) for name, dtype in list(COLUMNS["file"].items())[3:]
        )
    else:
        files = _detailed_files(fields)
    return files.unique(["row", "path"], keep="first", maintain_order=True)


def _with_format(rows: Positions, paths: Sequence[str | None]) -> pl.DataFrame:
    formats = list(map(FormatByPath().__getitem__, paths))
    columns = {"row": pl.Series(rows, dtype=pl.UInt32()), "path": pl.Series(paths, dtype=pl.String())}
    return pl.DataFrame({**columns, "format": pl.Series(formats, dtype=pl.String())})


def _detailed_files(fields: Fields) -> pl.DataFrame:
    siblings = fields.objects("siblings")
    paths = siblings.text("rfilename")
    for position in paths.is_null().arg_true():
        if not siblings.records[position].get("rfilename"):  # any other value has been refused as no text
            siblings.refuse(position, "rfilename", "a path", None)
    files = _with_format(siblings.rows, paths.to_list()).with_columns(_sizes(siblings))
    return files.filter(pl.col("path").is_not_null())


def _sizes(siblings: Fields) -> list[pl.Expr]:
    lfs = siblings.inside("lfs")
    size, sha256, blob = (
        siblings.whole("size").fill_null(lfs.whole("size")),
        lfs.text("sha256"),
        siblings.text("blobId"),
    )
    return [pl.lit(size).alias("bytes"), pl.lit(sha256).alias("sha256"), pl.lit(blob).alias("blob")]
