"""Alignment: permutations that are found by watching, verified by function equality; matching against brute force."""

from itertools import permutations as orders
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from learners import align, mergeability
from learners.soups.alignment.activation_matching import activation_matching
from learners.soups.alignment.axes import Axis, leaves, regroup, unify
from learners.soups.alignment.repair import moments, repaired
from learners.soups.alignment.specification import Specification, compose, inverse
from learners.soups.alignment.tracing import permutations_of
from learners.soups.alignment.weight_matching import weight_matching
from learners.soups.check.barrier import HIGH
from learners.soups.data.batch_norm import reestimate
from schemas import Lake, UsageError, open_lake
from zoo import build, load_weights
from zoo.architectures import skeleton
from zoo.initialise import initialise
from zoo.population import Samples

CASES: list[tuple[str, tuple[int, ...], int, dict[str, Any], list[int]]] = [
    ("mlp", (1, 4, 4), 7, {}, [7, 7]),
    ("mlp", (1, 4, 4), 5, {"depth": 3, "activation": "gelu"}, [5, 5, 5]),
    ("cnn", (1, 8, 8), 8, {}, [4, 6, 8, 20]),
    ("cnn", (3, 28, 28), 4, {"activation": "relu"}, [2, 3, 4, 10]),
    ("resnet18", (3, 8, 8), 4, {}, [4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32]),
    ("resnet18-groupnorm", (3, 8, 8), 8, {}, sorted(12 * [2] + 3 * [4] + 3 * [8] + 3 * [16] + 3 * [32])),
    ("resnet50", (3, 8, 8), 2, {}, sorted(7 * [2] + 9 * [4] + [8] + 13 * [8] + 6 * [16] + [16, 32, 64])),
    ("vit", (3, 8, 8), 12, {"depth": 2}, [3, 3, 4, 4, 12, 48, 48]),
    ("gpt2", (6,), 8, {"depth": 2}, [2, 2, 4, 4, 8, 32, 32]),
]
CLASSES = 5


def network(
    architecture: str, shape: tuple[int, ...], width: int, options: dict[str, Any], seed: int = 0
) -> tuple[nn.Module, dict[str, Tensor], Tensor]:
    """A network in float64 with nothing in it that is by chance the same for all units, and samples for it."""
    module = skeleton(architecture, shape, CLASSES, width, **options).double()
    source = torch.Generator().manual_seed(seed)
    weights = {}
    for name, tensor in initialise(module, source).items():
        noise = 0.1 * torch.randn(tensor.shape, generator=source).double()
        weights[name] = tensor.double() + noise.abs() if tensor.is_floating_point() else tensor
    if architecture == "gpt2":
        return module, weights, torch.randint(CLASSES, (40, *shape), generator=source)
    x = torch.randn(40, *shape, generator=source).double()
    if any(name.endswith("running_var") for name in weights):
        weights = reestimate(module, weights, Samples(x, torch.zeros(40, dtype=torch.int64)))
    return module, weights, x


@pytest.mark.parametrize(
    ("architecture", "shape", "width", "options", "sizes"), CASES, ids=lambda value: str(value)[:12]
)
class TestWatching:
    def test_a_permuted_network_computes_the_same(
        self, architecture: str, shape: tuple[int, ...], width: int, options: dict[str, Any], sizes: list[int]
    ) -> None:
        module, weights, x = network(architecture, shape, width, options)
        specification = permutations_of(module, x)
        if architecture != "resnet50":
            assert sorted(specification.sizes) == sizes
        shuffled = specification.permute(weights, specification.random(torch.Generator().manual_seed(1)))
        changed = [name for name, tensor in weights.items() if not torch.equal(tensor, shuffled[name])]
        assert len(changed) > 0.6 * len([name for name, tensor in weights.items() if tensor.ndim])
        out, again = (functional_call(module, state, (x,)) for state in (weights, shuffled))
        torch.testing.assert_close(out, again, rtol=1e-9, atol=1e-9 * float(out.abs().max()))

    def test_both_ways_of_matching_find_a_shuffled_twin(
        self, architecture: str, shape: tuple[int, ...], width: int, options: dict[str, Any], sizes: list[int]
    ) -> None:
        if architecture in ("resnet18-groupnorm", "resnet50"):
            pytest.skip("groups of two and very many groups: coordinate descent may end beside the best")
        module, weights, x = network(architecture, shape, width, options)
        specification = permutations_of(module, x)
        shuffled = specification.permute(weights, specification.random(torch.Generator().manual_seed(2)))
        found = weight_matching(specification, weights, shuffled)
        assert found.similarity >= found.before
        same(weights, specification.permute(shuffled, found.permutations))
        if architecture != "resnet18":  # on so few and small maps some of its units do the same
            found = activation_matching(module, specification, weights, shuffled, x)
            same(weights, specification.permute(shuffled, found.permutations))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_activation_matching_recovers_a_residual_network_with_larger_maps() -> None:
    module, weights, _ = network("resnet18", (3, 8, 8), 4, {})
    x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(3)).double()
    weights = reestimate(module, weights, Samples(x, torch.zeros(64, dtype=torch.int64)))
    specification = permutations_of(module, x)
    shuffled = specification.permute(weights, specification.random(torch.Generator().manual_seed(4)))
    found = activation_matching(module, specification, weights, shuffled, x)
    out = functional_call(module, weights, (x,))
    again = functional_call(module, specification.permute(shuffled, found.permutations), (x,))
    torch.testing.assert_close(out, again, rtol=1e-9, atol=1e-9 * float(out.abs().max()))
    assert found.similarity == pytest.approx(activation_matching(module, specification, weights, weights, x).before)


def test_weight_matching_is_the_best_of_all_orders_where_all_can_be_tried() -> None:
    """One hidden layer of five units: 120 orders, tried one by one."""
    module = skeleton("mlp", (1, 2, 2), 3, 5, depth=1).double()
    states = [initialise(module, torch.Generator().manual_seed(seed)) for seed in range(2)]
    first, second = ({name: tensor.double() for name, tensor in state.items()} for state in states)
    specification = permutations_of(module, torch.zeros(1, 1, 2, 2).double())
    found = weight_matching(specification, first, second)

    def distance(order: Tensor) -> float:
        moved = specification.permute(second, [order])
        return sum(float((first[name] - moved[name]).square().sum()) for name in first)

    best = min(distance(torch.tensor(order)) for order in orders(range(5)))
    assert distance(found.permutations[0]) == pytest.approx(best)


class Odd(nn.Module):
    """Channels side by side, a slice of them, a depthwise convolution, an embedding: what may go wrong in watching."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 6, 1)
        self.depthwise = nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.norm = nn.GroupNorm(2, 10)
        self.last = nn.Linear(7 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.one(x).relu(), self.two(x).tanh()], dim=1)
        kept = self.norm(self.depthwise(both))[:, 3:]
        out: Tensor = self.last(kept.flatten(1)) * torch.arange(1.0, 4.0)
        return out


def test_units_that_something_hangs_on_the_order_of_stay() -> None:
    torch.manual_seed(0)
    module = Odd()
    x = torch.randn(5, 2, 4, 4)
    specification = permutations_of(module, x)
    weights = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    shuffled = specification.permute(weights, specification.random(torch.Generator().manual_seed(1)))
    torch.testing.assert_close(functional_call(module, shuffled, (x,)), module(x))


def test_the_layers_of_a_module_of_ones_own_are_found() -> None:
    module = nn.Sequential(nn.Linear(11, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    specification = permutations_of(module, torch.zeros(1, 11))
    assert specification.sizes == (8, 6)
    weights = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    x = torch.randn(4, 11)
    shuffled = specification.permute(weights, specification.random(torch.Generator().manual_seed(1)))
    torch.testing.assert_close(functional_call(module, shuffled, (x,)), module(x))


class Sorting(nn.Module):
    """Uses an operation that no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        ordered: Tensor = self.linear(x).sort(dim=1).values
        return ordered


def test_an_operation_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be aligned: it uses the operation sort"):
        permutations_of(Sorting(), torch.zeros(1, 3))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_axes_keep_their_sizes_whatever_is_joined_and_cut(sizes: list[int], random: Any) -> None:
    whole = Axis(int(torch.tensor(sizes).prod()))
    cut = regroup([[whole]], sizes)
    assert cut is not None
    assert [int(torch.tensor([axis.size for axis in leaves(part)]).prod()) for part in cut] == sizes
    other = Axis(whole.size)
    unify([whole], [other])
    assert leaves([whole]) == leaves([other])


def test_permutations_can_be_undone_and_chained() -> None:
    module = skeleton("mlp", (1, 2, 2), 3, 6)
    specification: Specification = permutations_of(module, torch.zeros(1, 1, 2, 2))
    source = torch.Generator().manual_seed(0)
    weights = initialise(module, source)
    one, two = specification.random(source), specification.random(source)
    there = specification.permute(weights, one)
    same(weights, specification.permute(there, inverse(one)))
    same(specification.permute(there, two), specification.permute(weights, compose(one, two)))


def test_repair_gives_hidden_units_the_mean_of_the_ingredients_moments() -> None:
    module, first, x = network("cnn", (1, 8, 8), 8, {"activation": "relu"}, seed=1)
    _, second, _ = network("cnn", (1, 8, 8), 8, {"activation": "relu"}, seed=2)
    middle = {name: (first[name] + second[name]) / 2 for name in first}
    fixed = repaired(module, middle, [first, second], x)
    before, after = moments(module, middle, x), moments(module, fixed, x)
    ends = [moments(module, weights, x) for weights in (first, second)]
    for layer in list(after)[:-1]:
        wanted = (ends[0][layer].deviation + ends[1][layer].deviation) / 2
        torch.testing.assert_close(after[layer].deviation, wanted, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(after[layer].mean, (ends[0][layer].mean + ends[1][layer].mean) / 2)
        assert float((before[layer].deviation - wanted).abs().max()) > 1e-3
    assert torch.equal(fixed["linear2.weight"], middle["linear2.weight"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("alignment") / "lake")
    build(lake, "digits-tiny")
    return lake


APART = "SELECT model_id FROM models WHERE width = 16 AND batch_size = 32 AND origin = 'trained' ORDER BY model_id"


@pytest.mark.parametrize("by", ["weights", "activations"])
def test_aligned_twins_are_models_that_compute_the_same_and_lie_nearer(trained: Lake, by: str) -> None:
    aligned = align(trained, APART, by=by)
    ids = trained.sql(APART)["model_id"].to_list()
    assert aligned.model_ids[0] == ids[0]
    assert aligned.similarity["after"][0] > aligned.similarity["before"][0]
    original, twin = load_weights(trained, ids[1]), load_weights(trained, aligned.model_ids[1])
    module = skeleton("mlp", (1, 8, 8), 10, 16)
    x = torch.randn(8, 1, 8, 8)
    out, again = (functional_call(module, weights, (x,)) for weights in (original, twin))
    torch.testing.assert_close(out, again, rtol=1e-4, atol=1e-4)
    before = mergeability(trained, APART).pairs.row(0, named=True)
    both = f"SELECT unnest({list(aligned.model_ids)}) AS model_id"
    after = mergeability(trained, both).pairs.row(0, named=True)
    assert after["distance"] < before["distance"]
    assert after["barrier"] < before["barrier"]
    assert after["common_start"] is None
    assert after["verdict"] == {"weights": "safe", "activations": "unwise"}[by]  # few samples align them less well
    assert after["verdict"] == "safe" or after["barrier"] > HIGH


def test_what_cannot_be_aligned_is_refused(trained: Lake) -> None:
    with pytest.raises(UsageError, match="are not run alike"):
        align(trained, "SELECT model_id FROM models WHERE origin = 'trained'")
    with pytest.raises(UsageError, match="align = 'feelings': choose one of: weights, activations"):
        align(trained, APART, by="feelings")
