"""What is done to models before a soup and to averages after: alignment, REPAIR, batch-norm statistics anew."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learners import compare_soups, greedy_soup, learned_soup, merge, mergeability, uniform_soup
from learners.soups.alignment.repair import moments
from learners.soups.average import average
from learners.soups.data.batch_norm import reestimate
from schemas import Lake, UsageError, open_lake
from tests.conftest import ROOT
from tests.mined_models import equal, many_models
from tests.test_command_line import Run, run
from zoo import build, load_population, load_weights
from zoo.datasets import load_dataset
from zoo.describe import describe_all
from zoo.population import Samples, stack

APART = "SELECT model_id FROM models WHERE population = 'digits-tiny' AND width = 16 ORDER BY model_id"
TWO = f"{APART} LIMIT 2"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("manners") / "lake")
    build(lake, "digits-tiny")
    return lake


def accuracy(soup: object, split: str = "test") -> float:
    frame = soup.comparison  # type: ignore[attr-defined] # a soup
    return float(frame.filter(candidate="soup", split=split)["accuracy"][0])


def test_models_that_started_apart_are_averaged_once_they_are_aligned(trained: Lake) -> None:
    with pytest.raises(UsageError, match=r"do not share an initialisation.*--align weights"):
        uniform_soup(trained, APART)
    plain = uniform_soup(trained, APART, force=True)
    aligned = uniform_soup(trained, APART, align="weights")
    repaired = uniform_soup(trained, APART, align="weights", repair=True)
    assert aligned.warnings == ()
    assert accuracy(aligned) > accuracy(plain) + 0.1
    assert len({plain.model_id, aligned.model_id, repaired.model_id}) == 3
    parents = trained.sql("SELECT parent_id FROM lineage WHERE child_id = $id", id=aligned.model_id)["parent_id"]
    assert sum(parent.startswith("made:aligned/") for parent in parents) == 3
    assert any("REPAIR" in note for note in repaired.notes)


def test_a_repaired_soup_has_the_moments_of_its_ingredients(trained: Lake) -> None:
    soup = uniform_soup(trained, TWO, align="activations", repair=True)
    description = describe_all(trained, [soup.model_id])[0]
    module, x = description.skeleton(), load_dataset(description.dataset, description.split_seed).train.x[:2000]
    own = moments(module, load_weights(trained, soup.model_id), x)
    theirs = [moments(module, load_weights(trained, model_id), x) for model_id in soup.ingredients]
    for layer in list(own)[:-1]:
        mean = torch.stack([each[layer].mean for each in theirs]).mean(0)
        torch.testing.assert_close(own[layer].mean, mean, atol=1e-4, rtol=1e-4)


def test_searches_are_over_aligned_and_repaired_averages(trained: Lake) -> None:
    soup = greedy_soup(trained, APART, align="weights", repair=True)
    assert accuracy(soup, "validation") >= float(
        soup.comparison.filter(candidate="best single", split="validation")["accuracy"][0]
    )
    learned = learned_soup(trained, TWO, align="weights", repair=True, steps=3)
    settings = json.loads(trained.sql("SELECT settings FROM product WHERE model_id = $id", id=learned.model_id).item())
    assert (settings["settings"]["align"], settings["settings"]["repair"]) == ("weights", True)
    with pytest.raises(UsageError, match="repair takes one share a model"):
        learned_soup(trained, TWO, align="weights", repair=True, by="tensor")


def test_soups_have_batch_norm_statistics_of_their_own(normalised: Lake) -> None:
    everybody = "SELECT model_id FROM models WHERE origin = 'trained' ORDER BY model_id"
    soup = uniform_soup(normalised, everybody)
    found = load_weights(normalised, soup.model_id)
    population = load_population(normalised, everybody)
    description = describe_all(normalised, [soup.model_id])[0]
    train = load_dataset(description.dataset, description.split_seed).train
    mean = average(population.tensors)
    wanted = reestimate(description.skeleton(), mean, Samples(train.x[:5000], train.y[:5000]))
    assert not torch.equal(found["bn1.running_var"], mean["bn1.running_var"])
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor)
    assert "batch-norm statistics are estimated anew" in soup.notes[0]
    learned = load_weights(normalised, learned_soup(normalised, everybody, steps=2).model_id)
    again = reestimate(description.skeleton(), learned, Samples(train.x[:5000], train.y[:5000]))
    torch.testing.assert_close(learned["bn1.running_var"], again["bn1.running_var"])
    assert greedy_soup(normalised, everybody).model_id.startswith("made:soup/greedy")


def test_a_merge_aligns_and_repairs_too(trained: Lake, tmp_path: Path) -> None:
    plain = merge(trained, APART, "linear", force=True)
    made = merge(trained, APART, "linear", align="weights", repair=True, to=tmp_path / "merged")
    soup = uniform_soup(trained, APART, align="weights", repair=True)
    theirs = load_weights(trained, soup.model_id)
    for name, tensor in load_weights(trained, made.model_id).items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-5, rtol=1e-5)
    assert made.accuracy["test"] > plain.accuracy["test"] + 0.1
    card = (tmp_path / "merged" / "README.md").read_text(encoding="utf-8")
    assert "align='weights', repair=True" in card
    with pytest.raises(UsageError, match="align and repair are for means of networks; ties starts from a parent"):
        merge(trained, APART, "ties", align="weights")
    with pytest.raises(UsageError, match="align = 'feelings': choose one of: weights, activations"):
        merge(trained, APART, "linear", align="feelings")


@pytest.mark.usefixtures(run.__name__)
def test_mined_models_are_run_as_their_user_says(lake: Lake, tmp_path: Path, run: Run) -> None:
    """What comes of models that say nothing is what comes of the same models that say how they are run."""
    saying = open_lake(tmp_path / "saying")
    description = many_models(saying, tmp_path / "said", 16, 3)
    many_models(lake, tmp_path / "silent", 16, 3, silent=True)
    query = "SELECT model_id FROM model WHERE hub = 'local' ORDER BY model_id"
    with pytest.raises(UsageError, match=r"nobody here knows how local:0 is built.*\(--description\)"):
        uniform_soup(lake, query, force=True)
    assert merge(lake, query, force=True).accuracy == {}
    ways: list[tuple[Any, dict[str, Any]]] = [(uniform_soup, {"align": "weights", "repair": True})]
    for cook, options in (*ways, (greedy_soup, {}), (learned_soup, {})):
        wanted = cook(saying, query, force=True, **options)
        found = cook(lake, query, force=True, description=description, **options)
        assert found.comparison.equals(wanted.comparison)
        assert equal(load_weights(lake, found.model_id), load_weights(saying, wanted.model_id))
    merges: list[dict[str, Any]] = [{}, {"method": "fisher"}, {"align": "activations", "repair": True}]
    for options in merges:
        theirs = merge(saying, query, force=True, **options)
        ours = merge(lake, query, force=True, description=description, **options)
        assert ours.accuracy == theirs.accuracy
        assert equal(load_weights(lake, ours.model_id), load_weights(saying, theirs.model_id))
    card = (ours.folder / "README.md").read_text(encoding="utf-8")
    assert card.count(f"description=[{description.model_dump()!r}]") == 1
    assert merge(lake, query, force=True, description=[description.model_dump()]).accuracy
    report = mergeability(lake, query, description=description)
    assert report.pairs["barrier"].equals(mergeability(saying, query).pairs["barrier"])
    wider = description.model_copy(update={"width": 17})
    with pytest.raises(
        UsageError, match=r"local:0 is built like none of what was given: linear1\.bias is \[16\] in it"
    ):
        mergeability(lake, query, description=wider)
    with pytest.raises(UsageError, match="description: width"):
        merge(lake, query, description={"architecture": "mlp"})
    (tmp_path / "built.json").write_text(description.model_dump_json())
    given = ("--lake", lake.path, "--description", tmp_path / "built.json", "--force")
    for command in (["merge"], ["merge", "--check"], ["soup", "--method", "uniform"]):
        said = run(*command, query, *given)
        assert said.code == 0, said.err
        assert run(*command, query, "--lake", lake.path, "--description", tmp_path / "none.json").code == 2


def front_matter(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---")[1]))


def test_a_card_names_ingredients_that_its_reader_can_know(lake: Lake, tmp_path: Path) -> None:
    """Twins are of this lake alone, names of a lake are no repositories, and licences go with the weights."""
    names = ["huggingface:ada/one", "huggingface:ada/two", "local:three"]
    licences = ["apache-2.0", "cc-by-nc-4.0", "apache-2.0"]
    many_models(lake, tmp_path, 16, 3, names=names, licences=licences)
    query = "SELECT model_id FROM model WHERE hub <> 'made' ORDER BY model_id"
    plain = merge(lake, query, force=True, to=tmp_path / "plain")
    aligned = merge(lake, query, align="weights", force=True, to=tmp_path / "aligned")
    for made in (plain, aligned):
        front = front_matter(made.folder)
        assert front["base_model"] == ["ada/one", "ada/two"]
        assert front["ingredients"] == names
        assert front["license"] == "cc-by-nc-4.0"
        assert "made:aligned" not in (made.folder / "README.md").read_text(encoding="utf-8")
    again = merge(lake, f"SELECT unnest(['{aligned.model_id}', 'local:three']) AS model_id", force=True)
    front = front_matter(again.folder)
    assert (front["base_model"], front["license"]) == (["ada/one", "ada/two"], "cc-by-nc-4.0")
    assert front["ingredients"] == sorted([aligned.model_id, "local:three"])


def test_a_card_of_trained_networks_names_no_repository(trained: Lake, tmp_path: Path) -> None:
    front = front_matter(merge(trained, TWO, force=True, to=tmp_path / "merged").folder)
    assert {"base_model", "base_model_relation"} & front.keys() == set()
    assert front["ingredients"] == trained.sql(TWO)["model_id"].to_list()


@pytest.mark.usefixtures(run.__name__)
def test_the_commands_align_and_repair(trained: Lake, run: Run) -> None:
    options = ["soup", TWO, "--lake", trained.path, "--align", "weights", "--repair", "--method", "uniform"]
    made = run(*options)
    assert made.code == 0, made.err
    assert "REPAIR" in made.err
    assert run("soup", TWO, "--lake", trained.path, "--compare", "--repair").code == 2
    merged = run("merge", TWO, "--lake", trained.path, "--align", "activations", "--repair", "--json")
    assert merged.code == 0, merged.err
    assert json.loads(merged.out)[0]["models"] == 2


MEASURED = """
import resource, sys
import torch
torch.set_num_threads(1)
from learners import learned_soup, uniform_soup
from schemas import open_lake
query = f"SELECT 'local:' || i AS model_id FROM range({sys.argv[2]}) t(i)"
with open_lake(sys.argv[1]) as lake:
    uniform_soup(lake, query, force=True)
    for by in ("model", "tensor"):
        learned_soup(lake, query, force=True, by=by, steps=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_of_soups_does_not_grow_with_their_models(lake: Lake, tmp_path: Path) -> None:
    """Thirty models of 4 MB, 120 MB, take no more than the memory of three; a stack of them would take 108 MB more."""
    many_models(lake, tmp_path, 1000, 30)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    peaks = []
    for count in (3, 30):
        command = [sys.executable, "-c", MEASURED, str(lake.path), str(count)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1000)
    assert peaks[1] < peaks[0] + 40, peaks


@pytest.mark.parametrize("by", ["model", "tensor"])
def test_a_learned_soup_is_that_of_models_held_in_memory(lake: Lake, tmp_path: Path, by: str) -> None:
    """The shares are those of Adam on the softmax, by autograd through the mixture of all models at once."""
    description = many_models(lake, tmp_path, 16, 4)
    validation = load_dataset(description.dataset, 0).validation
    made = learned_soup(lake, "SELECT model_id FROM model ORDER BY model_id", force=True, by=by, steps=5)
    held = stack([load_weights(lake, f"local:{number}") for number in range(4)])
    module = description.skeleton()
    logits = torch.zeros(len(held) if by == "tensor" else 1, 4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    found = []
    for step in range(6):
        rows = logits.softmax(dim=1)
        mixed = {
            name: torch.einsum("n,n...->...", rows[place if by == "tensor" else 0], stacked.double()).float()
            for place, (name, stacked) in enumerate(held.items())
        }
        loss = cross_entropy(functional_call(module, mixed, (validation.x,)), validation.y)
        found.append((float(loss.detach()), {name: tensor.detach() for name, tensor in mixed.items()}))
        if step < 5:
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch's own is untyped
            optimiser.step()
    wanted = min(found, key=lambda each: each[0])[1]
    for name, tensor in load_weights(lake, made.model_id).items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_soups_of_every_type_are_computed_in_float32_and_stored_in_theirs(
    lake: Lake, tmp_path: Path, dtype: torch.dtype
) -> None:
    many_models(lake, tmp_path, 16, 3, dtype)
    query = "SELECT model_id FROM model WHERE hub = 'local' ORDER BY model_id"
    held = [load_weights(lake, f"local:{number}") for number in range(3)]
    for cook in (uniform_soup, greedy_soup, learned_soup):
        made = load_weights(lake, cook(lake, query, force=True).model_id)
        assert {tensor.dtype for tensor in made.values()} == {dtype}
        if cook is uniform_soup:
            mean = {name: torch.stack([each[name].double() for each in held]).mean(0) for name in held[0]}
            for name, tensor in made.items():
                torch.testing.assert_close(tensor, mean[name].to(dtype), rtol=1e-6, atol=1e-7)
    assert compare_soups(lake, query, corruptions=[], force=True)["accuracy"].null_count() == 0
    assert uniform_soup(lake, query, force=True, align="weights").model_id
