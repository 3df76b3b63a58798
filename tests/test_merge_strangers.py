"""Weights that nobody here wrote: networks of two papers, checked pair by pair, merged and aligned where possible."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from learners import align, merge, mergeability, permutations_of, weight_matching
from learners.soups.average import average
from miners import mine
from schemas import Lake, UsageError, open_lake
from zoo import load_weights
from zoo.population import Weights, stack

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
    assert set(possible["about"]) == {"start"}  # settings that differ do not hide it, and one setting would not help
    assert set(possible["help"]) == {"train members with one init_seed, or take fine-tunes of one model"}
    both = possible.filter(first_id="local:2k4ohj6bhd", second_id="local:dy65ktpiij")["reason"][0]
    assert both.index("do not share an initialisation") < both.index("act_fn is 'ReLU' and 'GeLU'")
    assert not any("one configuration" in help for help in report.helps)
    with pytest.raises(UsageError, match="cannot be merged"):
        merge(modular, ALL, force=True)


class Adder(nn.Module):
    """The perceptron of two hidden layers among those networks; gives the sum of two numbers below 59, modulo 59."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.l1, self.l2 = nn.Embedding(59, 256), nn.Linear(256, 256), nn.Linear(256, 256)
        self.unembed = nn.Linear(256, 59, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.unembed(self.l2(self.l1(self.embed(x).sum(dim=1)).relu()).relu())
        return found


def test_alignment_alone_makes_no_merge_safe(modular: Lake) -> None:
    """Two that are always right: their mean is right less often once they are aligned, though they lie nearer."""
    pair = "SELECT model_id FROM models WHERE name IN ('amw6ox6bzn', 'p71frej8t7') ORDER BY model_id"
    x = torch.cartesian_prod(torch.arange(59), torch.arange(59))

    def right(weights: Weights) -> float:
        return float((functional_call(Adder(), dict(weights), (x,)).argmax(dim=1) == x.sum(dim=1) % 59).float().mean())

    aligned = align(modular, pair, architecture=Adder(), x=x)
    report = mergeability(modular, aligned.sql)
    assert report.pairs["weight_cosine"][0] > 0.4
    assert (report.verdict, report.pairs["about"][0], report.pairs["common_start"][0]) == ("unwise", "alignment", None)
    assert "were aligned" in report.reasons[0]
    assert "the cosine of their weights is 0.42, which tells nothing of that" in report.reasons[0]
    with pytest.raises(UsageError, match=r"possible but unwise: .* were aligned.*--description"):
        merge(modular, aligned.sql)
    made = merge(modular, aligned.sql, force=True)
    one, other = (load_weights(modular, model_id) for model_id in modular.sql(pair)["model_id"])
    assert right(one) == right(other) == 1
    assert right(load_weights(modular, made.model_id)) < right(average(stack([one, other]))) < 0.7


@pytest.fixture(scope="module")
def tandem(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Perceptrons for material design: ten seeds, each alone and in tandem with an inverse network at four alphas."""
    lake = open_lake(tmp_path_factory.mktemp("tandem") / "lake")
    mine(lake, "local", folder=data_folder / "weights" / "silverman_deformation")
    return lake


def test_neither_seeds_nor_families_that_share_a_part_are_safe_to_merge(tandem: Lake) -> None:
    family = "SELECT model_id FROM models WHERE name LIKE '%tandem__7789-%' ORDER BY model_id"
    report = mergeability(tandem, family)
    assert report.models.height == 4
    assert report.verdict == "unwise"
    assert "(the cosine of their weights that differ is " in report.reasons[0]
    with pytest.raises(UsageError, match="weights that differ"):
        merge(tandem, family)
    made = merge(tandem, family, force=True)
    members = [load_weights(tandem, model_id) for model_id in made.ingredients]
    merged = load_weights(tandem, made.model_id)
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, torch.stack([each[name] for each in members]).mean(0))
    for row in report.pairs.iter_rows(named=True):  # equal forward networks say nothing of inverse ones
        pair = [load_weights(tandem, row[key]) for key in ("first_id", "second_id")]
        assert all(torch.equal(pair[0][name], pair[1][name]) for name in pair[0] if name.startswith("_f."))
        flat = [torch.cat([w[n].double().flatten() for n in w if n.startswith("_i.") and w[n].ndim > 1]) for w in pair]
        cosine = float(torch.cosine_similarity(flat[0], flat[1], dim=0))
        assert row["weight_cosine"] == pytest.approx(cosine)
        assert cosine < 0.5
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
    with pytest.raises(UsageError, match=r"possible but unwise: .* were aligned"):
        merge(tandem, aligned.sql)  # nobody here has their data
    made = merge(tandem, aligned.sql, force=True)
    assert "were aligned" in made.warnings[0]
    wanted = (outputs[0] + outputs[2]) / 2
    merged = functional_call(module, load_weights(tandem, made.model_id), (x,))
    plain = functional_call(module, average(stack([one, other])), (x,))
    assert float((merged - wanted).square().mean()) < float((plain - wanted).square().mean())
