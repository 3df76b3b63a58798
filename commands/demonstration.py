"""The main job, once through every room: mine, train, publish, mine again, soup, phases, report."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

import learners
import miners
import zoo
from miners.http import HubClient
from schemas import HubError, Lake, UsageError, open_lake

HUB_MODELS = 200
HUB_SECONDS = 5.0
QUICK = {"epochs": 12, "learning_rate": 0.02, "runs": 1, "points": 11, "samples": 400}
"""Settings of metrics with which the demo stays short."""
DEMO_LICENSE = "cc0-1.0"  # of what the demo trains on scikit-learn's digits
GRID_RECIPE = "digits-demo"
SHARED_RECIPE = "digits-shared"
QUERIES = (
    "SELECT width, batch_size, avg(test_accuracy) AS accuracy FROM models WHERE origin = 'trained'"
    " GROUP BY ALL ORDER BY accuracy DESC LIMIT 5",
    "SELECT origin, hub, count(*) AS models, sum(parameters) AS parameters FROM models GROUP BY ALL",
    "SELECT load AS width, temperature AS batch_size, phase, probability, mode_connectivity, test_accuracy FROM phases"
    " ORDER BY ALL",
    "SELECT child_id, count(*) AS ingredients, avg(test_accuracy) AS their_accuracy FROM lineage"
    " JOIN models ON model_id = parent_id WHERE relation = 'soup' GROUP BY child_id",
)

Progress = Callable[[int, int | None, str], None]


@dataclass
class Demo:
    """What a run of the demo leaves behind and says."""

    lake: Path
    report: Path
    steps: list[dict[str, object]] = field(default_factory=list)
    queries: tuple[str, ...] = QUERIES

    @property
    def summary(self) -> pl.DataFrame:
        """A row per step: what was done, what came of it, seconds."""
        return pl.DataFrame(self.steps)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what it appends is its result."""
        begin, result = time.monotonic(), list[str]()
        yield result
        self.steps.append({"step": name, "result": "; ".join(result), "seconds": round(time.monotonic() - begin, 1)})


def run(
    folder: Path,
    *,
    endpoint: str | None = None,
    offline: bool = False,
    grid: str = GRID_RECIPE,
    shared: str = SHARED_RECIPE,
    progress: Progress,
    say: Callable[[str], None],
) -> Demo:
    """Run the whole demo in `folder`; what an earlier run left there is used again.

    Args:
        folder: Gets lake/, repositories/, phases.svg and report.html.
        endpoint: URL of the hub to mine; the Hugging Face Hub without it.
        offline: Do not ask the hub at all.
        grid: Recipe of a width x batch size population whose members start apart.
        shared: Recipe of members that share an initialisation.
        progress: Called with what is done, how much there is, and what it is.
        say: Called with a line for the person before each step.
    """
    demo = Demo(folder / "lake", folder / "report.html")
    with open_lake(demo.lake) as lake:
        if not offline:
            _mine_hub(demo, lake, endpoint, progress, say)
        apart, together = (_train(demo, lake, recipe, progress, say) for recipe in (grid, shared))
        _publish_and_mine(demo, lake, folder / "repositories", progress, say)
        _soup(demo, lake, apart, together, say)
        _phases(demo, lake, apart, folder / "phases.svg", progress, say)
        with demo.step("report") as result:
            result.append(str(learners.report(lake, demo.report)))
    return demo


def _mine_hub(demo: Demo, lake: Lake, endpoint: str | None, progress: Progress, say: Callable[[str], None]) -> None:
    with demo.step("mine the hub") as result:
        already = lake.sql("SELECT count(*) AS models FROM model WHERE hub = 'huggingface'")["models"][0]
        if already >= HUB_MODELS:
            result.append(f"{already} models are there already")
            return
        say(f"Mining {HUB_MODELS} models of the hub, if it answers within {HUB_SECONDS:g} seconds ...")
        if why := trouble(endpoint):
            say(f"  it does not: {why}")
            result.append("no answer; went on without")
            return
        try:
            crawl = miners.mine(
                lake,
                "huggingface",
                endpoint=endpoint,
                limit=HUB_MODELS,
                sort="downloads",
                cards=True,
                tensors=True,
                progress=progress,
            )
            result.append(f"{crawl.rows_stored} models, {crawl.cards} cards, {crawl.tensors} tensors")
        except HubError as error:
            say(f"  it stopped answering: {error}")
            result.append("stopped half-way; went on with what came")


def trouble(endpoint: str | None) -> str | None:
    """Why the hub cannot be used now, or None. Asked in a thread, since looking up a name has no time limit."""
    answer: list[str | None] = []

    def ask() -> None:
        try:
            with HubClient(endpoint, timeout=HUB_SECONDS, attempts=1) as client:
                client.get("/api/models", parameters={"limit": 1})
            answer.append(None)
        except HubError as error:
            answer.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(HUB_SECONDS)
    return answer[0] if answer else f"no answer within {HUB_SECONDS:g} seconds"


def _train(demo: Demo, lake: Lake, recipe: str, progress: Progress, say: Callable[[str], None]) -> str:
    with demo.step(f"train {recipe}") as result:
        say(f"Training the population {recipe} ...")
        population_id = zoo.build(lake, recipe, progress=progress)
        row = zoo.populations(lake, population_id).row(0, named=True)
        result.append(f"{row['trained']} of {row['members']} members, best test accuracy {row['best_accuracy']:.3f}")
        return population_id


def _publish_and_mine(
    demo: Demo, lake: Lake, repositories: Path, progress: Progress, say: Callable[[str], None]
) -> None:
    with demo.step("publish and mine a local hub") as result:
        say("Publishing the trained models as model repositories, and mining them like any hub ...")
        trained = "SELECT model_id FROM models WHERE origin = 'trained'"
        written = zoo.publish_repositories(lake, trained, repositories, license_id=DEMO_LICENSE)
        crawl = miners.mine(lake, "local", folder=repositories, progress=progress)
        result.append(
            f"{written} written, {crawl.rows_stored} models, {crawl.cards} cards, {crawl.tensors} tensors mined"
        )
        if crawl.failures:
            reason = lake.sql("SELECT reason FROM failure WHERE crawl_id = $id LIMIT 1", id=crawl.crawl_id).item()
            result.append(f"{crawl.failures} could not be mined, e.g.: {reason}")


def _soup(demo: Demo, lake: Lake, grid: str, shared: str, say: Callable[[str], None]) -> None:
    """Soups of members that share a start, and of members that do not."""
    together = f"SELECT model_id FROM member WHERE population_id = '{shared}' AND state = 'trained'"  # noqa: S608 - an id of ours
    apart = f"""SELECT model_id FROM member WHERE population_id = '{grid}' AND state = 'trained'
        AND width = (SELECT max(width) FROM member WHERE population_id = '{grid}')
        AND batch_size = (SELECT min(batch_size) FROM member WHERE population_id = '{grid}')"""  # noqa: S608 - an id of ours
    say("Cooking soups of members that share an initialisation ...")
    for name, cook in (("uniform", learners.uniform_soup), ("greedy", learners.greedy_soup)):
        with demo.step(f"{name} soup, shared start") as result:
            result.append(_told(cook(lake, together)))
    with demo.step("uniform soup, apart") as result:
        say("... and of members that were initialised apart:")
        try:
            learners.uniform_soup(lake, apart)
        except UsageError as error:
            say(f"  refused: {error}")
        result.append(_told(learners.uniform_soup(lake, apart, force=True)) + ", forced")
        say("  forced, it collapses: each network found a basin of its own, and between them the loss is high")


def _phases(demo: Demo, lake: Lake, grid: str, picture: Path, progress: Progress, say: Callable[[str], None]) -> None:
    """Measure the grid's members and pairs of them, and judge its cells."""
    with demo.step("phases") as result:
        say("Measuring loss, curvature, similarity and connectivity of the grid, for the phases of its cells ...")
        found = learners.phases_of_population(lake, grid, progress=progress, settings=QUICK)
        for note in found.notes:
            say(f"Note: {note}.")
        counted = found.table.group_by("phase").len().sort("phase")
        cells = ", ".join(f"{phase}: {count}" for phase, count in counted.iter_rows())
        result.append(
            f"{found.table.height} cells by the rule {found.judged.rule.name} ({cells}); {found.draw(picture)}"
        )


def _told(soup: learners.Soup) -> str:
    test = soup.comparison.filter(pl.col("split") == "test")
    figures = dict(zip(test["candidate"], test["accuracy"], strict=True))
    return f"soup {figures['soup']:.3f}, best single {figures['best single']:.3f}, mean {figures['mean member']:.3f}"
