"""Phases: rules, thresholds and the published table of 845 ResNets, whose pictures have borders drawn by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label  # type: ignore[import-untyped] # scipy ships no types

from learners import assign_phases
from learners.landscape.measuring.selected import balanced_pairs
from learners.landscape.phases.assigning import Judged, judge_frame
from learners.landscape.phases.borders import borders, mesh
from learners.landscape.phases.diagram import diagram, write_diagram
from learners.landscape.phases.grid import grid_of
from learners.landscape.phases.regions import regions
from learners.landscape.phases.rule import Rule, load_rule, parse_rule, rule_names
from learners.landscape.phases.sensitivity import sensitivity, sensitivity_together
from learners.landscape.phases.spread import spread_of
from learners.landscape.phases.thresholds import Threshold, elbow, otsu
from learners.landscape.phases.tree import phase_of
from learners.landscape.phases.verdicts import judge
from schemas import UsageError

PUBLISHED = {
    "cka": "cell_cka",
    "mode_connectivity": "cell_mode_connectivity_train_error_pp",
    "log_hessian_trace": "hessian_trace",
}
PHASES = ["I", "II", "III", "IV-A", "IV-B"]


@pytest.fixture(scope="session")
def published(data_folder: Path) -> pl.DataFrame:
    return pl.read_csv(data_folder / "metrics" / "taxonomy_2021_resnet18_cifar10.csv")


@pytest.fixture(scope="session")
def judged(published: pl.DataFrame) -> Judged:
    return judge_frame(published, columns=PUBLISHED)


def made(rows: list[tuple[float, float, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["train_loss", "mode_connectivity", "cka"], orient="row")


@pytest.mark.data
def test_published_models_fall_into_five_regions_ordered_by_an_accuracy_that_the_rule_never_sees(
    published: pl.DataFrame, judged: Judged
) -> None:
    frame = assign_phases(published, columns=PUBLISHED)
    assert frame.columns == [*published.columns, "phase", "phase_probability"]
    assert frame.drop("phase", "phase_probability").equals(published)
    mean = frame.group_by("phase").agg(pl.col("test_accuracy_pct").mean()).sort("phase")
    assert mean["phase"].to_list() == PHASES
    assert mean["test_accuracy_pct"].is_sorted()
    assert mean["test_accuracy_pct"].to_list() == pytest.approx([74, 80, 80.5, 84, 87.5], abs=1)
    grid = grid_of(judged.cells.axes)
    assert grid is not None
    assert len(np.unique(regions(grid, judged.verdicts.phase))) == 5
    by_sides = regions(grid, judged.verdicts.phase, corners=False)
    pieces = {phase: len(set(by_sides[judged.verdicts.phase == phase].tolist())) for phase in PHASES}
    assert pieces == {"I": 1, "II": 1, "III": 1, "IV-A": 2, "IV-B": 1}  # as docs/phases.md says
    frame = frame.with_columns(test_accuracy_pct=-pl.col("test_accuracy_pct"))
    assert assign_phases(frame.drop("phase", "phase_probability"), columns=PUBLISHED)["phase"].equals(frame["phase"])


@pytest.mark.data
def test_the_borders_between_published_cells_enclose_one_area_a_phase(judged: Judged) -> None:
    grid = grid_of(judged.cells.axes)
    assert grid is not None
    rows, columns, phase = mesh(judged, grid)
    fine = grid_of(
        pl.DataFrame(
            {"width": np.exp2(np.repeat(rows, len(columns))), "batch_size": np.exp2(np.tile(columns, len(rows)))}
        )
    )
    assert fine is not None
    assert len(np.unique(regions(fine, phase.ravel()))) == 5


@pytest.mark.data
def test_labels_hardly_move_when_thresholds_do(judged: Judged) -> None:
    moved = sensitivity(judged)
    assert set(moved["metric"]) == {"train_loss", "mode_connectivity", "cka", "log_hessian_trace"}
    assert moved["agreement"].to_numpy().min() > 0.9
    assert moved["moved"].to_numpy().max() > 0
    together = sensitivity_together(judged).select("metric", "steps", pl.col("agreement").round(2)).rows()
    assert together == [  # as docs/phases.md says
        ("all, at worst", 0.5, 0.92),
        ("all, at random", 0.5, 0.97),
        ("all, at worst", 1.0, 0.85),
        ("all, at random", 1.0, 0.93),
    ]


@pytest.mark.data
def test_what_the_table_says_and_not_its_order_decides(published: pl.DataFrame, judged: Judged) -> None:
    shuffled = judge_frame(published.sample(fraction=1, shuffle=True, seed=5), columns=PUBLISHED)
    assert shuffled.table().sort("width", "batch_size").equals(judged.table().sort("width", "batch_size"))


@pytest.mark.data
def test_one_row_a_cell_gives_the_phases_of_one_row_a_model(published: pl.DataFrame, judged: Judged) -> None:
    cells = published.rename(
        {name: canonical for canonical, name in PUBLISHED.items() if canonical != "log_hessian_trace"}
    )
    cells = cells.group_by("width", "batch_size").mean().sample(fraction=1, shuffle=True, seed=1)
    alone = assign_phases(cells)
    table = judged.table().join(alone, on=["width", "batch_size"], suffix=" alone")
    assert (table["phase"] == table["phase alone"]).to_numpy().mean() > 0.98  # without the Hessian nothing breaks ties


@pytest.mark.data
def test_bootstrap_is_sure_inside_regions_and_unsure_on_borders(judged: Judged) -> None:
    table = judged.table()
    inside = table.filter(pl.col("distance") > 2)
    border = table.filter(pl.col("distance") < 0.2)
    assert inside["probability"].to_numpy().min() > 0.95
    assert border["probability"].to_numpy().mean() < 0.8
    sums = table.select(pl.sum_horizontal("^p .*$")).to_series()
    assert sums.to_list() == pytest.approx([1.0] * table.height)


@pytest.mark.data
def test_the_diagnostic_tree_asks_in_its_own_order(published: pl.DataFrame) -> None:
    frame = published.with_columns(train_error=100 - pl.col("train_accuracy_pct"))
    frame = assign_phases(frame, "model_diagnosis", PUBLISHED)
    assert set(frame["phase"]) <= set(load_rule("model-diagnosis").labels)
    mean = dict(frame.group_by("phase").agg(pl.col("test_accuracy_pct").mean()).rows())
    assert max(mean, key=lambda phase: mean[phase]) == "interpolating, connected"
    cells = judge_frame(frame.drop("phase", "phase_probability"), "model-diagnosis", PUBLISHED).table()
    interpolating = cells["phase"].str.starts_with("interpolating")
    inside, outside = cells.filter(interpolating)["train_error"], cells.filter(~interpolating)["train_error"]
    assert inside.to_numpy().max() < outside.to_numpy().min()


@pytest.mark.data
def test_units_and_names_do_not_matter(published: pl.DataFrame, judged: Judged) -> None:
    error = published.with_columns(train_error=1 - pl.col("train_accuracy_pct") / 100)
    shares = error.with_columns(pl.col(PUBLISHED["mode_connectivity"]) / 100)
    points = published.with_columns(train_error=100 - pl.col("train_accuracy_pct"))
    assert assign_phases(shares, columns=PUBLISHED, units="shares")["phase"].equals(
        assign_phases(published, columns=PUBLISHED)["phase"]
    )
    for units in (None, "points"):
        found = assign_phases(points, columns=PUBLISHED, units=units)
        assert found["phase"].equals(assign_phases(published, columns=PUBLISHED)["phase"])
    natural = published.with_columns(log_hessian_trace=pl.col("hessian_trace").log())
    mapped = {name: column for name, column in PUBLISHED.items() if name != "log_hessian_trace"}
    assert assign_phases(natural, columns=mapped)["phase"].equals(assign_phases(published, columns=PUBLISHED)["phase"])


@pytest.mark.data
def test_without_the_loss_the_training_error_decides(published: pl.DataFrame, judged: Judged) -> None:
    frame = published.with_columns(train_error=100 - pl.col("train_accuracy_pct")).drop("train_loss")
    phase = assign_phases(frame, columns=PUBLISHED)["phase"]
    assert (phase == assign_phases(published, columns=PUBLISHED)["phase"]).to_numpy().mean() > 0.9


@pytest.mark.data
def test_the_diagram_is_drawn_with_borders_and_hover(judged: Judged, tmp_path: Path) -> None:
    chart = diagram(judged, "ResNet-18")
    svg = write_diagram(chart, tmp_path / "phases.svg").read_text(encoding="utf-8")
    assert svg.count("probability: ") >= 169  # each cell says what hovering shows
    for text in ("ResNet-18", "IV-B", "training loss (nats)", "mode connectivity (percentage points)"):
        assert text in svg
    assert write_diagram(chart, tmp_path / "phases.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["phases.png", "phases.svg"]
    with pytest.raises(UsageError, match=r"ends in \.svg, \.png, \.html"):
        write_diagram(chart, tmp_path / "phases.gif")


def test_a_border_runs_where_the_interpolated_metric_meets_its_threshold() -> None:
    losses = np.exp([-4.0, -1.0, -3.0, -2.0])  # the logarithm meets that of 0.1 at 0.5658 and 0.6974 of the way
    frame = pl.DataFrame({"width": [2, 2, 4, 4], "batch_size": [8, 16, 8, 16], "train_loss": losses})
    judged = judge_frame(frame.with_columns(mode_connectivity=0.0, cka=0.9), stated())
    grid = grid_of(judged.cells.axes)
    assert grid is not None
    lines = borders(judged, grid, fineness=50)
    ends = {(round(x, 9), round(y, 9)) for x, y in [*lines.select("x", "y").rows(), *lines.select("x2", "y2").rows()]}
    for x, y in ends:  # between the cells' places; straight on to the edges outside
        inside = min(max(y, 1.0), 2.0) - 1
        crossing = (np.log(0.1) + 4 - inside) / (3 - 2 * inside)
        assert x == pytest.approx(3 + crossing, abs=0.03)
    heights = sorted(y for _, y in ends)
    assert (heights[0], heights[-1]) == (0.5, 2.5)
    assert max(np.diff(heights)) <= 0.5
    touching = [place for row in lines.select("x", "y", "x2", "y2").rows() for place in (row[:2], row[2:])]
    counts = {place: sum(np.allclose(place, other) for other in touching) for place in touching}
    assert sorted(counts.values())[:2] == [1, 1]  # one line: all but its two ends are shared by two segments
    assert set(sorted(counts.values())[2:]) == {2}


@pytest.mark.data
def test_bars_of_colours_are_labelled_at_their_ends(judged: Judged) -> None:
    for heat in diagram(judged).to_dict()["hconcat"][1]["concat"]:
        color = heat["encoding"]["color"]
        assert color["legend"]["values"][::2] == color["scale"]["domain"]


def test_the_taxonomy_word_by_word() -> None:
    frame = made(
        [(1.0, -9.0, 0.3), (1.0, 4.0, 0.5), (1.0, 0.0, 0.5), (0.01, -9.0, 0.5), (0.01, 0.2, 0.5), (0.01, 0.2, 0.9)]
    )
    frame = assign_phases(frame)
    assert frame["phase"].to_list() == ["I", "II", "II", "III", "IV-A", "IV-B"]
    assert frame["phase_probability"].to_numpy().min() > 0.95


def test_zero_is_a_matter_of_tolerance() -> None:
    near = assign_phases(made([(0.01, -1e-9, 0.9), (0.01, 1e-9, 0.9), (0.01, -1.2, 0.9), (0.01, -1.3, 0.9)]))
    assert near["phase"].to_list() == ["IV-B", "IV-B", "IV-B", "III"]
    assert near["phase_probability"][2] < 0.8


def test_what_is_missing_is_said() -> None:
    nothing = float("nan")
    frame = made([(nothing, -9.0, 0.3), (1.0, nothing, 0.5), (0.01, nothing, 0.5), (0.01, 0.0, nothing)])
    assigned = assign_phases(frame)
    assert assigned["phase"].to_list() == ["unknown", "I or II", "III or IV", "IV"]
    assert assigned["phase_probability"].is_null().all()
    assert assign_phases(frame.select("train_loss"))["phase"].to_list() == [
        "unknown",
        "I or II",
        "III or IV",
        "III or IV",
    ]
    assert assign_phases(frame.select("cka"))["phase"].to_list() == ["unknown"] * 4


def test_the_hessian_breaks_ties() -> None:
    frame = pl.DataFrame({"train_loss": [0.1, 0.1, *[0.01] * 4, *[1.0] * 4], "mode_connectivity": [0.0] * 10})
    frame = frame.with_columns(cka=0.9, log_hessian_trace=pl.Series([1.0, 3.0, *[1.0] * 4, *[3.0] * 4]))
    stated = parse_rule(taxonomy().replace('calibration = "elbow"\n', "").encode(), "stated.toml")
    assert assign_phases(frame, stated)["phase"].to_list()[:2] == ["IV-B", "II"]


def test_members_of_a_cell_are_judged_together() -> None:
    losses = {"train_loss": [0.02, 0.3, 0.02, 0.02], "mode_connectivity": [0.0] * 4, "cka": [0.9] * 4}
    frame = pl.DataFrame({"width": [1, 1, 2, 2], "batch_size": [8] * 4} | losses)
    assigned = assign_phases(frame)
    assert assigned["phase"].to_list() == ["II", "II", "IV-B", "IV-B"]
    assert assigned["phase_probability"][0] < assigned["phase_probability"][2]
    assert assign_phases(frame.drop("width", "batch_size"))["phase"].to_list() == ["IV-B", "II", "IV-B", "IV-B"]


def test_models_that_diverged_are_missing_or_high() -> None:
    frame = made([(float("inf"), -9.0, 0.1), (0.01, 0.0, 0.9)])
    assert assign_phases(frame)["phase"].to_list() == ["I", "IV-B"]


CELLS = 500


@dataclass(frozen=True)
class Truth:
    """How simulated cells come about: seeds, what they bring, what pairs bring, and the noise of measuring a pair."""

    seeds: int
    of_seeds: float
    of_pairs: float = 0.0
    noise: float = 0.0
    uneven: float = 0.0
    """Scatter (of the logarithm) of what seeds bring between cells."""


def simulated(truth: Truth) -> tuple[pl.DataFrame, list[str]]:
    """Cells whose means are known, seeds that differ from them, pairs made of their seeds; and the true phases."""
    source = np.random.default_rng(truth.seeds)
    loss = np.exp(source.uniform(np.log(0.03), np.log(0.3), CELLS))
    connectivity, cka = source.uniform(-5, 2, CELLS), source.uniform(0.4, 0.9, CELLS)
    phases = assign_phases(made(list(zip(loss, connectivity, cka, strict=True))), stated())["phase"].to_list()
    own = source.standard_normal((CELLS, truth.seeds, 3))
    own *= np.exp(truth.uneven * source.standard_normal((CELLS, 1, 3)))
    rows: list[dict[str, object]] = []
    for cell in range(CELLS):
        place = {"width": cell + 1, "batch_size": 1}
        for i in range(truth.seeds):
            value = loss[cell] * np.exp(0.15 * own[cell, i, 0])
            rows.append(place | {"first": f"{i}", "second": None, "train_loss": value})
        for i, j in combinations(range(truth.seeds), 2):
            both = truth.of_seeds * (own[cell, i] + own[cell, j]) + truth.of_pairs * source.standard_normal(3)
            error = truth.noise * np.exp(0.5 * source.standard_normal())
            values = {
                "mode_connectivity": connectivity[cell] + both[1] + error * source.standard_normal(),
                "mode_connectivity_standard_error": error or None,
                "cka": cka[cell] + 0.05 * both[2],
            }
            rows.append(place | {"first": f"{i}", "second": f"{j}", "train_loss": None} | values)
    return pl.DataFrame(rows, infer_schema_length=None), phases


def stated() -> Rule:
    """The taxonomy with its thresholds as they are written."""
    rule = load_rule("taxonomy")
    plain = {n: m.model_copy(update={"calibration": None} if m.threshold else {}) for n, m in rule.metrics.items()}
    return rule.model_copy(update={"metrics": plain})


def claimed_and_right(frame: pl.DataFrame, phases: list[str]) -> Iterator[tuple[float, float, float]]:
    """For cells of about the same probability: their mean, the share that is right, and three deviations of that."""
    judged = judge_frame(frame, stated(), models=("first", "second"))
    right = judged.verdicts.phase == np.array(phases, dtype=object)
    for low, high in ((0.3, 0.7), (0.7, 0.9), (0.9, 0.97), (0.97, 1.01)):
        among = (judged.probability >= low) & (judged.probability < high)
        if among.sum() >= 10:
            claimed = float(judged.probability[among].mean())
            slack = 3 * np.sqrt(max(claimed * (1 - claimed), 1e-3) / among.sum())
            yield claimed, float(right[among].mean()), float(slack)


@pytest.mark.parametrize(
    ("truth", "too_low"),
    [
        (Truth(3, 1.0), 0.05),
        (Truth(5, 1.0, of_pairs=0.3), 0.03),
        (Truth(4, 0.3, of_pairs=1.0), 0.1),
        (Truth(3, 0.3, noise=1.5), 0.1),
        (Truth(5, 0.3, noise=1.5), 0.03),
        (Truth(2, 0.2, noise=2.0), 0.05),
        (Truth(3, 1.0, uneven=0.5), 0.0),
    ],
    ids=str,
)
def test_phases_are_right_as_often_as_their_probability_says(truth: Truth, too_low: float) -> None:
    """Among cells of about the same probability the share of right phases is that, give or take three deviations.

    It may be `too_low`: few seeds that are all alike do not know it, and what pairs bring of their own cannot be told
    from what their seeds do.
    """
    for claimed, share, slack in claimed_and_right(*simulated(truth)):
        assert claimed - slack < share < claimed + slack + too_low


def test_a_noisy_pair_is_not_taken_for_exact() -> None:
    """Two seeds have one pair: without its standard error cells claim far more than they know, with it they do not."""
    frame, phases = simulated(Truth(2, 0.2, noise=2.0))
    blind = list(claimed_and_right(frame.drop("mode_connectivity_standard_error"), phases))
    assert max(claimed - share - slack for claimed, share, slack in blind) > 0.1
    assert max(claimed - share - slack for claimed, share, slack in claimed_and_right(frame, phases)) < 0


def test_what_standard_errors_explain_is_not_taken_for_the_seeds() -> None:
    """Pairs that differ by the noise of measuring alone: the mean's deviation is known, and not four times as large."""
    source = np.random.default_rng(1)
    rows = [
        {"width": cell + 1, "batch_size": 1, "first": a, "second": b, "mode_connectivity": source.normal(0, 2)}
        for cell in range(2000)
        for a, b in combinations("abc", 2)
    ]
    frame = pl.DataFrame(rows).with_columns(mode_connectivity_standard_error=2.0)
    cells = judge_frame(frame, models=("first", "second")).cells
    spread = spread_of("mode_connectivity", cells)
    assert np.var(spread.centre) == pytest.approx(4 / 3, rel=0.1)
    assert spread.noise == pytest.approx(np.sqrt(4 / 3))
    assert spread.within == pytest.approx(4 * 4 / 3)  # what the seeds' spread makes of it
    assert spread.variance.mean() == pytest.approx(4 * 4 / 3, rel=0.1)


def test_connectivity_in_shares_beside_errors_in_points_is_warned_of(published: pl.DataFrame) -> None:
    column = PUBLISHED["mode_connectivity"]
    shares = published.with_columns(pl.col(column) / 100, train_error=100 - pl.col("train_accuracy_pct"))
    mapped = PUBLISHED | {"train_error": "train_error"}
    with pytest.warns(
        UserWarning, match="'cell_mode_connectivity_train_error_pp' stays within 0.298 .*multiply it by 100"
    ):
        assign_phases(shares, columns=mapped)
    assign_phases(shares, columns=mapped, units="points")
    assign_phases(shares.with_columns(pl.col(column) * 100), columns=mapped)
    assign_phases(shares.filter(pl.col("train_error") < 5), columns=mapped)
    assign_phases(shares.with_columns(pl.lit(0.0).alias(column)), columns=mapped)


def test_errors_have_their_metrics_units() -> None:
    frame = pl.DataFrame({"train_loss": [0.01, 0.01], "cka": [0.9, 0.9], "mode_connectivity": [-0.0125, -0.0124]})
    frame = frame.with_columns(mode_connectivity_standard_error=0.02, log_hessian_trace=pl.Series([100.0, 1000.0]))
    frame = frame.with_columns(trace_error=pl.Series([10.0, None]))
    cells = judge_frame(frame, columns={"log_hessian_trace_standard_error": "trace_error"}, units="shares").cells
    assert cells.values["mode_connectivity"].ravel().tolist() == pytest.approx([-1.25, -1.24])
    assert cells.errors["mode_connectivity"].ravel().tolist() == pytest.approx([2.0, 2.0])
    assert cells.errors["log_hessian_trace"].ravel().tolist() == pytest.approx([0.1 / np.log(10), np.nan], nan_ok=True)


def test_pairs_in_any_order_give_the_same_probabilities() -> None:
    frame, _ = simulated(Truth(3, 1.0, noise=0.5))
    some = frame.filter(pl.col("width") <= 40)
    tables = [
        judge_frame(each, models=("first", "second")).table().sort("width")
        for each in (some, some.reverse(), some.sample(fraction=1, shuffle=True, seed=2))
    ]
    assert all(table.equals(tables[0]) for table in tables)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_nearest_threshold_is_where_the_phase_changes(seed: int) -> None:
    """Each metric moved alone: a little less than the distance changes no phase, a little more of the nearest does."""
    source, count = np.random.default_rng(seed), 30
    values = {
        "train_loss": np.where(source.random(count) < 0.8, np.exp(source.uniform(-4, 0, count)), np.nan),
        "train_error": np.exp(source.uniform(-2, 3, count)),
        "mode_connectivity": source.uniform(-4, 4, count),
        "cka": source.uniform(0.3, 1, count),
        "log_hessian_trace": np.where(source.random(count) < 0.8, source.uniform(0, 3, count), np.nan),
    }
    rule = stated()
    found = {name: Threshold(at, "stated") for name, at in STATED.items()}
    verdicts = judge(rule, found, values)
    for name, value in values.items():
        metric, changed = rule.metrics[name], np.full(count, False)
        for share, sign in ((0.999, -1), (0.999, 1), (1.001, -1), (1.001, 1)):
            way = sign * share * verdicts.distance * metric.unit
            moved = value + way if metric.scale == "linear" else value * np.exp(way)
            other = phase_of(rule, found, values | {name: moved}) != verdicts.phase
            assert share > 1 or not other.any()
            changed |= other
        assert changed[verdicts.nearest == name].all()
    asked = ~np.isnan(values["train_loss"])
    assert not (verdicts.nearest[asked] == "train_error").any()


STATED = {"train_loss": 0.1, "train_error": 3.0, "mode_connectivity": 1.25, "cka": 0.65, "log_hessian_trace": 1.5}


def test_a_training_error_beside_a_loss_has_no_part_in_the_distance() -> None:
    frame = made([(1.0, 0.0, 0.9), (0.001, 0.0, 0.9)]).with_columns(train_error=3.01)
    table = judge_frame(frame, stated()).table()
    assert table["nearest"].to_list() == ["mode_connectivity", "mode_connectivity"]
    assert table["distance"].to_list() == pytest.approx([1.25, 1.25])
    alone = judge_frame(frame.drop("train_loss"), stated()).table()
    assert alone["nearest"].to_list() == ["train_error", "train_error"]


def test_a_pairs_spread_is_that_of_its_seeds() -> None:
    """The claimed deviation of a mean over pairs against the true one, over many cells; exact for sums of seeds."""
    source = np.random.default_rng(3)
    for seeds, pairs in ((3, 3), (5, 10), (8, 10), (20, 10)):
        names = [f"{number:02d}" for number in range(seeds)]
        chosen = balanced_pairs(names, pairs)
        own = dict(zip(names, source.standard_normal((seeds, 400)), strict=True))
        rows = [
            {"width": cell + 1, "batch_size": 1, "first": a, "second": b, "cka": own[a][cell] + own[b][cell]}
            for cell in range(400)
            for a, b in chosen
        ]
        cells = judge_frame(pl.DataFrame(rows), models=("first", "second")).cells
        spread = spread_of("cka", cells)
        times = [sum(name in pair for pair in chosen) for name in names]
        exact = sum(count**2 for count in times) / len(chosen) ** 2
        assert (spread.pulls**2).sum(axis=1).mean() == pytest.approx(exact, rel=0.2)
        assert np.var(spread.centre) == pytest.approx(exact, rel=0.25)


def test_pairs_are_balanced() -> None:
    for count in (2, 3, 5, 6, 7, 12, 20, 40):
        names = [f"m{number:02d}" for number in range(count)]
        pairs = balanced_pairs(names)
        assert len(set(pairs)) == len(pairs) == min(10, count * (count - 1) // 2)
        times = [sum(name in pair for pair in pairs) for name in names[:20]]
        assert max(times) - min(times) <= 1


@pytest.mark.parametrize("corners", [True, False])
def test_regions_are_those_that_scipy_labels(corners: bool) -> None:
    source = np.random.default_rng(0)
    axes = pl.DataFrame({"width": np.repeat(np.arange(1, 13), 11), "batch_size": np.tile(np.arange(1, 12), 12)})
    grid = grid_of(axes)
    assert grid is not None
    phase = source.choice(np.array(["I", "II", "III"], dtype=object), 132)
    found = regions(grid, phase, corners)
    structure = np.ones((3, 3)) if corners else None
    theirs = {name: label(phase[grid.cell] == name, structure) for name in ("I", "II", "III")}
    assert len(np.unique(found)) == sum(count for _, count in theirs.values())
    for name, (labels, count) in theirs.items():
        here = phase[grid.cell] == name
        pairs = set(zip(found[grid.cell][here].tolist(), labels[here].tolist(), strict=True))
        assert len(pairs) == count


def test_a_phase_that_is_there_is_not_overwritten() -> None:
    frame = assign_phases(made([(0.01, 0.0, 0.9)]))
    with pytest.raises(UsageError, match="a column 'phase' already"):
        assign_phases(frame)
    assert assign_phases(frame.rename({"phase": "earlier", "phase_probability": "p"}))["phase"].to_list() == ["IV-B"]


def test_an_empty_table_stays_empty() -> None:
    empty = assign_phases(made([]).with_columns(width=pl.lit(1), batch_size=pl.lit(1)).clear().cast(pl.Float64))
    assert empty.height == 0
    assert empty.columns[-2:] == ["phase", "phase_probability"]


def test_calibration_is_bounded_and_leaves_small_populations_alone() -> None:
    cells = [(loss, 0.0, 0.9) for loss in np.linspace(1e-4, 2e-4, 20)]
    low = judge_frame(made(cells))
    assert low.thresholds["train_loss"].at == 0.05
    assert set(low.verdicts.phase) == {"IV-B"}
    high = judge_frame(made([(loss, 0.0, 0.3) for loss in np.linspace(1, 2, 20)]))
    assert high.thresholds["train_loss"].at == 0.2
    assert set(high.verdicts.phase) == {"II"}
    few = judge_frame(made(cells[:7]))
    assert (few.thresholds["train_loss"].at, few.thresholds["train_loss"].found) == (0.1, "stated")


def test_cka_is_large_relative_to_its_estimators_null() -> None:
    cells = [(0.01, 0.0, cka) for cka in np.linspace(0.6, 0.8, 40)]
    unbiased, biased = (judge_frame(made(cells), null=null).thresholds["cka"].at for null in (0.0, 0.5))
    assert unbiased == pytest.approx(0.9 * 0.79)
    assert biased == pytest.approx(0.5 + 0.9 * 0.29)
    alike = judge_frame(made([(0.01, 0.0, 0.02)] * 9 + [(0.01, 0.0, 0.03)]))
    assert set(alike.verdicts.phase) == {"IV-A"}  # nothing is large among models that have nothing in common


def test_the_elbow_is_where_a_broken_line_bends() -> None:
    values = np.concatenate([np.full(60, 0.01), np.linspace(0.01, 2.0, 41)])
    assert 0.005 < elbow(values) < 0.15
    assert elbow(values) == elbow(np.random.default_rng(0).permutation(values))


def test_otsu_agrees_with_the_definition() -> None:
    values = np.random.default_rng(1).normal(size=50)
    ordered = np.sort(values)
    within = [ordered[:k].var() * k + ordered[k:].var() * (50 - k) for k in range(1, 50)]
    best = int(np.argmin(within))
    assert otsu(values) == pytest.approx((ordered[best] + ordered[best + 1]) / 2)


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.floats() | st.none()] * 3), min_size=1, max_size=30))
def test_any_numbers_have_a_phase_or_none(rows: list[tuple[float | None, ...]]) -> None:
    frame = pl.DataFrame(
        rows, schema=dict.fromkeys(["train_loss", "mode_connectivity", "cka"], pl.Float64), orient="row"
    )
    assigned = assign_phases(frame)
    assert set(assigned["phase"]) <= {*PHASES, "unknown", "I or II", "III or IV", "IV"}
    assert assigned["phase_probability"].is_between(0, 1).fill_null(value=True).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rule": "taxonomi"}, "did you mean 'taxonomy'"),
        ({"rule": "absent.toml"}, "cannot be read"),
        ({"columns": {"ckaa": "cka"}}, "did you mean 'cka'"),
        ({"columns": {"cka": "cell_cka"}}, "cka = 'cell_cka': expected one of"),
        ({"columns": {"cka": "word"}}, "expected numbers"),
        ({"columns": {"train_error": "train_accuracy"}}, "is an accuracy"),
        ({"columns": {"train_error": "share"}}, 'never exceeds 0.4 where losses reach 1 nats.*say units="shares"'),
        ({"columns": ["cka"]}, "is a list; expected a mapping"),
        ({"units": "share"}, "did you mean 'shares'"),
        ({"columns": {"cka_standard_error": "below"}}, "'below' has negative values"),
        ({"columns": {"cka_standard_error": "word"}}, "expected numbers"),
    ],
)
def test_mistakes_are_said_in_one_line(arguments: dict[str, object], says: str) -> None:
    frame = made([(1.0, 0.0, 0.5)]).with_columns(
        word=pl.lit("x"), train_accuracy=pl.lit(99.0), share=pl.lit(0.4), below=pl.lit(-1.0)
    )
    with pytest.raises(UsageError, match=says) as caught:
        assign_phases(frame, **arguments)  # type: ignore[arg-type] # what a user may write
    assert "\n" not in str(caught.value)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(UsageError, match="a polars DataFrame, this is a dict"):
        assign_phases({"train_loss": [1.0]})  # type: ignore[arg-type] # what a user may write
    with pytest.raises(UsageError, match="none of the metrics"):
        assign_phases(pl.DataFrame({"loss": [1.0]}))
    with pytest.raises(UsageError, match="no grid to draw"):
        diagram(judge_frame(made([(1.0, 0.0, 0.5)])))


def taxonomy() -> str:
    import learners

    return (Path(str(learners.__file__)).parent / "landscape/phases/rules/taxonomy.toml").read_text(encoding="utf-8")


def test_every_shipped_rule_reads_and_names_all_its_phases() -> None:
    assert rule_names() == ["model-diagnosis", "taxonomy"]
    for name in rule_names():
        rule = load_rule(name)
        assert (rule.name, sorted(rule.tree.phases)) == (name, sorted(rule.labels))
        assert load_rule(rule) is rule
        assert len(rule.sha256) == 64


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('negative = "I"\n', "", "mode_connectivity has the answers"),
        ("tolerance = 1.25", "tolerance = 0.0", "more than 0"),
        ("tolerance = 1.25", "tolerence = 1.25", "tolerence"),
        ('positive = "II"', 'positive = "V"', "labels"),
        ("[metrics.cka]", "[metrics.cca]", "metrics.cca"),
        ("version = 1", "version = ", "no TOML"),
    ],
)
def test_a_rule_with_a_mistake_is_refused(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in taxonomy()
    path = tmp_path / "mine.toml"
    path.write_text(taxonomy().replace(old, new), encoding="utf-8")
    with pytest.raises(UsageError, match=says) as caught:
        load_rule(path)
    assert "\n" not in str(caught.value)


def test_a_rule_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(taxonomy().replace("tolerance = 1.25", "tolerance = 10.0"), encoding="utf-8")
    frame = made([(0.01, -9.0, 0.9)])
    assert assign_phases(frame, path)["phase"].to_list() == ["IV-B"]
    assert assign_phases(frame, str(path))["phase"].to_list() == ["IV-B"]
    own, shipped = load_rule(path), load_rule("taxonomy")
    assert isinstance(own, Rule)
    assert own.sha256 != shipped.sha256
