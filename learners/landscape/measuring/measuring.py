"""Measures whatever a query selects and writes each figure to the lake, with settings, error, seed or reason."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from warnings import warn

import polars as pl
from torch import nn

from learners.landscape.measuring.contents import contents_of
from learners.landscape.measuring.differentiable import of_a_caller
from learners.landscape.measuring.examples import measure_examples
from learners.landscape.measuring.families import (
    calibration,
    collapse,
    connectivity,
    curvature,
    distances,
    learning_curves,
    scores,
    similarity,
    surfaces,
)
from learners.landscape.measuring.given import given_by
from learners.landscape.measuring.group import Columns, Found, Group
from learners.landscape.measuring.metrics import (
    CALIBRATED,
    COLLAPSED,
    LEARNING_CURVE,
    PHASE_METRICS,
    Metric,
    Setting,
    checked_settings,
    metric_named,
    with_settings,
)
from learners.landscape.measuring.recording import Key, Recorder
from learners.landscape.measuring.selected import Chosen, choose, loaded, unloadable
from schemas import DataError, Lake, UsageError
from zoo.datasets import Dataset
from zoo.describe import Description
from zoo.device import chosen_device

Progress = Callable[[int, int, str], None]
"""Hears of groups done, groups in all, and what is measured."""

Family = Callable[..., Columns]
"""Finds several metrics of a group at once; those of pairs are told which."""

OFFERED: dict[Family, tuple[str, ...]] = {
    scores.scored: ("loss", "error"),
    scores.gaps: ("generalisation_gap", "loss_gap"),
    calibration.calibrated: (*CALIBRATED, *(f"scaled_{name}" for name in CALIBRATED), "temperature"),
    collapse.collapsed: COLLAPSED,
    learning_curves.described: LEARNING_CURVE,
    curvature.curvature: ("hessian_trace", "hessian_top_eigenvalue"),
    curvature.ends: ("hessian_smallest_eigenvalue", "extreme_ratio"),
    curvature.eigenvalues: ("hessian_eigenvalue",),
    curvature.traces: ("hessian_trace_hutchinson", "hessian_trace_hutch_plus_plus"),
    curvature.densities: ("negative_share", "spectral_density"),
    curvature.layers: ("layer_hessian_trace", "layer_hessian_top_eigenvalue"),
    curvature.layer_ends: ("layer_hessian_smallest_eigenvalue",),
    surfaces.lines: ("loss_line",),
    surfaces.squares: ("loss_surface",),
    similarity.similarity: ("cka", "biased_cka"),
    similarity.layer_similarity: ("layer_cka", "layer_biased_cka"),
    similarity.agreement: ("disagreement", "jensen_shannon"),
    distances.distances: ("l2_distance", "cosine_distance"),
    distances.aligned_distances: ("aligned_l2_distance", "aligned_cosine_distance"),
    connectivity.curves: ("mode_connectivity", "curve_peak", "curve_error", "curve_loss"),
    connectivity.barriers: ("linear_barrier", "line_error", "line_loss"),
}
"""Families in the order in which they are measured."""

OF_WEIGHTS = ("l2_distance", "cosine_distance", "aligned_l2_distance", "aligned_cosine_distance")
WITHOUT_CLASSES = (
    *(*OF_WEIGHTS, *LEARNING_CURVE, "loss"),
    *("hessian_trace", "hessian_top_eigenvalue", "hessian_smallest_eigenvalue", "extreme_ratio", "hessian_eigenvalue"),
    *("hessian_trace_hutchinson", "hessian_trace_hutch_plus_plus", "negative_share", "spectral_density"),
    *("layer_hessian_trace", "layer_hessian_top_eigenvalue", "layer_hessian_smallest_eigenvalue"),
)
OF_CLASSES_LOSS = (
    *("loss_line", "loss_surface", "line_loss", "curve_loss", "loss_gap"),
    *("cka", "biased_cka", "layer_cka", "layer_biased_cka"),
)
"""What a network without classes could have, and has not here."""
BROKEN = "its weights are not all finite numbers: the model has diverged"
NO_PAIR = "the query selects no two members that differ in their seeds alone, nor two other models of one shape"


class NoPairWarning(UserWarning):
    """Metrics of two models were asked for among others, and there are no two to compare."""


def measure(
    lake: Lake,
    sql: str,
    metrics: Sequence[str] = PHASE_METRICS,
    *,
    seed: int = 0,
    settings: Mapping[str, Setting] | None = None,
    description: Description | None = None,
    architecture: nn.Module | None = None,
    data: Dataset | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure every model that a query selects, and pairs of them, and write what is found to the lake.

    Pairs are those of members that differ in their seeds alone, ten a cell at most, each member in about as many; of
    models of no population those of one shape. Final weights are measured. What has been measured with the same
    settings and seed is not measured again, as long as a mined model's files hold the same weights; what is found on
    the way is written too.

    A member that was trained on a share of the data or on noisy labels is measured on those samples and labels, and two
    of them on the labels of both. Others, and scores of examples, go by the data as they are.

    Args:
        lake: Where the models are, and rows of `measurement`, `pair_measurement` and `example_measurement` go.
        sql: A query that returns `model_id`.
        metrics: Names of metrics; without it those that the rules of phases ask for.
        seed: Of probes, samples and curves.
        settings: Other settings than a metric's own, for whichever metrics have them, as `{"epochs": 5}`.
        description: How the models are built and on what they were trained, where the lake does not know it.
        architecture: Instead of that a network of one's own; its values do not count, all else does, see `fingerprint`.
        data: Its data; needed with `architecture`.
        device: `cpu`, `cuda` or `auto`, which is a GPU if there is one.
        progress: Is called after each group of models of one shape.

    Returns:
        A row a metric: how many models, pairs, or examples (of `el2n` and `grand`) were measured now, how many were
        known before, and how many have no value.

    Raises:
        UsageError: There is no such metric, setting or device; the query selects nothing, or no pair where only metrics
            of pairs are asked for; nobody knows how any of the models is built, or no model has the tensors of what was
            given. Where others can be measured, such a model gets a row with the reason.

    Warns:
        NoPairWarning: Metrics of pairs are among those asked for, and there is no pair: they get no rows.
    """
    asked = [metric_named(name) for name in dict.fromkeys(metrics)]
    if not asked:
        raise UsageError("there is no metric to measure; name one, such as loss")
    other = checked_settings(asked, settings or {})
    wanted = {metric.name for metric in asked if not metric.examples}
    names = {name for names in OFFERED.values() if wanted & set(names) for name in names}
    offered = {name: with_settings(metric_named(name), other) for name in sorted(names)}
    where = chosen_device(device)
    given = given_by(description, architecture, data)
    chosen = choose(lake, sql, given)
    _refuse_without_pairs(asked, chosen)
    counts: dict[str, list[int]] = {name: [0, 0, 0] for name in sorted(wanted)}
    contents = contents_of(lake, [model_id for group in chosen for model_id in group.ids])
    recorder = Recorder(lake, seed, given.digest if given else None, contents=contents)
    for number, group in enumerate(chosen):
        _measure_group(replace(recorder, seen=group.seen), group, offered, counts, where)
        if progress is not None:
            progress(number + 1, len(chosen), group.label)
    for metric in asked:
        if metric.examples:
            counts[metric.name] = list(measure_examples(recorder, chosen, with_settings(metric, other), where))
    rows = [(metric.name, *counts[metric.name]) for metric in asked]
    return pl.DataFrame(rows, schema=["metric", "measured", "known", "without_value"], orient="row")


def _refuse_without_pairs(asked: Sequence[Metric], chosen: Sequence[Chosen]) -> None:
    """Say that metrics of pairs were asked for and there is no pair; where nothing else was, that is a mistake."""
    pairwise = [metric.name for metric in asked if metric.pair]
    if not pairwise or any(group.pairs for group in chosen):
        return
    if len(pairwise) == len(asked):
        raise UsageError(f"{pairwise[0]} compares two models, and {NO_PAIR}")
    warn(f"no pair for {', '.join(pairwise)}: {NO_PAIR}", NoPairWarning, stacklevel=3)


def _measure_group(
    recorder: Recorder, chosen: Chosen, offered: Mapping[str, Metric], counts: dict[str, list[int]], device: str
) -> None:
    missing = recorder.missing(offered.values(), chosen.ids, chosen.pairs)
    for name, count in counts.items():
        count[1] += len(chosen.pairs if offered[name].pair else chosen.ids) - len(missing[name])
    if not any(missing[name] for name in counts):
        return
    ids = sorted({model_id for name in counts for key in missing[name] for model_id in key})
    without = unloadable(recorder.lake, chosen, ids)
    if without:
        _write_unloadable(recorder, offered, missing, without, counts)
    left = {name: [key for key in keys if not without.keys() & set(key)] for name, keys in missing.items()}
    ids = [model_id for model_id in ids if model_id not in without]
    if not ids:
        return
    group = loaded(recorder.lake, chosen, ids, recorder.seed, device)
    for family, names in OFFERED.items():
        asked = [name for name in names if left.get(name)]
        if any(name in counts for name in asked):
            keyed = _family(group, family, [offered[name] for name in asked], left)
            recorder.write(offered, keyed)
            _count(counts, keyed)


def _write_unloadable(
    recorder: Recorder,
    offered: Mapping[str, Metric],
    missing: Mapping[str, list[Key]],
    without: Mapping[str, str],
    counts: dict[str, list[int]],
) -> None:
    """Rows for models whose weights or data cannot be had now; asked for again, they are tried again."""
    keyed = {
        name: [(key, [Found(None, reason=reason)]) for key in missing[name] for reason in _reasons(key, without)]
        for name in counts
    }
    recorder.write(offered, keyed, again=True)
    _count(counts, keyed)


def _reasons(key: Key, without: Mapping[str, str]) -> list[str]:
    return [without[model_id] for model_id in key if model_id in without][:1]


def _count(counts: dict[str, list[int]], keyed: Mapping[str, Sequence[tuple[Key, Sequence[Found]]]]) -> None:
    for name, values in keyed.items():
        if name in counts:
            dead = sum(all(found.value is None for found in each) for _, each in values)
            counts[name][0] += len(values) - dead
            counts[name][2] += dead


def _family(
    group: Group, family: Family, asked: Sequence[Metric], missing: Mapping[str, list[Key]]
) -> dict[str, list[tuple[Key, list[Found]]]]:
    """What a family of metrics finds, for the models or pairs that have no row of them yet."""
    keys = [key for metric in asked for key in missing[metric.name] if set(key) <= set(group.names)]
    keys = list(dict.fromkeys(keys))
    broken = frozenset() if asked[0].name in LEARNING_CURVE else group.broken
    whole = [number for number, name in enumerate(group.names) if name not in broken]
    alive = [key for key in keys if not broken & set(key)]
    found_here = _of_whole(group.subset(whole) if broken else group, family, asked, alive) if alive else {}
    dead = [Found(None, reason=BROKEN)]
    return {
        metric.name: [
            (key, dead if broken & set(key) else found_here[metric.name][key])
            for key in keys
            if key in missing[metric.name]
        ]
        for metric in asked
    }


def _of_whole(
    group: Group, family: Family, asked: Sequence[Metric], keys: Sequence[Key]
) -> dict[str, dict[Key, list[Found]]]:
    """The same for models whose weights are finite; one reason for all where the family cannot be had."""
    columns: dict[str, dict[Key, list[Found]]] = {}
    reasons = {metric.name: _refusal(group, metric) for metric in asked}
    if not all(reasons.values()):
        try:
            with of_a_caller(group.given):
                columns = _columns(group, family, asked[0], keys)
        except (UsageError, DataError) as error:
            reasons = {name: reason or str(error) for name, reason in reasons.items()}
    return {
        name: {key: [Found(None, reason=reason)] if reason else columns[name][key] for key in keys}
        for name, reason in reasons.items()
    }


def _columns(group: Group, family: Family, metric: Metric, keys: Sequence[Key]) -> dict[str, dict[Key, list[Found]]]:
    """By metric of the family, whose settings are those of `metric`, what each model or pair has."""
    if metric.pair:
        place = {name: number for number, name in enumerate(group.names)}
        rows = family(group, [tuple(place[name] for name in key) for key in keys], metric.settings)
        return {name: dict(zip(keys, values, strict=True)) for name, values in rows.items()}
    columns: dict[str, dict[Key, list[Found]]] = {}
    for part in group.as_trained():
        for name, values in family(part, metric.settings).items():
            of_models: dict[Key, list[Found]] = {(one,): value for one, value in zip(part.names, values, strict=True)}
            columns.setdefault(name, {}).update(of_models)
    return columns


def _refusal(group: Group, metric: Metric) -> str | None:
    """Why a metric cannot be had for any model of a group."""
    if group.physical and metric.name in OF_CLASSES_LOSS:
        return f"{metric.name} of physics-informed networks is not computed: it is offered for losses of classes alone"
    if group.physical and metric.name not in WITHOUT_CLASSES:
        return f"{metric.name} needs classes, and a physics-informed network has none"
    if group.dataset.classes < 2 and metric.name in ("cka", "biased_cka"):
        return f"{metric.name} needs at least two classes, the dataset has {group.dataset.classes}"
    return None if metric.name in ("l2_distance", "cosine_distance", *LEARNING_CURVE) else group.unfit
