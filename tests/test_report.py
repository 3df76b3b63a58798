"""The report: self-contained, safe, true to its queries, and drawn by a real browser at every size in every colour."""

import json
import re
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from learners import phases_of_population, report
from learners.reporting.families import family_section
from learners.reporting.figure import Section
from learners.reporting.hubs import mined_section, runs
from learners.reporting.pictures import theme
from learners.reporting.populations import population_sections
from learners.reporting.soups import soup_section
from learners.reporting.stitching import stitching_section
from learners.reporting.table import cell
from learners.stitching.chart_look import COLOURS
from learners.stitching.pareto_chart import pareto_chart
from schemas import Lake, OutsideError, UsageError, open_lake
from tests.chromium import asked_in_chromium

HOSTILE = "</script><script>document.title='owned'</script>"
MANY = 600  # members with a learning rate of their own
LIMIT = 15_000_000  # bytes of a report on 100,000 models
TITLES = [
    *("Models by task", "Models by library", "Coverage", "Tasks over time", "Libraries over time"),
    *("Documentation over time", "Parents of many", "Family of huggingface:a/1", "Accuracy over width and batch size"),
    *("Phases", "Training curves by phase", "Soups beside their ingredients", "Kinds of soups compared"),
    *("Stitchable network made:stitch/x", "Stitch penalties", "Penalties by depth"),
]


@pytest.fixture
def filled(lake: Lake) -> Lake:
    """A lake with a small grid, its curves, a soup and mined models of which one has a hostile task."""
    members = [(width, batch, seed) for width in (2, 4) for batch in (16, 64) for seed in (0, 1)]
    names = [f"zoo:tiny-0/w{width}-b{batch}-s{seed}" for width, batch, seed in members]
    curve = [
        {"model_id": name, "epoch": epoch, "split": split, "metric": "accuracy", "value": 0.5 + epoch / 10}
        for name in names
        for epoch in (1, 2, 3)
        for split in ("train", "validation", "test")
    ]
    grid = pl.DataFrame(members, schema=["width", "batch_size", "seed"], orient="row")
    with lake.write() as transaction:
        transaction.append("population", pl.DataFrame({"population_id": [HOSTILE], "name": ["tiny"]}))
        transaction.append("model", pl.DataFrame({"model_id": names, "hub": "zoo", "parameters": 100}))
        transaction.append(
            "member",
            grid.with_columns(model_id=pl.Series(names), population_id=pl.lit(HOSTILE), state=pl.lit("trained")),
        )
        transaction.append("training", pl.DataFrame(curve))
        mined = {"model_id": ["huggingface:a/b", "huggingface:a/c"], "hub": "huggingface", "task": [HOSTILE, None]}
        transaction.append("model", pl.DataFrame(mined))
    _add_soup(lake, names[:3])
    return lake


@pytest.fixture(scope="module")
def full(undisturbed: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with everything that a report can show: trained, measured and judged models, and rows of mined ones."""
    folder = tmp_path_factory.mktemp("full") / "lake"
    shutil.copytree(undisturbed.path, folder)
    lake = open_lake(folder)
    phases_of_population(lake, "tiny", settings={"epochs": 1, "runs": 1})
    _add_mined(lake, 300)
    members = lake.sql("SELECT model_id FROM member ORDER BY ALL")["model_id"].to_list()
    _add_soup(lake, members[:3])
    _add_stitches(lake, members)
    return lake


def _add_mined(lake: Lake, count: int) -> None:
    """Mined models of a year and two hubs: some with cards, all of them with a parent but the first."""
    with lake.write() as transaction:
        transaction.sql(f"""
            INSERT INTO model BY NAME SELECT if(n % 5 = 4, 'onnx', 'huggingface') || ':a/' || n AS model_id,
                split_part(model_id, ':', 1) AS hub, 'a' AS owner, n::VARCHAR AS name, n * 10 AS downloads,
                if(n % 3 = 0, NULL, 'task-with-a-rather-long-name-' || n % 9) AS task,
                if(n % 4 = 0, NULL, 'library-' || n % 8) AS library, 10000 + n AS parameters,
                TIMESTAMPTZ '2024-01-15' + to_days((n % 360)::INTEGER) AS created_at
            FROM range({count}) AS all_models(n)
        """)
        transaction.sql("""
            INSERT INTO documentation BY NAME SELECT model_id, (downloads % 70) / 100 AS score, 10 AS words
            FROM model WHERE hub = 'huggingface'
        """)
        transaction.sql("""
            INSERT INTO lineage BY NAME SELECT model_id AS child_id, 'huggingface:a/' || downloads // 200 AS parent_id,
                if(downloads % 20 = 0, 'finetune', 'quantized') AS relation, 'tags' AS source, 1 AS confidence
            FROM model WHERE owner = 'a' AND model_id <> 'huggingface:a/0'
        """)


def _add_soup(lake: Lake, members: list[str]) -> None:
    """A soup of members with its figures, and a comparison of kinds of soups."""
    settings = json.dumps({"ingredients": members, "warnings": []})
    figures = (("soup", "accuracy", 0.9), ("best single", "best_single_accuracy", 0.8))
    measured = [
        {"model_id": "made:soup/x", "metric": metric, "split": "test", "value": value, "standard_error": 0.01}
        | {"samples": 270, "settings": json.dumps({"candidate": candidate})}
        for candidate, metric, value in (*figures, ("logit ensemble", "logit_ensemble_accuracy", 0.95))
    ]
    compared = [
        {"comparison_id": "c", "models": 3, "candidate": candidate, "condition": condition, "accuracy": accuracy}
        | {"low": accuracy - 0.02, "high": accuracy + 0.02, "gain": 0.0, "gain_low": -0.01, "gain_high": 0.01}
        | {"model_id": members[0] if candidate == "best single" else None}
        for candidate in ("best single", "uniform", "aligned and repaired")
        for condition, accuracy in (("clean", 0.9), ("corrupted", 0.7))
    ]
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["made:soup/x"], "hub": ["made"]}))
        made = {"model_id": ["made:soup/x"], "method": ["uniform_soup"], "settings": [settings]}
        transaction.append("product", pl.DataFrame(made | {"made_at": [datetime(2024, 1, 1, tzinfo=UTC)]}))
        transaction.append("measurement", pl.DataFrame(measured))
        transaction.append("soup_comparison", pl.DataFrame(compared))
        rows = pl.DataFrame({"child_id": "made:soup/x", "parent_id": members, "relation": "soup"})
        transaction.append("lineage", rows)


def _add_stitches(lake: Lake, members: list[str]) -> None:
    """Penalties of every pair at two cuts, and a network of two anchors and three stitches."""
    penalties = [
        {"first_id": front, "second_id": end, "metric": "stitch_penalty", "value": (i - j) / 20 + cut / 50}
        | {"standard_error": 0.01, "samples": 100, "split": "test", "seed": 0}
        | {"settings": json.dumps({"end_cut_name": f"block {cut}", "end_cut": cut, "joint": "least squares"})}
        for i, front in enumerate(members)
        for j, end in enumerate(members)
        for cut in (1, 2)
    ]
    stitches = [
        {"model_id": "made:stitch/x", "stitch": n, "path": f"{n}", "hops": int(n > 1), "stage": stage}
        | {"flops": 1000 * (n + 1), "parameters": 100, "accuracy": 0.5 + n / 20, "standard_error": 0.01}
        | {"samples": 100, "on_front": n in (0, 1, 4)}
        for n in range(5)
        for stage in ("random", "least squares", "trained")
    ]
    with lake.write() as transaction:
        transaction.append("pair_measurement", pl.DataFrame(penalties))
        transaction.append("stitch", pl.DataFrame(stitches))
        rows = pl.DataFrame({"child_id": "made:stitch/x", "parent_id": members[:2], "relation": "stitch"})
        transaction.append("lineage", rows)


def sections_of(lake: Lake) -> list[Section]:
    populations, _ = population_sections(lake, None, 8)
    rest = [soup_section(lake, None), stitching_section(lake, None)]
    return [mined_section(lake), family_section(lake), *populations, *rest]


def test_the_report_is_one_file_that_needs_no_internet(filled: Lake, tmp_path: Path) -> None:
    page = report(filled, tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.html"]
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?(https?:)?//", page)
    assert "default-src 'none'" in page.partition("<title>")[0]
    for title in ("Accuracy over width", "Training curves", "Soups beside", "Models by task", "Coverage"):
        assert title in page
    assert "FROM coverage" in page


def test_names_from_hubs_cannot_run_in_the_report(filled: Lake, tmp_path: Path) -> None:
    page = report(filled, tmp_path / "report.html", pictures=tmp_path / "pictures").read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "&lt;/script&gt;" in page
    assert "\\u003c/script>" in page
    assert all("<script" not in path.read_text() for path in (tmp_path / "pictures").iterdir())


def test_an_empty_lake_has_a_report_too(lake: Lake, tmp_path: Path) -> None:
    page = report(lake, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The lake is empty." in page


def test_a_report_that_cannot_be_written_is_said(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutsideError, match="cannot write"):
        report(lake, tmp_path / "file" / "report.html")


def test_every_figure_is_what_its_query_answers(full: Lake) -> None:
    figures = [figure for section in sections_of(full) for figure in section.figures]
    assert [figure.title for figure in figures] == TITLES
    for figure in figures:
        asked = full.sql(figure.sql)
        if figure.drawing:  # a graph, of which the table shows the nearest
            assert set(figure.rows["model_id"]) <= set(asked["model_id"])
        else:
            assert_frame_equal(asked, figure.rows, rel_tol=1e-12)  # a mean's last bit hangs on which thread adds first
        assert figure.finding


def test_times_of_few_models_have_no_share_and_each_figure_a_headline_of_its_own(full: Lake) -> None:
    figures = {figure.title: figure for figure in mined_section(full).figures}
    tasks, libraries = figures["Tasks over time"], figures["Libraries over time"]
    for figure, column in ((tasks, "task"), (libraries, "library")):
        sums = figure.rows.group_by("month").agg(pl.sum("models"))
        enough = set(sums.filter(pl.col("models") >= 10)["month"].cast(pl.String))
        assert sums.height == len(enough) + 1
        assert "Shares are left out of 1 month with fewer than 10 models." in figure.says
        drawn = [{row["month"] for row in each.specification["datasets"].popitem()[1]} for each in figure.panels]
        assert drawn == [set(sums["month"].cast(pl.String)), enough]
        counted = full.sql(f"SELECT {column}, count(*) AS n FROM models WHERE origin = 'mined' GROUP BY ALL")
        name, count = counted.drop_nulls(column).sort("n", column, descending=[True, False]).row(0)
        assert figure.finding.startswith(f"The commonest, {name}: {count / counted['n'].sum():.0%} of all")
    assert "none stated" not in figures["Models by task"].finding
    assert tasks.panels[0].finding.startswith("The most in ")


def test_curves_and_accuracies_are_those_of_the_members(full: Lake) -> None:
    population = population_sections(full, None, 8)[0][0]
    accuracy, _, curves = population.figures
    models = full.sql("SELECT width, batch_size, test_accuracy FROM models WHERE origin = 'trained'")
    expected = models.group_by("width", "batch_size").agg(pl.mean("test_accuracy")).sort("width", "batch_size")
    assert accuracy.rows["test_accuracy"].to_list() == pytest.approx(expected["test_accuracy"].to_list())
    training = full.sql("FROM training JOIN member USING (model_id) WHERE split = 'validation' AND metric = 'accuracy'")
    expected = training.group_by("width", "batch_size", "epoch").agg(pl.mean("value"))
    joined = curves.rows.join(expected, on=["width", "batch_size", "epoch"])
    assert joined.height == curves.rows.height == expected.height
    assert joined["accuracy"].to_list() == pytest.approx(joined["value"].to_list())
    phases = full.sql("SELECT phase, load::INTEGER AS width, temperature::INTEGER AS batch_size FROM phases")
    assert curves.rows.join(phases, on=["phase", "width", "batch_size"]).height == curves.rows.height


def test_what_members_have_drawn_for_themselves_is_put_into_bins(filled: Lake, tmp_path: Path) -> None:
    with filled.write() as transaction:
        transaction.sql(f"""
            INSERT INTO member BY NAME SELECT 'zoo:free/' || n AS model_id, 'free' AS population_id, n % 3 AS width,
                'trained' AS state, pow(10, -4 + n / {MANY - 1} * 3) AS learning_rate
            FROM range({MANY}) AS all_members(n)
        """)
        transaction.sql("INSERT INTO population BY NAME SELECT 'free' AS population_id, 'free' AS name")
        transaction.sql("""
            INSERT INTO training BY NAME SELECT model_id, epoch, split, 'accuracy' AS metric,
                if(epoch = 3 AND width = 1, 'inf'::DOUBLE, width + learning_rate) AS value
            FROM member, range(1, 4) AS every_epoch(epoch), (VALUES ('validation'), ('test')) AS every_split(split)
            WHERE population_id = 'free'
        """)
        transaction.sql("INSERT INTO model BY NAME SELECT model_id, 'zoo' AS hub FROM member WHERE width < 3")
    (section,), _ = population_sections(filled, "free", 1)
    accuracy, curves = (figure.rows for figure in section.figures)
    assert accuracy["trained"].sum() == MANY
    assert accuracy["learning_rate"].unique().sort().to_list() == pytest.approx(
        [float(f"{10 ** (-4 + 3 * (n + 0.5) / 12):.3g}") for n in range(12)], rel=1e-3
    )
    off = (accuracy["test_accuracy"] - accuracy["width"] - accuracy["learning_rate"]) / accuracy["learning_rate"]
    assert all(abs(each) < 0.07 for each in off.filter(accuracy["width"] != 1))  # a bin's mean is near its middle
    assert curves.height == 3 * 12 * 3
    page = report(filled, tmp_path / "report.html", population="free").read_text(encoding="utf-8")
    assert "The learning rate of members is in 12 bins." in page
    assert not re.search(
        r"[:\[, ](-?Infinity|NaN)", page.partition('id="specifications">')[2].partition("</script>")[0]
    )


def test_a_population_has_a_report_of_its_own(full: Lake, tmp_path: Path) -> None:
    page = report(full, tmp_path / "report.html", population="tiny").read_text(encoding="utf-8")
    assert "weightlake report of a population" in page
    for title in ("Phases", "Training curves by phase", "Soups beside", "Kinds of soups", "Stitch penalties"):
        assert f">{title}" in page
    assert "Mined models" not in page
    with pytest.raises(UsageError, match="expected one of: tiny-"):
        report(full, tmp_path / "other.html", population="tinny")


def test_every_picture_is_an_svg_file_too(full: Lake, tmp_path: Path) -> None:
    page = report(full, tmp_path / "report.html", pictures=tmp_path / "pictures").read_text(encoding="utf-8")
    written = sorted((tmp_path / "pictures").iterdir())
    assert len(written) == page.count('class="save"')
    for path in written:
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(root.iter())) > 10


def test_a_stitchable_network_looks_alike_in_a_report_and_in_a_file_of_its_own(full: Lake) -> None:
    reported = stitching_section(full, None).figures[0].panels[0].specification
    alone = pareto_chart(full.sql("FROM stitch")).to_dict()["hconcat"][0]
    marks = [[layer["mark"] for layer in drawn["layer"]] for drawn in (reported, alone)]
    assert marks[0] == marks[1]
    for channel in ("x", "y", "size"):
        assert reported["layer"][1]["encoding"][channel] == alone["layer"][1]["encoding"][channel]
    light = theme()["light"]["range"]["category"]
    assert light[: len(COLOURS)] == COLOURS == alone["layer"][0]["encoding"]["color"]["scale"]["range"]


@pytest.mark.parametrize(
    ("value", "name", "shown"),
    [
        (None, "x", '<span title="not known">&ndash;</span>'),
        (1234567, "models", "1,234,567"),
        (41_800_000_000_000, "parameters", "41.8&nbsp;T"),
        (999_999, "parameters", "999,999"),
        (1024, "width", "1024"),
        (0.12345, "card_share", "12.3%"),
        (0.00012345, "value", "0.0001234"),
        (True, "known", "yes"),
        ("<b>\x00", "task", "&lt;b&gt;\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_figures_are_written_for_people(value: object, name: str, shown: str) -> None:
    assert cell(value, name) == shown


def test_a_report_on_a_hundred_thousand_models_stays_small(full: Lake, tmp_path: Path) -> None:
    shutil.copytree(full.path, tmp_path / "large")
    large = open_lake(tmp_path / "large")
    with large.write() as transaction:
        transaction.sql("DELETE FROM model WHERE owner = 'a'")
        transaction.sql("DELETE FROM lineage WHERE relation IN ('finetune', 'quantized')")
        transaction.sql("DELETE FROM documentation")
    _add_mined(large, 100_000)
    assert report(large, tmp_path / "report.html").stat().st_size < LIMIT / 5


LOOKS, WORKS = (
    Path(__file__).with_name(f"report_{name}.js").read_text(encoding="utf-8") for name in ("looks", "works")
)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_a_browser_draws_everything_at_every_size(full: Lake, tmp_path: Path, width: int, dark: bool) -> None:
    """No chart is empty or cut, nothing is wider than the screen, all text has a contrast of 4.5, nothing complains."""
    path = report(full, tmp_path / "report.html")
    found, console = asked_in_chromium(path, LOOKS, width, dark)
    assert console == []
    assert found["drawn"] == found["charts"] == path.read_text(encoding="utf-8").count('class="chart"')
    assert found["charts"] > len(TITLES)
    assert found["dark"] is dark
    for wrong in ("cut", "wide", "pale"):
        assert found[wrong] == []
    assert (found["empty"], found["unnamed"], found["scrolls"]) == (0, 0, False)
    assert (found["overlaid"], found["alike"], found["spoken"]) == (0, 0, 0)  # tiles, names of charts, names inside
    cells = full.sql("SELECT phase, probability FROM phases").rows()
    labels = [label for phase, probability in cells for label in (phase, f"{probability:.0%}")]
    assert found["cells"] == len(cells)
    assert sorted(found["written"]) == sorted(2 * labels)  # each with a rim of its own
    assert found["legend"] == ["probability"]


@pytest.mark.browser
def test_a_browser_can_be_used_with_keys_and_without_eyes(full: Lake, tmp_path: Path) -> None:
    """Links lead somewhere, colours switch, pictures are saved; headings, landmarks, tables and focus are there."""
    path = report(full, tmp_path / "report.html")
    found: dict[str, Any]
    found, console = asked_in_chromium(path, WORKS)
    assert console == []
    assert found["links"] == []
    assert found["unmarked"] == []
    assert found["changed"]
    assert found["first"] == "skip"
    assert found["landmarks"] == ["header", "nav", "main", "footer"]
    assert [found[each] for each in ("twice", "jumps", "h1", "tables", "unlabelled")] == [0, 0, 1, 0, 0]
    assert found["saved"] == ["svg"] * found["buttons"]


@pytest.mark.browser
def test_hostile_names_do_nothing_in_a_browser(filled: Lake, tmp_path: Path) -> None:
    title, console = asked_in_chromium(report(filled, tmp_path / "report.html"), "return document.title;")
    assert title == "weightlake report: lake"
    assert console == []


@pytest.mark.parametrize(("unit", "step"), [("month", 1), ("quarter", 3), ("year", 12)])
def test_a_line_breaks_where_a_time_is_left_out(lake: Lake, unit: str, step: int) -> None:
    """Times 0 to 7 without 3 and 5 are runs of three, one and two; a hub's runs do not hang on another's."""
    times = [0, 1, 2, 4, 6, 7]
    months = [date(2020 + time * step // 12, time * step % 12 + 1, 1) for time in times]
    rows = pl.DataFrame({"hub": ["a"] * 6 + ["b"] * 2, "month": months + months[1:3]})
    assert runs(rows.reverse(), unit)["run"].to_list() == [1, 1, 1, 2, 3, 3, 1, 1]


def test_the_documentation_of_a_hub_is_not_drawn_over_times_without_it(lake: Lake) -> None:
    many = [(2020 + quarter // 4, quarter % 4 * 3 + 1) for quarter in range(20) if quarter not in (7, 8)]
    rows = [(f"huggingface:a/{n}-{y}-{m}", datetime(y, m, 2, tzinfo=UTC)) for y, m in many for n in range(60)]
    models = pl.DataFrame(rows, schema=["model_id", "created_at"], orient="row").with_columns(hub=pl.lit("huggingface"))
    cards = models.select("model_id", text=pl.lit("x"), bytes=pl.lit(1))
    said = models.select("model_id", score=pl.lit(0.5))
    with lake.write() as transaction:
        transaction.append("model", models)
        transaction.append("card", cards)
        transaction.append("documentation", said)
    (figure,) = [each for each in mined_section(lake).figures if each.title == "Documentation over time"]
    for drawn in figure.panels:
        (values,) = drawn.specification["datasets"].values()
        by_run = pl.DataFrame(values).group_by("run", maintain_order=True).agg(pl.col("month").first(), pl.len())
        assert by_run.rows() == [(1, "2020-01-01", 7), (2, "2022-04-01", 11)]
        assert drawn.specification["encoding"]["detail"]["field"] == "run"
