"""The front door of publishing a population as a dataset."""

from pathlib import Path

import polars as pl

from schemas import Lake
from zoo.publishing.dataset import Progress, plan_publication
from zoo.publishing.limits import check_limits, check_shard_bytes
from zoo.publishing.sending import Destination, sizes
from zoo.publishing.shards import LARGEST


def publish_population(
    lake: Lake,
    what: str,
    to: str | Path,
    *,
    license_id: str | None = None,
    together: str = "start",
    seed: int = 0,
    shard_bytes: int = LARGEST,
    private: bool = False,
    endpoint: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Publish a population as a dataset that `datasets`, DuckDB, safetensors and `load_population` read.

    Args:
        lake: Where it lies.
        what: Name or population_id of a population, or a query that returns `model_id` (and `epoch`, where not all
            checkpoints are meant) of models that were trained or made in this lake.
        to: Folder to write to, or hf:owner/name for a dataset on the Hugging Face Hub. What is uploaded is written
            to the lake's folder first; an upload that was interrupted goes on when this is called again.
        license_id: Licence of tables and weights, as hubs name it, e.g. `cc-by-4.0`; None states none.
        together: What no split may part: `run` the checkpoints of a model, `parent` models of one ancestor too,
            `start` models of equal initial weights too, `cell` models of one ancestor or of one cell of a grid.
        seed: Which models are for training, validation and test hangs on it.
        shard_bytes: About how large a file of weights may get, at most 5 GB; a model that is larger has one to itself.
        private: Make a repository that only its owner sees, if it is made.
        endpoint: URL of another hub.
        dry_run: Write nothing, and ask no hub.
        progress: Called with bytes done, bytes in all, and the file that is there now.

    Returns:
        A row a file: `file`, `rows` (of a table) or models' checkpoints (of a shard), `bytes` where they are known,
        and for a hub the number of its `commit`.

    Raises:
        UsageError: There is no such population, a model has no weights in this lake, the folder holds other things, or
            there would be more files, or larger ones, than hubs take.
        DataError: Weights of the lake are missing or damaged.
        OutsideError: The disk is full or cannot be written.
        HubError: The hub cannot be reached, or refuses; the same call goes on from there.
    """
    check_shard_bytes(shard_bytes)
    destination = Destination(lake, to)
    publication = plan_publication(
        lake,
        what,
        license_id=license_id,
        together=together,
        seed=seed,
        shard_bytes=shard_bytes,
        repository=destination.repository,
    )
    files = publication.plan()
    check_limits(files["file"].to_list(), "let files of weights get larger (shard_bytes), or publish fewer checkpoints")
    if not dry_run:
        files = sizes(destination.folder, publication.write(destination.folder, progress), files)
        destination.send(files, private, endpoint)
    return destination.with_commits(files)
