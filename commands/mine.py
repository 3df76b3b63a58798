"""Mining a hub, a folder, or snapshots."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder, Quiet
from commands.terminal import progress_bar, say, show
from schemas import Lake, UsageError, open_lake

if TYPE_CHECKING:
    from miners.crawl import Crawl

PLACES = {
    "local": "a folder of model repositories, one of them, the Hugging Face cache, or checkpoints, e.g. "
    "weightlake mine local ~/.cache/huggingface/hub",
    "snapshot": "Parquet or JSON lines of hub records, a file, folder, pattern or URL, e.g. "
    "weightlake mine snapshot models.parquet --observed-at 2025-03-05",
}
ON_THE_HUB = "For huggingface: "
LISTED = "For huggingface, civitai, kaggle, modelscope: "
NARROWED = "For huggingface, modelscope: "
HUBS = (
    "huggingface, local (folders), snapshot (files), onnx, pytorch_hub, modelhub_ai, timm, modelzoo_co, civitai, "
    "kaggle or modelscope."
)


def mine(
    hub: Annotated[str, typer.Argument(help=HUBS)],
    place: Annotated[
        str | None,
        typer.Argument(
            help="For local: model repositories, one of them, the Hugging Face cache, or checkpoints (file or folder). "
            "For snapshot: Parquet or JSON lines of hub records, a file, folder, pattern or URL."
        ),
    ] = None,
    lake: LakeFolder = DEFAULT_LAKE,
    limit: Annotated[int | None, typer.Option(min=1, help=LISTED + "stop after this many models.")] = None,
    search: Annotated[str | None, typer.Option(help=LISTED + "only models whose name contains this.")] = None,
    author: Annotated[str | None, typer.Option(help=LISTED + "only models of this user or organisation.")] = None,
    task: Annotated[
        str | None, typer.Option(help=NARROWED + "only models of this task, e.g. text-classification.")
    ] = None,
    library: Annotated[
        str | None, typer.Option(help=NARROWED + "only models of this library, e.g. transformers.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help=LISTED + "order, e.g. downloads, likes, createdAt, lastModified.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help=ON_THE_HUB + "list all models, and find what was deleted or renamed.")
    ] = False,
    ids: Annotated[
        str | None,
        typer.Option(help=ON_THE_HUB + "exactly these: a file with one id a line, or a query returning model_id."),
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help=ON_THE_HUB + "so many models drawn from the lake.")] = None,
    stratify: Annotated[
        str | None, typer.Option(help=ON_THE_HUB + "draw the sample in proportion to these: task,library,popularity.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help=ON_THE_HUB + "number that decides who is drawn; 0 without it.")
    ] = None,
    cards: Annotated[bool, typer.Option("--cards", help=ON_THE_HUB + "fetch model cards too.")] = False,
    configs: Annotated[bool, typer.Option("--configs", help=ON_THE_HUB + "fetch config.json too.")] = False,
    tensors: Annotated[
        bool, typer.Option("--tensors", help=ON_THE_HUB + "read headers of weights too, no weights.")
    ] = False,
    commits: Annotated[bool, typer.Option("--commits", help=ON_THE_HUB + "fetch the history of commits too.")] = False,
    discussions: Annotated[
        bool, typer.Option("--discussions", help=ON_THE_HUB + "fetch the list of discussions too.")
    ] = False,
    files: Annotated[bool, typer.Option("--files", help=ON_THE_HUB + "fetch the files' sizes and hashes too.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help=LISTED + "begin anew instead of going on with a run that was ended.")
    ] = False,
    max_requests: Annotated[int | None, typer.Option(min=1, help=LISTED + "stop after so many requests.")] = None,
    max_hours: Annotated[float | None, typer.Option(help=LISTED + "stop after so many hours.")] = None,
    polite: Annotated[
        float | None, typer.Option(help=LISTED + "use only this share of the hub's quotas, e.g. 0.5.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=ON_THE_HUB + "say what would be asked of it, and stop.")
    ] = False,
    endpoint: Annotated[
        str | None, typer.Option(help="For all but local, snapshot: URL of another hub of the same kind.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            help="For all but huggingface, local: a checkout, saved answers or a tar archive instead of the live site."
        ),
    ] = None,
    observed_at: Annotated[
        str | None, typer.Option(help="For snapshot: when it was taken (UTC), if not as its path says.")
    ] = None,
    download_limit: Annotated[
        int | None, typer.Option(min=1, help="For snapshot: the largest to download, in bytes.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Pull models from a hub, a folder, or snapshots of the Hub, into the lake."""
    import miners
    from miners.mining import check_options

    if hub in PLACES and place is None:
        raise UsageError(f"weightlake mine {hub} needs a place: {PLACES[hub]}")
    texts = {"search": search, "author": author, "task": task, "library": library, "sort": sort, "endpoint": endpoint}
    choices = {"limit": limit, "full": full, "ids": ids, "sample": sample, "seed": seed, "restart": restart}
    things = {"cards": cards, "configs": configs, "tensors": tensors, "commits": commits, "files": files}
    limits = {"max_requests": max_requests, "max_hours": max_hours, "polite": polite}
    strata = {"stratify": stratify.split(",") if stratify else None, "discussions": discussions}
    places = {"source": place or source} if hub == "snapshot" else {"folder": place, "source": source}
    snapshots = {"observed_at": observed_at, "download_limit": download_limit}
    options = {**texts, **choices, **things, **limits, **strata, **places, **snapshots}
    given: dict[str, object] = {
        name: value for name, value in options.items() if value is not None and value is not False
    }
    check_options(hub, given, partial(_spelled, hub))
    with open_lake(lake) as opened, progress_bar(quiet) as progress:
        if dry_run:
            _show_plan(miners.plan(opened, hub, **given), as_json)
            return
        if hub == "huggingface" and not quiet:
            given["say"] = say
        crawl = miners.mine(opened, hub, progress=progress, **given)
        complaint = _complaint(crawl, opened)
    show(pl.DataFrame([crawl.as_row()]), as_json)
    if complaint:
        say(f"{complaint}; {_why(hub, crawl.crawl_id)} says why")


LACKING = {  # what models lack, by the stage of the failure
    "field": "a value was refused",
    "tensors": "weights could not be read",
    "card": "the card could not be read",
    "config": "the configuration could not be read",
    "commits": "the history could not be read",
    "discussions": "the discussions could not be read",
}
BY_STAGE = "SELECT stage, count(*), count(DISTINCT subject) FROM failure WHERE crawl_id = $crawl_id GROUP BY stage"


def _complaint(crawl: "Crawl", lake: Lake) -> str:
    """Say in one line what could not be stored or read, or is missing; nothing if all is there."""
    rows = lake.sql(BY_STAGE, crawl_id=crawl.crawl_id).rows()
    failed = {stage: failures for stage, failures, _ in rows}
    results = failed.get("result", 0)
    said = [
        f"{crawl.failures:,} of {crawl.rows_seen:,} could not be stored" if crawl.failures else "",
        f"{_counted(crawl.unread, 'file')} could not be read" if crawl.unread else "",
        _missing(crawl, "missing" in failed),
        f"{_counted(results, 'result')} {'names' if results == 1 else 'name'} no model of the page" if results else "",
        *(
            f"of {_counted(subjects, 'model')} {LACKING[stage]}"
            for stage, _, subjects in sorted(rows)
            if stage in LACKING
        ),
    ]
    return ", and ".join(filter(None, said))


def _missing(crawl: "Crawl", is_unknown: bool) -> str:
    if crawl.missing:
        return f"{_counted(crawl.missing, 'model')} {'is' if crawl.missing == 1 else 'are'} not listed"
    return "it is unknown how many models are not listed" if is_unknown else ""


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _spelled(hub: str, name: str) -> str:
    """An option of a miner as the command line has it."""
    return "PLACE" if name == "folder" or (hub, name) == ("snapshot", "source") else f"--{name.replace('_', '-')}"


def _show_plan(plan: pl.DataFrame, as_json: bool) -> None:
    from miners.planning import for_people

    show(plan if as_json else for_people(plan), as_json)


def _why(hub: str, crawl_id: str) -> str:
    """The command that shows the failures; of several snapshots each was a run of its own."""
    if hub == "snapshot":
        return (
            "weightlake sql \"SELECT failure.* FROM failure JOIN crawl USING (crawl_id) WHERE crawl.hub = 'snapshot'\""
        )
    return f"weightlake sql \"FROM failure WHERE crawl_id = '{crawl_id}'\""
