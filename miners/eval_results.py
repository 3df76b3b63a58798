"""The files `.eval_results/*.yaml` of a repository -> published results, one for each entry.

https://huggingface.co/docs/hub/eval-results: a list of entries, each with the dataset (a benchmark of the Hub), the
task within it, and the value. Today's files name the task `task_id`, those of the first weeks `config`.
"""

import re
from collections.abc import Sequence

import polars as pl

from miners.batch import Batch
from miners.cards.front_matter import Malformed, parse
from miners.evaluations import number, written
from miners.fields import Fields, Json
from miners.records import add_owned

FOLDER = ".eval_results"
SOURCE = "eval_results"
LIMIT = 2**20  # bytes
MOST_FILES = 100  # of one repository
PATH = re.compile(rf"{re.escape(FOLDER)}/[^/]+\.yaml")


def holds_results(path: str) -> bool:
    """Whether a file of a repository is one of published results.

    >>> holds_results(".eval_results/hle.yaml"), holds_results(".eval_results/old/hle.yaml"), holds_results("a.yaml")
    (True, False, False)
    """
    return PATH.fullmatch(path) is not None


def add_eval_results(batch: Batch, model_ids: Sequence[str], bodies: Sequence[bytes]) -> None:
    """Add the rows of `evaluation` that files hold, each file with the model that it is of.

    The task is the benchmark's, the metric is NULL, as it is the benchmark's own, and a token of verification, which
    only the Hub can check, is not taken for a verified result. A file that cannot be read, and an entry without
    dataset or value, becomes a failure of the stage `card`.
    """
    entries: list[Json] = []
    owners: list[str] = []
    for model_id, body in zip(model_ids, bodies, strict=True):
        try:
            found = _entries(body)
        except Malformed as error:
            batch.fail(model_id, "card", f"{FOLDER}: {error}")
            continue
        entries += found
        owners += [model_id] * len(found)
    fields = Fields(entries)
    add_owned(batch, "evaluation", pl.Series(owners, dtype=pl.String()), _rows(fields))
    for row, complaints in fields.wrong.items():
        batch.fail(owners[row], "card", f"{FOLDER}: {'; '.join(complaints)}")


def _entries(body: bytes) -> list[Json]:
    if len(body) > LIMIT:
        raise Malformed(f"larger than {LIMIT} bytes")
    try:
        value, _ = parse(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Malformed("not UTF-8") from error
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise Malformed("not a list of results")
    return value


def _rows(fields: Fields) -> pl.DataFrame:
    dataset, values = fields.inside("dataset"), fields.raw("value")
    names = dataset.text("id")
    task = dataset.text("task_id").fill_null(dataset.text("config"))
    complete = [name is not None and value is not None for name, value in zip(names, values, strict=True)]
    for place, fits in enumerate(complete):
        if not fits and not fields.wrong.get(place):
            fields.refuse(place, "entry", "a dataset's id and a value", fields.records[place])
    frame = pl.DataFrame(
        [
            pl.Series("row", range(len(values)), pl.UInt32()),
            task.alias("task"),
            names.alias("dataset"),
            pl.Series("config", [None] * len(values), pl.String()),
            dataset.text("split"),
            pl.Series("metric", [None] * len(values), pl.String()),
            pl.Series("value", map(number, values), pl.Float64()),
            pl.Series("value_text", map(written, values), pl.String()),
            pl.Series("verified", [None] * len(values), pl.Boolean()),
            pl.Series("source", [SOURCE] * len(values), pl.String()),
        ]
    )
    return frame.filter(pl.Series(complete, dtype=pl.Boolean()))
