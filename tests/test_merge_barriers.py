"""Barriers between models speak against merging them, and what a merge stores is rounded once, or refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from learners import align, merge, mergeability, uniform_soup
from learners.soups.check.barrier import Barrier, linear_barriers
from learners.soups.check.facts import gather_facts
from learners.soups.data.batch_norm import reestimate
from learners.soups.kitchen import Kitchen
from schemas import Lake, UsageError
from tests.mined_models import add_model, repository
from tests.test_command_line import Run, run
from zoo import load_weights
from zoo.datasets import load_dataset
from zoo.describe import Description
from zoo.population import Samples, evaluate, stack

BOTH = "SELECT model_id FROM models ORDER BY model_id"
WIDTH = 16


def trained_on_digits(seed: int = 0) -> tuple[Description, dict[str, Tensor]]:
    shape = (1, 8, 8)
    description = Description(
        architecture="mlp", width=WIDTH, classes=10, input_shape=shape, dataset="digits", split_seed=0, depth=1
    )
    torch.manual_seed(seed)
    module = description.skeleton().to_empty(device="cpu")
    for layer in module.children():
        layer.reset_parameters()  # type: ignore[operator] # of linear layers
    train = load_dataset("digits", 0).train
    steps = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(150):
        steps.zero_grad()
        nn.functional.cross_entropy(module(train.x), train.y).backward()  # type: ignore[no-untyped-call]
        steps.step()
    return description, {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def swapped(weights: dict[str, Tensor], units: int) -> dict[str, Tensor]:
    """The same network with its first hidden units in another order: it computes the same, and lies elsewhere."""
    order = torch.cat([torch.arange(units).roll(1), torch.arange(units, WIDTH)])
    moved = {name: tensor[order] for name, tensor in weights.items() if name.startswith("linear1")}
    return weights | moved | {"linear2.weight": weights["linear2.weight"][:, order].contiguous()}


def beside(lake: Lake, folder: Path, units: int) -> Description:
    description, weights = trained_on_digits()
    for name, values in {"one": weights, "two": swapped(weights, units)}.items():
        add_described(lake, folder, description, name, values)
    return description


def add_described(lake: Lake, folder: Path, description: Description, name: str, values: dict[str, Tensor]) -> None:
    place = repository(folder / name, values)
    (place / "config.json").write_text(json.dumps({"weightlake": description.model_dump()}))
    add_model(lake, f"local:{name}", place)


@pytest.mark.usefixtures(run.__name__)
def test_a_high_barrier_is_unwise_and_a_merge_has_to_be_forced(lake: Lake, tmp_path: Path, run: Run) -> None:
    """8 of 16 units swapped: the cosine says that they started alike, the barrier that it is in vain."""
    beside(lake, tmp_path, 8)
    report = mergeability(lake, BOTH)
    row = report.pairs.row(0, named=True)
    assert row["weight_cosine"] > 0.5
    assert row["common_start"] == "weights"
    assert row["barrier"] > 0.1
    assert (report.verdict, row["verdict"], row["about"]) == ("unwise", "unwise", "barrier")
    assert f"the loss rises by {row['barrier']:.2f} nats" in row["reason"]
    assert "greedy soup" in row["help"]
    assert run("merge", "--check", BOTH, "--lake", lake.path).code == 1
    with pytest.raises(UsageError, match=r"possible but unwise: between local:one and local:two the loss rises by"):
        merge(lake, BOTH)
    assert "the loss rises by" in merge(lake, BOTH, force=True).warnings[0]


def test_a_barrier_between_aligned_twins_is_theirs(lake: Lake, tmp_path: Path) -> None:
    """Swapped units are put back; units that learned something else are not."""
    description = beside(lake, tmp_path, 8)
    assert merge(lake, BOTH, align="weights").warnings == ()
    add_described(lake, tmp_path, description, "other", trained_on_digits(1)[1])
    apart = "SELECT model_id FROM models WHERE model_id IN ('local:one', 'local:other')"
    with pytest.raises(UsageError, match=r"unwise: between local:one and local:other the loss rises by"):
        merge(lake, apart, align="weights")
    made = merge(lake, apart, align="weights", force=True)
    assert "the loss rises by" in made.warnings[0]
    assert merge(lake, apart, align="weights", repair=True).warnings == ()  # what comes of it is not that mean


def test_a_barrier_decides_on_twins_that_were_aligned_before(lake: Lake, tmp_path: Path) -> None:
    description = beside(lake, tmp_path, 0)
    add_described(lake, tmp_path, description, "other", trained_on_digits(1)[1])
    add_described(lake, tmp_path, description, "moved", swapped(nearby(lake), WIDTH))
    good = align(lake, "SELECT model_id FROM models WHERE model_id IN ('local:one', 'local:moved') ORDER BY 1 DESC")
    bad = align(lake, "SELECT model_id FROM models WHERE model_id IN ('local:one', 'local:other') ORDER BY model_id")
    report = mergeability(lake, good.sql)
    assert report.pairs["weight_cosine"][0] < 0.9
    assert (report.verdict, report.pairs["common_start"][0]) == ("safe", None)
    height = report.pairs["barrier"][0]
    note = f"{' and '.join(good.model_ids)} were aligned, and between them the loss rises by {height:.2f} nats at most"
    assert note in report.notes
    made = merge(lake, good.sql)
    assert made.warnings == ()
    assert note in made.notes
    report = mergeability(lake, bad.sql)
    assert (report.verdict, report.pairs["about"][0]) == ("unwise", "barrier")
    with pytest.raises(UsageError, match=r"unwise: between local:one and made:aligned/.* the loss rises by"):
        merge(lake, bad.sql)
    assert merge(lake, bad.sql, repair=True).warnings == ()  # what comes of it is not that mean
    assert uniform_soup(lake, bad.sql).warnings == ()  # which is judged on data


def test_values_that_are_not_finite_are_said_before_units_are_compared(lake: Lake, tmp_path: Path) -> None:
    description = beside(lake, tmp_path, 8)
    weights = load_weights(lake, "local:one")
    name = next(iter(weights))
    add_described(lake, tmp_path, description, "broken", weights | {name: torch.full_like(weights[name], torch.nan)})
    query = "SELECT model_id FROM models WHERE model_id IN ('local:one', 'local:broken') ORDER BY 1 DESC"
    for force in (False, True):
        with pytest.raises(
            UsageError, match=f"local:broken has values that are not finite, in {name}; leave that model out"
        ):
            merge(lake, query, align="weights", force=force)


def nearby(lake: Lake) -> dict[str, Tensor]:
    """The first model with so much noise that it lies elsewhere and computes much the same."""
    source = torch.Generator().manual_seed(0)
    weights = load_weights(lake, "local:one")
    return {name: t + 0.5 * t.std() * torch.randn(t.shape, generator=source) for name, t in weights.items()}


def test_a_barrier_of_what_is_kept_is_that_of_what_is_merged(lake: Lake, tmp_path: Path) -> None:
    description = beside(lake, tmp_path, 8)
    one, two = (load_weights(lake, f"local:{name}") for name in ("one", "two"))
    last = list(one)[-1].split(".")[0]
    kept = {name: one[name] if name.startswith(last) else tensor for name, tensor in two.items()}
    data = load_dataset(description.dataset, description.split_seed)
    held_out, train = (Samples(part.x[:1000], part.y[:1000]) for part in (data.validation, data.train))
    wanted = linear_barriers(description.skeleton(), [one, kept], [(0, 1)], held_out, train)[0]
    report = mergeability(lake, BOTH, keep=[f"{last}.*"])
    assert report.pairs["barrier"][0] == pytest.approx(wanted.height)
    assert wanted.height != pytest.approx(mergeability(lake, BOTH).pairs["barrier"][0])
    if wanted.high:
        with pytest.raises(UsageError, match="the loss rises by"):
            merge(lake, BOTH, keep=[f"{last}.*"])
    else:
        assert merge(lake, BOTH, keep=[f"{last}.*"]).warnings == ()


def test_a_barrier_to_the_parent_speaks_against_no_sum_of_task_vectors(lake: Lake, tmp_path: Path) -> None:
    """The parent is one of the models with 8 units swapped; between the fine-tunes, which are near, nothing rises."""
    description = beside(lake, tmp_path, 8)
    one = load_weights(lake, "local:one")
    add_described(lake, tmp_path, description, "near", {name: 0.99 * tensor for name, tensor in one.items()})
    near = "SELECT model_id FROM models WHERE model_id IN ('local:one', 'local:near')"
    report = mergeability(lake, near, parent="local:two")
    assert (report.pairs.filter(second_id="local:two")["barrier"] > 0.1).all()
    assert report.verdict == "safe"
    assert merge(lake, near, "ties", parent="local:two").warnings == ()
    with pytest.raises(UsageError, match="between local:one and local:two the loss rises"):
        merge(lake, "SELECT 'local:one' AS model_id", "wise_ft", parent="local:two")


def test_a_low_barrier_is_safe(lake: Lake, tmp_path: Path) -> None:
    beside(lake, tmp_path, 5)
    report = mergeability(lake, BOTH)
    assert 0 < report.pairs["barrier"][0] < 0.1
    assert report.verdict == "safe"
    assert merge(lake, BOTH).warnings == ()
    soup = uniform_soup(lake, BOTH)
    assert (soup.warnings, soup.notes) == ((), ())


def test_a_soup_that_collapses_says_so(lake: Lake, tmp_path: Path) -> None:
    beside(lake, tmp_path, 12)
    soup = uniform_soup(lake, BOTH, force=True)
    figures = {row[0]: row[2] for row in soup.comparison.filter(split="validation").iter_rows()}
    assert figures["soup"] < figures["mean member"] - 0.05
    assert f"the soup has {figures['soup']:.3f} on validation" in soup.notes[-1]


def test_a_barrier_within_its_error_is_none() -> None:
    assert Barrier(0.3, 0.05).high
    assert not Barrier(0.3, 0.15).high
    assert not Barrier(0.05, 0.001).high
    assert Barrier(float("nan"), float("nan")).high


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm, self.outer = nn.Linear(64, 12), nn.BatchNorm1d(12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.outer(self.norm(self.inner(x.flatten(1))).relu())
        return found


def test_barriers_of_networks_with_batch_norm_have_statistics_estimated_anew() -> None:
    data = load_dataset("digits", 0)
    train, held_out = (Samples(part.x[:200], part.y[:200]) for part in (data.train, data.validation))
    models = []
    for seed in range(2):
        torch.manual_seed(seed)
        module = Normed()
        models.append(reestimate(module, module.state_dict(), train))
    module = Normed().eval()
    found = linear_barriers(module, models, [(0, 1)], held_out, train)[0]
    ends = [float(evaluate(module, stack([model]), held_out).loss[0]) for model in models]
    above = []
    for a in (0.25, 0.5, 0.75):
        mean = {n: torch.lerp(t, models[1][n], a) if t.is_floating_point() else t for n, t in models[0].items()}
        loss = evaluate(module, stack([reestimate(module, mean, train)]), held_out).loss[0]
        above.append(float(loss) - (1 - a) * ends[0] - a * ends[1])
    assert found.height == pytest.approx(max(above), rel=1e-4, abs=1e-6)


def stored(lake: Lake, folder: Path, models: list[dict[str, Tensor]]) -> None:
    for number, weights in enumerate(models):
        (folder / str(number)).mkdir(parents=True)
        save_file(weights, folder / str(number) / "model.safetensors")
        add_model(lake, f"local:{number}", folder / str(number))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_larger_type_is_not_rounded_to_the_ingredients_first(lake: Lake, tmp_path: Path, precision: str) -> None:
    source = torch.Generator().manual_seed(0)
    models = [{"w": torch.randn(50, 30, generator=source).bfloat16()} for _ in range(3)]
    stored(lake, tmp_path, models)
    wide = getattr(torch, precision)
    for method in ("linear", "karcher"):
        to = tmp_path / method
        merge(lake, BOTH, method, dtype=precision, precision=precision, force=True, to=to)
        found = load_file(to / "model.safetensors")["w"]
        assert found.dtype == wide
        assert not torch.equal(found, found.bfloat16().to(wide))
        if method == "linear":
            mean = torch.stack([model["w"].double() for model in models]).mean(dim=0)
            torch.testing.assert_close(found.double(), mean, rtol=10 * torch.finfo(wide).eps, atol=1e-7)


def test_what_float16_cannot_hold_is_merged_in_float32(lake: Lake, tmp_path: Path) -> None:
    models = [{"w": torch.full((2, 2), value).half()} for value in (6e4, 5e4)]
    stored(lake, tmp_path, models)
    with pytest.raises(UsageError, match=r"beyond what float16 can hold; .*--dtype float32"):
        merge(lake, BOTH, weights=[2, 1], normalize=False, force=True)
    merge(lake, BOTH, weights=[2, 1], normalize=False, force=True, dtype="float32", to=tmp_path / "merged")
    found = load_file(tmp_path / "merged" / "model.safetensors")["w"]
    assert torch.equal(found, 2 * torch.tensor(6e4).half().float() + models[1]["w"].float())


def test_what_is_kept_is_not_made_infinite(lake: Lake, tmp_path: Path) -> None:
    models = [{"body": torch.ones(2), "head": torch.full((2,), 1e6)}, {"body": torch.zeros(2), "head": torch.ones(2)}]
    stored(lake, tmp_path, models)
    with pytest.raises(UsageError, match=r"values of head, which is kept, are beyond what float16 can hold"):
        merge(lake, BOTH, keep=["head"], dtype="float16", force=True)
    assert merge(lake, BOTH, keep=["head"], dtype="bfloat16", force=True).model_id


class Watched(TorchDispatchMode):
    """Counts what is computed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch does not type it
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


def test_batch_norm_of_models_that_cannot_be_run_is_noted_by_names_alone(lake: Lake, tmp_path: Path) -> None:
    models = [{"w": torch.full((2, 2), float(number)), "bn.running_mean": torch.ones(2)} for number in (1, 2)]
    stored(lake, tmp_path, models)
    made = merge(lake, BOTH, force=True)
    assert "statistics are merged, not estimated anew" in made.notes[-1]
    with Watched() as watched:
        notes = Kitchen(gather_facts(lake, ["local:0", "local:1"], [None, None]), samples=10).finish(made.folder)
    assert notes == [made.notes[-1]]
    assert watched.operations == 0
