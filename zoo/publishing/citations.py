"""What a published dataset should cite, by what is in it."""

import tomllib
from collections.abc import Collection
from importlib.resources import files

import polars as pl

METRICS = {"hessian": "hessian|trace|eigenvalue", "cka": "cka", "connectivity": "connectivity|barrier"}


def citations(models: pl.DataFrame, metrics: Collection[str]) -> str:
    """BibTeX entries for the methods behind these models and measurements.

    Args:
        models: Rows of the configuration `models`.
        metrics: Names of what was measured of them.
    """
    named = pl.Series("metric", list(metrics), dtype=pl.String)
    present = {what for what, pattern in METRICS.items() if named.str.contains(f"(?i){pattern}").any()}
    present |= {what for what, is_there in _contents(models).items() if is_there}
    entries = tomllib.loads(files("zoo.publishing").joinpath("citations.toml").read_text(encoding="utf-8"))["citation"]
    return "\n\n".join(entry["text"] for entry in entries if entry["when"] in present)


def _contents(models: pl.DataFrame) -> dict[str, bool]:
    varied = {name: models[name].drop_nulls().n_unique() > 1 for name in ("width", "batch_size")}
    return {
        "population": bool(models["population_id"].is_not_null().any()),
        "grid": all(varied.values()),
        "phases": bool(models["phase"].is_not_null().any()),
        "soup": bool(models["method"].is_not_null().any()),
    }
