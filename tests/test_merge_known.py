"""Merges of networks that can be run here: batch norm, types, values that are not finite, the order of models."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from learners import merge, mergeability, uniform_soup
from learners.soups.data.batch_norm import reestimate
from learners.soups.data.fishers import diagonal_fisher
from schemas import Lake, UsageError
from tests.mined_models import add_model, repository
from tests.test_command_line import Run, run
from zoo import load_weights
from zoo.architectures import skeleton
from zoo.datasets import load_dataset
from zoo.describe import describe
from zoo.initialise import initialise
from zoo.population import Samples, evaluate

TRAINED = "SELECT model_id FROM models WHERE origin = 'trained' ORDER BY model_id"
BATCH_NORM = ("running_mean", "running_var")


def test_fisher_merging_takes_networks_with_batch_norm(normalised: Lake) -> None:
    made = merge(normalised, TRAINED, "fisher", samples=20)
    found = load_weights(normalised, made.model_id)
    members = [load_weights(normalised, model_id) for model_id in made.ingredients]
    description = describe(normalised, made.model_id)
    train = load_dataset(description.dataset, description.split_seed).train
    few = Samples(train.x[:20], train.y[:20])
    fishers = [diagonal_fisher(description.skeleton(), weights, few) for weights in members]
    wanted: dict[str, Tensor] = {}
    for name, first in members[0].items():
        values = [weights[name].double() for weights in members]
        if name in fishers[0]:
            shares = [fisher[name].double() + 1e-12 for fisher in fishers]
            wanted[name] = sum(value * share for value, share in zip(values, shares, strict=True)) / sum(shares)  # type: ignore[assignment] # sums of tensors are tensors
        else:
            wanted[name] = values[0] if not first.is_floating_point() else (values[0] + values[1]) / 2
    for name, tensor in found.items():
        if not name.endswith((*BATCH_NORM, "num_batches_tracked")):
            torch.testing.assert_close(tensor.double(), wanted[name], rtol=1e-3, atol=1e-5)
    plain = {name: tensor.to(members[0][name].dtype) for name, tensor in wanted.items()}
    anew = reestimate(description.skeleton(), plain, train)
    for name in (name for name in found if name.endswith(BATCH_NORM)):
        torch.testing.assert_close(found[name], anew[name], rtol=1e-2, atol=1e-4)
    assert made.accuracy["test"] > 0
    assert "estimated anew" in made.notes[-1]


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_merges_of_every_type_are_evaluated(normalised: Lake, tmp_path: Path, dtype: str) -> None:
    made = merge(normalised, TRAINED, dtype=dtype, to=tmp_path / "merged")
    stored = load_file(tmp_path / "merged" / "model.safetensors")
    floats = {name: tensor for name, tensor in stored.items() if tensor.is_floating_point()}
    assert {str(tensor.dtype) for tensor in floats.values()} == {f"torch.{dtype}"}
    description = describe(normalised, made.model_id)
    in_full = {name: (t.double() if name in floats else t)[None] for name, t in stored.items()}
    test = load_dataset(description.dataset, description.split_seed).test.to(torch.device("cpu"), torch.float64)
    assert made.accuracy["test"] == pytest.approx(float(evaluate(description.skeleton(), in_full, test).accuracy[0]))
    single = merge(normalised, TRAINED)
    whole = load_weights(normalised, single.model_id)
    tolerance = {"bfloat16": 3e-2, "float64": 1e-5}[dtype]
    for name, tensor in floats.items():
        torch.testing.assert_close(tensor.double(), whole[name].double(), rtol=tolerance, atol=tolerance)


def test_fisher_information_of_texts_is_near_the_sum_over_all_that_could_stand_there() -> None:
    module = skeleton("gpt2", (3,), 4, 4, depth=1)
    weights = initialise(module, torch.Generator().manual_seed(0))
    x = torch.randint(4, (64, 3), generator=torch.Generator().manual_seed(1))
    exact = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    for text in x[:8]:
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
        log = torch.func.functional_call(module, leaves, (text[None],))[0].log_softmax(-1)
        for place in range(3):
            for label in range(4):
                slopes = torch.autograd.grad(log[place, label], list(leaves.values()), retain_graph=True)
                for name, slope in zip(leaves, slopes, strict=True):
                    exact[name] += log[place, label].exp().detach() * slope**2 / 8
    eight = x[:8].repeat(64, 1)  # the same texts again and again, so that what is drawn evens out: 4,096 draws
    found = diagonal_fisher(module, weights, Samples(eight, eight))
    total, wanted = (sum(float(t.sum()) for t in each.values()) for each in (found, exact))
    assert total == pytest.approx(wanted, rel=0.05)
    head = "tokens.weight"
    torch.testing.assert_close(found[head], exact[head], rtol=0.25, atol=0.05 * float(exact[head].max()))


def test_weights_that_all_started_from_are_the_parent_where_the_lake_has_them(normalised: Lake) -> None:
    made = merge(normalised, TRAINED, "task_arithmetic", weights=[0.3, 0.4])
    members = [load_weights(normalised, model_id) for model_id in made.ingredients]
    start = load_weights(normalised, made.ingredients[0], 0)
    assert made.parent == f"{made.ingredients[0]}@0"
    found = load_weights(normalised, made.model_id)
    for name in (name for name in start if not name.endswith((*BATCH_NORM, "num_batches_tracked"))):
        away = [weight * (each[name].double() - start[name]) for weight, each in zip((0.3, 0.4), members, strict=True)]
        torch.testing.assert_close(found[name].double(), start[name] + sum(away), rtol=1e-4, atol=1e-6)
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    assert f"parent='{made.parent}'" in card
    named = merge(normalised, TRAINED, "task_arithmetic", weights=[0.3, 0.4], parent=made.parent)
    assert named.model_id == made.model_id
    later = merge(normalised, TRAINED, "task_arithmetic", weights=[0.3, 0.4], parent=f"{made.ingredients[0]}@1")
    assert later.model_id != made.model_id
    assert mergeability(normalised, TRAINED, parent=made.parent).facts[-1].name == made.parent
    with pytest.raises(UsageError, match=r"has no checkpoint of epoch 7: expected one of 0, 1"):
        merge(normalised, TRAINED, "ties", parent=f"{made.ingredients[0]}@7")


def plain_models(lake: Lake, folder: Path, values: list[Tensor]) -> str:
    for number, value in enumerate(values):
        (folder / str(number)).mkdir(parents=True)
        save_file({"body.weight": value, "mask": torch.ones(2)}, folder / str(number) / "model.safetensors")
        add_model(lake, f"local:{number}", folder / str(number))
    return "SELECT model_id FROM model WHERE hub = 'local'"


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_values_that_are_not_finite_are_never_merged(lake: Lake, tmp_path: Path, bad: float) -> None:
    spoilt = torch.ones(3, 3)
    spoilt[1, 2] = bad
    query = plain_models(lake, tmp_path, [torch.eye(3), spoilt, torch.ones(3, 3)])
    query = f"{query} AND model_id IN ('local:1', 'local:2') ORDER BY model_id"
    reason = r"these cannot be merged: local:1 has values that are not finite, in body\.weight; leave that model out"
    for method, parent in (("linear", None), ("karcher", None), ("slerp", None), ("ties", "local:0")):
        with pytest.raises(UsageError, match=reason):
            merge(lake, query, method, parent=parent, force=True, to=tmp_path / "merged")
        assert not (tmp_path / "merged").exists()
    report = mergeability(lake, f"{query} LIMIT 1", parent="local:0")
    assert report.verdict == "impossible"
    assert report.reasons[0] == "local:1 has values that are not finite, in body.weight"
    assert report.summary.row(0) == ("impossible", "values", 1, report.reasons[0], "leave that model out")
    assert merge(lake, f"{query} LIMIT 1", "wise_ft", parent="local:0", keep=["body*"], force=True)


def test_soups_take_no_values_that_are_not_finite_either(normalised: Lake, tmp_path: Path) -> None:
    one = normalised.sql(TRAINED)["model_id"][0]
    weights = load_weights(normalised, one)
    weights["fc.bias"] = torch.full_like(weights["fc.bias"], float("nan"))
    folder = repository(tmp_path / "spoilt", weights)
    (folder / "config.json").write_text(json.dumps({"weightlake": describe(normalised, one).model_dump()}))
    add_model(normalised, "local:spoilt", folder)
    query = f"SELECT unnest(['{one}', 'local:spoilt']) AS model_id"
    with pytest.raises(
        UsageError, match=r"local:spoilt has values that are not finite, in fc\.bias; leave that model out"
    ):
        uniform_soup(normalised, query, force=True)


def test_values_beyond_a_type_are_said(lake: Lake, tmp_path: Path) -> None:
    query = plain_models(lake, tmp_path, [torch.full((2, 2), 1e5), torch.full((2, 2), 1.1e5)])
    with pytest.raises(UsageError, match=r"merged values of body\.weight are beyond what float16 can hold"):
        merge(lake, query, dtype="float16", force=True)
    assert merge(lake, query, dtype="bfloat16", force=True).model_id


def test_weights_that_sum_to_zero_are_refused(lake: Lake, tmp_path: Path) -> None:
    query = plain_models(lake, tmp_path, [torch.ones(2, 2), torch.zeros(2, 2)])
    for method in ("karcher", "regmean", "fisher", "linear"):
        with pytest.raises(UsageError, match="they sum to zero"):
            merge(lake, f"{query} ORDER BY model_id", method, weights=[1, -1], force=True)


def test_a_list_of_weights_needs_an_order(lake: Lake, tmp_path: Path) -> None:
    query = plain_models(lake, tmp_path, [torch.zeros(2, 2), torch.ones(2, 2)])
    with pytest.raises(UsageError, match=r"weights = \[1, 0\] counts on the order of the models.*add ORDER BY"):
        merge(lake, query, weights=[1, 0], force=True)
    for way, value in (("ASC", 0.0), ("DESC", 1.0)):
        made = merge(lake, f"{query} ORDER BY model_id {way}", weights=[1, 0], force=True)
        assert load_weights(lake, made.model_id)["body.weight"].tolist() == [[value] * 2] * 2
    with pytest.raises(UsageError, match=r"t = 0\.3 counts on the order"):
        merge(lake, query, "slerp", t=0.3, force=True)


def test_what_is_kept_has_to_be_there(lake: Lake, tmp_path: Path) -> None:
    query = plain_models(lake, tmp_path, [torch.zeros(2, 2), torch.ones(2, 2)])
    for ask in (merge, mergeability):
        with pytest.raises(UsageError, match=r"keep = 'haed\.\*' matches no tensor of these models; they have, e\.g\."):
            ask(lake, query, keep=["mask", "haed.*"])


def test_that_mined_models_are_checkpoints_of_one_run_is_the_querys_word(lake: Lake, tmp_path: Path) -> None:
    query = plain_models(lake, tmp_path, [torch.eye(3) + 0.1 * number for number in range(3)])
    for method in ("swa", "ema", "lawa"):
        with pytest.raises(UsageError, match=f"{method} counts on the order of a run's checkpoints"):
            merge(lake, query, method)
        made = merge(lake, f"{query} ORDER BY model_id", method)
        assert any(
            "that these 3 models are such, and in this order, is the query's word" in note for note in made.notes
        )
    plain_models(lake, tmp_path / "more", [])
    apart = repository(tmp_path / "apart", {"body.weight": -torch.eye(3), "mask": torch.ones(2)})
    add_model(lake, "local:3", apart)
    with pytest.raises(UsageError, match="do not share an initialisation"):
        merge(lake, f"{query} ORDER BY model_id", "swa")
    assert not any("word" in note for note in merge(lake, query, "uniform", force=True).notes)


def test_many_reasons_of_a_kind_are_one_and_each_pair_has_its_own(lake: Lake, tmp_path: Path) -> None:
    source = torch.Generator().manual_seed(0)
    query = plain_models(lake, tmp_path, [torch.randn(30, 30, generator=source) for _ in range(5)])
    report = mergeability(lake, query)
    assert len(report.reasons) == 1
    assert report.reasons[0].endswith("(and 9 more like this)")
    for row in report.pairs.iter_rows(named=True):
        assert row["first_id"] in row["reason"]
        assert row["second_id"] in row["reason"]
    assert len(merge(lake, query, force=True).warnings) == 1


def test_averages_of_a_run_take_one_runs_checkpoints(normalised: Lake) -> None:
    for method in ("swa", "lawa"):
        with pytest.raises(UsageError, match=f"{method} averages the checkpoints of one run, and these are of 2 runs"):
            merge(normalised, TRAINED, method, force=True)
    one = normalised.sql(TRAINED)["model_id"][0]
    query = f"SELECT model_id, epoch FROM checkpoint WHERE model_id = '{one}' ORDER BY epoch"
    there, back = (merge(normalised, f"{query}{way}", "ema") for way in ("", " DESC"))
    mine, theirs = (load_weights(normalised, made.model_id) for made in (there, back))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)  # by its epochs, whatever the query says


@pytest.mark.usefixtures(run.__name__)
def test_the_check_groups_what_is_alike_and_its_code_says_whether_a_merge_would_go(
    lake: Lake, tmp_path: Path, run: Run
) -> None:
    shapes = [torch.ones(number + 1, 2) for number in range(8)]
    query = plain_models(lake, tmp_path, shapes)
    said = run("merge", "--check", query, "--lake", lake.path)
    assert said.code == 1
    assert "verdict: impossible" in said.err
    assert "28 pairs, 0 of them possible" in said.err
    assert len(said.out.splitlines()) < 14  # two kinds, across or upright, instead of 28 pairs
    found = json.loads(run("merge", "--check", query, "--lake", lake.path, "--json").out)
    assert found["verdict"] == "impossible"
    assert len(found["pairs"]) == 28
    assert [(row["severity"], row["about"], row["pairs"]) for row in found["problems"]] == [
        ("impossible", "shapes", 28),
        ("unwise", "start", 28),
    ]
    same = "SELECT model_id FROM model WHERE model_id IN ('local:0', 'local:9')"
    plain_models(lake, tmp_path / "more", [])
    (tmp_path / "9").mkdir()
    save_file({"body.weight": -torch.ones(1, 2), "mask": torch.ones(2)}, tmp_path / "9" / "model.safetensors")
    add_model(lake, "local:9", tmp_path / "9")
    assert run("merge", "--check", same, "--lake", lake.path).code == 1  # unwise
    assert run("merge", "--check", same, "--lake", lake.path, "--force").code == 0


@pytest.mark.usefixtures(run.__name__)
def test_what_task_vectors_are_differences_from_is_said(lake: Lake, tmp_path: Path, run: Run) -> None:
    query = plain_models(lake, tmp_path, [torch.eye(3), torch.eye(3) + 0.1, torch.eye(3) + 0.3])
    two = f"{query} AND model_id <> 'local:0'"
    said = run("merge", "--check", two, "--lake", lake.path)
    assert "task_cosine: of differences from the mean of the models" in said.err
    found = json.loads(run("merge", "--check", two, "--lake", lake.path, "--json").out)
    assert found["task_vectors_from"].startswith("the mean of the models")
    assert found["pairs"][0]["task_cosine"] == pytest.approx(-1)
    options = ("--lake", lake.path, "--parent", "local:0")
    assert "task_cosine: of differences from local:0\n" in run("merge", "--check", two, *options).err
    found = json.loads(run("merge", "--check", two, *options, "--json").out)
    assert found["task_vectors_from"] == "local:0"
    assert found["pairs"][0]["task_cosine"] == pytest.approx(1)


@pytest.mark.usefixtures(run.__name__)
def test_options_of_other_soups_are_refused(normalised: Lake, run: Run) -> None:
    def soup(*options: str) -> tuple[int, str]:
        answer = run("soup", TRAINED, "--lake", normalised.path, *options)
        return answer.code, answer.err

    code, said = soup("--method", "uniform", "--removal")
    assert (code, said) == (
        2,
        "weightlake: --removal is an option of --method greedy; --method uniform has no use for it\n",
    )
    assert soup("--by", "tensor")[0] == soup("--compare", "--passes", "2")[0] == 2
    code, said = soup("--method", "learned", "--by", "tensor", "--steps", "2")
    assert code == 0, said
    settings = normalised.sql("SELECT settings FROM product WHERE method = 'learned_soup'")["settings"]
    assert json.loads(settings[0])["settings"]["by"] == "tensor"
