"""Pictures of stitching: what they show, that models keep names of their own, and that a browser cuts nothing off."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners import draw_penalties, draw_stitches
from learners.reporting.stitching import stitching_section
from learners.stitching.depth_chart import depths, families
from learners.stitching.pareto_chart import pareto_chart
from learners.stitching.penalty_chart import penalties_by_depth, penalty_heat_map
from learners.stitching.penalty_map import mean_over_cuts
from learners.stitching.penalty_matrix import PenaltyMatrix
from learners.stitching.short_names import short_names
from schemas import Lake
from tests.chromium import asked_in_chromium

CUTS = {"mlp": ["linear1", "linear2"], "cnn": ["conv1", "conv2", "linear1"]}
LONG = "zoo:a-population-with-a-rather-long-name-{kind}-{hash}/w{width}-b32-s0"
MODELS = {
    kind: [LONG.format(kind=kind, hash=digits, width=width) for width in (2, 4, 8)]
    for kind, digits in (("mlp", "0a1b2c3d"), ("cnn", "4e5f6a7b"))
}


def penalties(kinds: list[str], joints: tuple[str, ...] = ("least squares",)) -> pl.DataFrame:
    """Drawn penalties of all pairs at all cuts of the ends."""
    source = np.random.default_rng(0)
    models = [(kind, model) for kind in kinds for model in MODELS[kind]]
    rows = [
        {"front": front, "end": end, "cut": cut, "end_cut": number, "joint": joint, "standard_error": 0.01}
        | {"penalty": 0.0 if front == end else source.uniform(-0.1, 0.6)}
        for _, front in models
        for kind, end in models
        for number, cut in enumerate(CUTS[kind])
        for joint in joints
    ]
    return pl.DataFrame(rows)


def matrix(kinds: list[str], joints: tuple[str, ...] = ("least squares",)) -> PenaltyMatrix:
    rows = penalties(kinds, joints)
    return PenaltyMatrix(tuple(rows["front"].unique(maintain_order=True)), rows, 0, pl.DataFrame())


def stitches(dearest: int) -> pl.DataFrame:
    """Two anchors, of which training costs the cheaper one something, and three stitches between them."""
    costs = [1000, dearest, *(1000 + (dearest - 1000) * part // 4 for part in (1, 2, 3))]
    return pl.DataFrame(
        [
            {"model_id": "made:stitch/x", "stitch": n, "path": str(n), "hops": int(n > 1), "stage": stage}
            | {"flops": costs[n], "parameters": 100, "accuracy": 0.8 + n / 50 - 0.1 * (stage == "trained" and n == 0)}
            | {"standard_error": 0.01, "samples": 100, "on_front": n in (0, 1, 4)}
            for n in range(5)
            for stage in ("random", "least squares", "trained")
        ]
    )


@given(st.lists(st.text(st.sampled_from("ab-/:…0é"), max_size=40), max_size=40, unique=True), st.integers(8, 40))
def test_names_are_short_and_no_two_alike(ids: list[str], letters: int) -> None:
    named = short_names(ids, letters)
    assert list(named) == ids
    assert len(set(named.values())) == len(ids)
    assert all(len(name) <= letters for name in named.values())


def test_of_populations_that_share_names_the_part_is_kept_that_differs() -> None:
    hashes = [f"zoo:a-population-with-a-rather-long-name-{digits}/w2-b32-s0" for digits in ("0a1b2c3d", "4e5f6a7b")]
    assert [*short_names(hashes).values()] == ["0a1b2c3d w2-b32-s0", "4e5f6a7b w2-b32-s0"]
    assert [*short_names(hashes[:1]).values()] == ["w2-b32-s0"]
    assert short_names([*MODELS["mlp"], *MODELS["cnn"]])[MODELS["cnn"][0]] == "cnn w2-b32-s0"


def test_of_several_architectures_names_begin_with_them() -> None:
    ids = [f"zoo:population-{digits}/w12-b32-d3-s0" for digits in ("0a1b2c3d", "4e5f6a7b")] + ["zoo:other/w4"]
    kinds = dict(zip(ids, ("mlp", "mlp", "cnn"), strict=True))
    names = [*short_names(ids, 40, kinds).values()]
    assert [name.partition(" ")[0] for name in names] == ["mlp", "mlp", "cnn"]
    assert [*short_names(ids[1:], 40, kinds).values()] == ["mlp w12-b32-d3-s0", "cnn w4"]
    assert [*short_names(ids[:1], 40, kinds).values()] == ["w12-b32-d3-s0"]  # nothing is told apart by it
    of_heads = {name: kind for kind, several in MODELS.items() for name in several}
    assert short_names(of_heads, 40, of_heads)[MODELS["cnn"][0]] == "cnn w2-b32-s0"  # not said twice


def test_a_map_of_several_architectures_says_which_model_has_which(tmp_path: Path) -> None:
    names = {name: f"zoo:population-{kind[0]}/{name[-9:]}" for kind in MODELS for name in MODELS[kind]}
    kinds = {names[name]: kind for kind in MODELS for name in MODELS[kind]}
    rows = penalties(["mlp", "cnn"]).with_columns(pl.col("front", "end").replace_strict(names))
    rows = rows.with_columns(end_architecture=pl.col("end").replace_strict(kinds))
    drawn = draw_penalties(PenaltyMatrix((*kinds,), rows, 0, pl.DataFrame()), tmp_path / "both.svg")
    named = set(re.findall(r">((?:mlp|cnn) [mc] w\d-b32-s0)<", drawn.read_text(encoding="utf-8")))
    assert named == {f"{kind} {kind[0]} {name[-9:]}" for name, kind in kinds.items()}


@pytest.mark.parametrize(("dearest", "scale"), [(800_000, "log"), (3000, None)])
def test_costs_that_differ_much_are_on_a_logarithmic_axis(dearest: int, scale: str | None) -> None:
    chart = pareto_chart(stitches(dearest)).to_dict()
    assert len(chart["hconcat"]) == 2
    for drawn in chart["hconcat"]:
        x = drawn["layer"][1]["encoding"]["x"]
        assert x["scale"].get("type") == scale
        assert x["axis"]["labelFlush"] is False
        if scale:
            low, high = x["scale"]["domain"]
            assert low < 1 < dearest / 1000 < high
            assert all(low <= tick <= high for tick in x["axis"]["values"])
            assert {1.0, 10.0, 100.0} <= set(x["axis"]["values"])


def test_a_file_says_what_diamonds_and_dots_are(tmp_path: Path) -> None:
    svg = draw_stitches(stitches(800_000), tmp_path / "front.svg").read_text(encoding="utf-8")
    legend = re.findall(r">([^<>]+)</text>", svg)
    for name in ("anchor", "stitch", "random", "trained", "After training; hollow: anchors before"):
        assert name in legend


def test_anchors_before_training_are_beside_those_after(lake: Lake) -> None:
    rows = stitches(800_000)
    with lake.write() as transaction:
        transaction.append("stitch", rows)
    (figure,) = stitching_section(lake, None).figures
    after = figure.panels[1]
    assert after.finding == "Training took the cheapest anchor from 80.0% to 70.0%, the dearest from 82.0% to 82.0%."
    for drawn in (after.specification, pareto_chart(rows).to_dict()):
        held = [row for part in drawn["datasets"].values() for row in part if row["kind"] == "anchor before training"]
        assert [row["stage"] for row in held] == ["least squares"] * 2
        assert [row["accuracy"] for row in held] == pytest.approx([0.8, 0.82])


def test_of_many_networks_the_newest_are_shown_and_the_others_counted(lake: Lake) -> None:
    made = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=(5 * n) % 6) for n in range(6)]
    names = [f"made:stitch/{n}" for n in range(6)]
    with lake.write() as transaction:
        transaction.append("product", pl.DataFrame({"model_id": names, "made_at": made, "method": "stitchable"}))
        for name in names:
            transaction.append("stitch", stitches(3000).with_columns(model_id=pl.lit(name)))
    section = stitching_section(lake, None)
    newest = sorted(names, key=lambda name: made[names.index(name)], reverse=True)
    assert [figure.title for figure in section.figures] == [f"Stitchable network {name}" for name in newest[:4]]
    assert section.says == "Of 6 stitchable networks the 4 newest are shown."
    for figure in section.figures:
        assert lake.sql(figure.sql).equals(figure.rows)


def test_ends_of_other_cuts_are_in_pictures_of_their_own() -> None:
    """The same name at other depths of other networks is no point of the same line."""
    rows = penalties(["mlp", "cnn"], ("least squares", "trained"))
    found = {family.cuts: family for family in families(depths(rows))}
    assert set(found) == {tuple(cuts) for cuts in CUTS.values()}
    for kind, cuts in CUTS.items():
        family = found[tuple(cuts)]
        assert family.ends == 3
        assert family.rows.height == 2 * len(cuts)
        for row in family.rows.iter_rows(named=True):
            part = rows.filter(
                pl.col("front") != pl.col("end"), pl.col("end").is_in(MODELS[kind]), joint=row["joint"], cut=row["cut"]
            )["penalty"].to_numpy()
            assert row["penalty"] == pytest.approx(part.mean())
            assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(part, (0.25, 0.75))))
            assert row["pairs"] == len(part)


def test_architectures_whose_cuts_have_the_same_names_are_apart() -> None:
    """Networks of several architectures call their cuts alike, as all whose blocks are numbered do."""
    alike = {kind: matrix(["mlp"]).rows.with_columns(end_architecture=pl.lit(kind)) for kind in ("one", "other")}
    renamed = alike["other"].with_columns(pl.col("front", "end") + "-of-other")
    both = PenaltyMatrix((), pl.concat([alike["one"], renamed]), 0, pl.DataFrame())
    titles = [chart.to_dict()["title"]["text"] for chart in penalties_by_depth(both)]
    assert titles == [f"By depth: {kind}: linear1 to linear2, 3 ends" for kind in alike]


def test_the_interval_of_a_mean_over_cuts_is_about_it_and_wide_enough() -> None:
    """Of two cuts whose errors go wholly together, the mean has the mean of their errors."""
    source = np.random.default_rng(1)
    shared = 0.05 * source.standard_normal(4000)
    rows = pl.DataFrame(
        [
            {"front": str(n), "end": "e", "joint": "least squares", "penalty": level + error, "standard_error": 0.05}
            for n, error in enumerate(shared)
            for level in (0.1, 0.3)
        ]
    )
    means = mean_over_cuts(rows)
    covered = means.select(((pl.col("low") <= 0.2) & (pl.col("high") >= 0.2)).mean()).item()
    assert covered == pytest.approx(0.95, abs=0.015)  # four standard errors of 4000 draws
    assert ((means["low"] + means["high"]) / 2).to_list() == pytest.approx(means["penalty"].to_list())


def add(lake: Lake, rows: pl.DataFrame, samples: int, day: int, **settings: Any) -> None:
    fields = rows.select(
        first_id="front",
        second_id="end",
        metric=pl.lit("stitch_penalty"),
        value="penalty",
        standard_error="standard_error",
        split=pl.lit("test"),
        samples=pl.lit(samples),
        seed=pl.lit(0),
        measured_at=pl.lit(datetime(2024, 1, day, tzinfo=UTC)),
        settings=pl.struct("cut", "end_cut", "joint").map_elements(
            lambda row: json.dumps(
                {"end_cut_name": row["cut"], "end_cut": row["end_cut"], "joint": row["joint"], **settings}
            ),
            pl.String,
        ),
    )
    with lake.write() as transaction:
        transaction.append("pair_measurement", fields)


def drawn_pairs(specification: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for part in specification["datasets"].values() for row in part if "penalty" in row]


def test_populations_that_no_joint_holds_together_have_maps_of_their_own(lake: Lake) -> None:
    for kind in MODELS:
        add(lake, penalties([kind]), 269, 1, fit_samples=2000, ridge=0.0)
    maps = {figure.title: figure for figure in stitching_section(lake, None).figures}["Stitch penalties"].panels
    assert [panel.title for panel in maps] == [
        f"Joints by least squares: 3 models of a-population-with-a-rather-long-name-{name}"
        for name in ("cnn-4e5f6a7b", "mlp-0a1b2c3d")
    ]
    for panel in maps:
        assert len(drawn_pairs(panel.specification)) == 9
        assert "branch" in json.dumps(panel.specification)  # a dendrogram


def test_a_quick_try_does_not_replace_what_was_measured_in_full(lake: Lake) -> None:
    full, quick = penalties(["mlp"]), penalties(["mlp"]).with_columns(penalty=pl.lit(0.9))
    add(lake, full, 269, 1, fit_samples=2000, ridge=0.0)
    add(lake, quick, 50, 2, fit_samples=2000, ridge=0.0)
    add(lake, quick.filter(cut="linear2"), 269, 3, fit_samples=20, ridge=0.0)
    add(lake, full.with_columns(joint=pl.lit("trained")), 50, 4, fit_samples=2000, training={"epochs": 5})
    figures = {figure.title: figure for figure in stitching_section(lake, None).figures}
    shown = {panel.title: drawn_pairs(panel.specification) for panel in figures["Stitch penalties"].panels}
    assert list(shown) == ["Joints by least squares", "Joints by training"]
    names = short_names(MODELS["mlp"])
    known = mean_over_cuts(full).select("front", "end", "penalty").rows()
    means = {(names[front], names[end]): mean for front, end, mean in known}
    for pairs in shown.values():
        assert {(row["front"], row["end"]): row["penalty"] for row in pairs} == pytest.approx(means, abs=1e-5)


def test_a_page_holds_no_more_pairs_than_it_can(lake: Lake) -> None:
    """Three kinds of joints of seventy models: of each the first sixty, and as many kinds as there is room for."""
    models = [f"zoo:many-0a1b2c3d/w{width}-b32-s0" for width in range(70)]
    rows = pl.DataFrame({"front": models}).join(pl.DataFrame({"end": models}), how="cross")
    rows = rows.with_columns(penalty=0.1, standard_error=0.01, cut=pl.lit("linear1"), end_cut=0)
    for number in range(3):
        add(lake, rows.with_columns(joint=pl.lit(f"kind {number}")), 269, 1, fit_samples=2000)
    (figure,) = stitching_section(lake, None).figures
    drawn = [len(drawn_pairs(panel.specification)) for panel in figure.panels]
    assert drawn == [60 * 60] * 2
    assert "Of more than 60 models the first by name are shown. The largest 2 of 3 maps are shown." in figure.says
    assert sum(len(json.dumps(panel.specification)) for panel in figure.panels) < 1_000_000


LABELS = """
const picture = document.querySelector("svg").getBoundingClientRect();
const texts = [...document.querySelectorAll("svg text")].filter((each) => each.textContent)
  .map((each) => [each.textContent, each.getBoundingClientRect()]);
const apart = (one, other) => one.right <= other.left + 1 || other.right <= one.left + 1
  || one.bottom <= other.top + 1 || other.bottom <= one.top + 1;
return {
  texts: texts.length,
  cut: texts.filter(([, box]) => box.left < picture.left || box.right > picture.right || box.top < picture.top
    || box.bottom > picture.bottom).map(([text]) => text),
  over: texts.flatMap(([text, box], place) => texts.slice(place + 1).filter(([, other]) => !apart(box, other))
    .map(([other]) => [text, other])),
};
"""


@pytest.mark.browser
@pytest.mark.parametrize("font", ["sans-serif", "DejaVu Sans"])
def test_a_browser_cuts_no_word_of_a_file_and_lays_none_over_another(tmp_path: Path, font: str) -> None:
    pictures = [
        draw_penalties(matrix(["mlp"], ("least squares", "trained")), tmp_path / "mlp.svg"),
        draw_penalties(matrix(["mlp", "cnn"]), tmp_path / "mixed.svg"),
        draw_stitches(stitches(800_000), tmp_path / "wide.svg"),
        draw_stitches(stitches(3000), tmp_path / "narrow.svg"),
    ]
    for number, picture in enumerate(pictures):
        folder = tmp_path / str(number)
        folder.mkdir()
        svg = picture.read_text(encoding="utf-8").replace("sans-serif", font)
        page = folder / "page.html"
        page.write_text(f'<!doctype html><meta charset="utf-8"><body data-drawn="1">{svg}', encoding="utf-8")
        found, _ = asked_in_chromium(page, LABELS)
        assert found["texts"] > 10
        assert (found["cut"], found["over"]) == ([], []), picture.name


def test_pairs_without_a_joint_are_blank_and_leave_no_dendrogram() -> None:
    whole = matrix(["mlp", "cnn"])
    some = PenaltyMatrix(
        whole.models,
        whole.rows.filter(~pl.col("end").is_in(MODELS["cnn"]) | (pl.col("front") == pl.col("end"))),
        0,
        pl.DataFrame(),
    )
    drawn, blank = (penalty_heat_map(each).to_dict() for each in (whole, some))
    assert "branch" in json.dumps(drawn)
    assert "branch" not in json.dumps(blank)
    assert "blank: no joint is possible" in blank["title"]["subtitle"]
    assert "blank" not in drawn["title"]["subtitle"]
