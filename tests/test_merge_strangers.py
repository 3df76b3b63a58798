"""Weights that nobody here wrote: networks of two papers, checked pair by pair, merged and aligned where possible."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import functional_call

from learners import align, merge, mergeability, permutations_of, weight_matching
from learners.soups.average import average
from miners import mine
from schemas import Lake, UsageError, open_lake
from zoo import load_weights
from zoo.population import stack

pytestmark = pytest.mark.data

ALL = "SELECT model_id FROM models ORDER BY model_id"


@pytest.fixture(scope="module")
def modular(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Transformers and perceptrons on modular addition, each a repository with its configuration."""
    source, folder = data_folder / "weights" / "pizza_modadd", tmp_path_factory.mktemp("modadd")
    for config in source.glob("config_*.json"):
        name = config.stem.removeprefix("config_")
        weights = source / f"code__save__model_{name}.safetensors"
        if weights.is_file():
            (folder / "models" / name).mkdir(parents=True)
            shutil.copy(config, folder / "models" / name / "config.json")
            shutil.copy(weights, folder / "models" / name / "model.safetensors")
    lake = open_lake(folder / "lake")
    mine(lake, "local", folder=folder / "models")
    return lake


def test_networks_on_modular_addition_are_judged_with_a_reason_for_each(modular: Lake) -> None:
    report = mergeability(modular, ALL)
    assert report.models.height == 18
    assert report.verdict == "impossible"
    assert report.pairs.height == 153
    against = report.pairs.filter(verdict="impossible")
    assert against["reason"].null_count() == 0
    assert against.height > 100  # other depths, widths, vocabularies
    possible = report.pairs.filter(~report.pairs["verdict"].is_in(["impossible"]))
    assert possible.height >= 15  # the six or so of one shape, and the twins
    assert set(possible["verdict"]) == {"unwise"}  # trained apart, or with another attention or activation
    assert all(abs(cosine) < 0.5 for cosine in possible["weight_cosine"])
    with pytest.raises(UsageError, match="cannot be merged"):
        merge(modular, ALL, force=True)


@pytest.fixture(scope="module")
def tandem(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Perceptrons for material design: ten seeds, each alone and in tandem with an inverse network at four alphas."""
    lake = open_lake(tmp_path_factory.mktemp("tandem") / "lake")
    mine(lake, "local", folder=data_folder / "weights" / "silverman_deformation")
    return lake


def test_a_seed_family_can_be_merged_and_seeds_cannot(tandem: Lake) -> None:
    family = "SELECT model_id FROM models WHERE name LIKE '%tandem__7789-%' ORDER BY model_id"
    report = mergeability(tandem, family)
    assert report.models.height == 4
    assert all(cosine > 0.5 for cosine in report.pairs["weight_cosine"])  # they share their forward network
    assert report.verdict == "safe"
    made = merge(tandem, family)
    members = [load_weights(tandem, model_id) for model_id in made.ingredients]
    merged = load_weights(tandem, made.model_id)
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, torch.stack([each[name] for each in members]).mean(0))
    seeds = "SELECT model_id FROM models WHERE name LIKE '%forward%' ORDER BY model_id"
    report = mergeability(tandem, seeds)
    assert report.models.height == 10
    assert set(report.pairs["verdict"]) == {"unwise"}
    assert "do not share an initialisation" in report.reasons[0]
    with pytest.raises(UsageError, match="possible but unwise"):
        merge(tandem, seeds)


def test_networks_that_were_trained_apart_come_nearer_when_they_are_aligned(tandem: Lake) -> None:
    """Between two forward networks the mean of outputs is the reference: aligned means are nearer to it."""
    ids = tandem.sql("SELECT model_id FROM models WHERE name LIKE '%forward%' ORDER BY model_id LIMIT 4")["model_id"]
    layers = [nn.Linear(17, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Linear(64, 11))
    specification = permutations_of(module, torch.zeros(1, 17))
    assert specification.sizes == (64, 64, 64)
    first, *others = (load_weights(tandem, model_id) for model_id in ids)
    x = torch.rand(500, 17, generator=torch.Generator().manual_seed(0))
    for other in others:
        found = weight_matching(specification, first, other)
        twin = specification.permute(other, found.permutations)
        outputs = [functional_call(module, weights, (x,)) for weights in (first, other, twin)]
        torch.testing.assert_close(outputs[1], outputs[2], rtol=1e-4, atol=1e-4)
        wanted = (outputs[0] + outputs[1]) / 2
        plain, aligned = (functional_call(module, average(stack([first, each])), (x,)) for each in (other, twin))
        assert float((aligned - wanted).square().mean()) < float((plain - wanted).square().mean())


def test_networks_that_were_trained_apart_are_merged_once_they_are_aligned(tandem: Lake) -> None:
    seeds = "SELECT model_id FROM models WHERE name LIKE '%forward%' ORDER BY model_id LIMIT 2"
    ids = tandem.sql(seeds)["model_id"].to_list()
    layers = [nn.Linear(17, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Linear(64, 11))
    x = torch.rand(300, 17, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UsageError, match="possible but unwise"):
        merge(tandem, seeds)
    with pytest.raises(UsageError, match="an architecture needs samples x"):
        align(tandem, seeds, architecture=module)
    with pytest.raises(UsageError, match="is not built like the Linear: 0"):
        align(tandem, seeds, architecture=nn.Linear(2, 2), x=x)
    aligned = align(tandem, seeds, architecture=module, x=x)
    one, twin, other = (load_weights(tandem, model_id) for model_id in (*aligned.model_ids, ids[1]))
    outputs = [functional_call(module, weights, (x,)) for weights in (one, twin, other)]
    torch.testing.assert_close(outputs[1], outputs[2], rtol=1e-4, atol=1e-4)
    made = merge(tandem, aligned.sql)
    assert made.warnings == ()
    wanted = (outputs[0] + outputs[2]) / 2
    merged = functional_call(module, load_weights(tandem, made.model_id), (x,))
    plain = functional_call(module, average(stack([one, other])), (x,))
    assert float((merged - wanted).square().mean()) < float((plain - wanted).square().mean())
