"""Merge methods on tensors: against mergekit, torch and scipy, closed forms, and tensors of any size."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from learners.soups.merging import Merge, merge_tensor, merge_weights, prepare
from learners.soups.methods import METHODS
from schemas import UsageError

SHAPES = [(), (1,), (7,), (6, 5), (3, 4, 2, 2), (0, 3)]


def models_of(
    shape: tuple[int, ...], count: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """A parent and so many fine-tunes of it."""
    source = torch.Generator().manual_seed(seed)
    parent = torch.randn(shape, generator=source, dtype=torch.float64)
    tunes = [parent + 0.1 * torch.randn(shape, generator=source, dtype=torch.float64) for _ in range(count)]
    return [tensor.to(dtype) for tensor in (parent, *tunes)]


def merged(name: str, tensors: Sequence[Tensor], parent: Tensor | None = None, **settings: Any) -> Tensor:
    return merge_tensor(prepare(name, len(tensors), **settings), "w", tensors, parent)


def by_mergekit(name: str, tensors: Sequence[Tensor], base: Tensor | None, **parameters: Any) -> Tensor:
    """The same merge by mergekit's own registry; settings for each model are given by its number."""
    from mergekit.merge_methods.base import PerInputValues, TensorGroup
    from mergekit.merge_methods.registry import get

    everything = list(tensors) if base is None else [base, *tensors]
    group = TensorGroup.from_tensors(everything, base_index=None if base is None else 0)
    first = 0 if base is None else 1
    given = {
        key: PerInputValues([(number + first, each) for number, each in enumerate(value)])
        if isinstance(value, list)
        else value
        for key, value in parameters.items()
    }
    (result,) = get(name)([group], parameters=given)
    assert isinstance(result, Tensor)
    return result


def close(ours: Tensor, theirs: Tensor) -> None:
    """Equal but for the order of at most a few dozen additions, in float64."""
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES[:-1])
class TestAgainstMergekit:
    def test_linear(self, shape: tuple[int, ...]) -> None:
        _, *tunes = models_of(shape)
        for normalize in (True, False):
            theirs = by_mergekit("linear", tunes, None, weight=[1.0, 0.5, 2.0], normalize=normalize)
            close(merged("linear", tunes, weights=[1.0, 0.5, 2.0], normalize=normalize), theirs)

    def test_slerp(self, shape: tuple[int, ...]) -> None:
        parent, tune, other = models_of(shape, 2)
        for pair in ((parent, tune), (tune - parent, other - parent), (parent, parent)):
            theirs = by_mergekit("slerp", pair[1:], pair[0], t=0.3)
            close(merged("slerp", pair, t=0.3), theirs)

    def test_task_arithmetic(self, shape: tuple[int, ...]) -> None:
        parent, *tunes = models_of(shape)
        for normalize in (True, False):
            given = {"weight": [0.4, 0.7, -0.2], "normalize": normalize, "lambda": 0.5}
            ours = merged("task_arithmetic", tunes, parent, weights=[0.4, 0.7, -0.2], normalize=normalize, scale=0.5)
            close(ours, by_mergekit("task_arithmetic", tunes, parent, **given))

    def test_ties(self, shape: tuple[int, ...]) -> None:
        parent, *tunes = models_of(shape)
        for density, weights, normalize in ((0.5, [1.0, 1.0, 1.0], True), (0.2, [0.3, 2.0, 1.0], False)):
            given = {"weight": weights, "density": [density] * 3, "normalize": normalize}
            ours = merged("ties", tunes, parent, weights=weights, density=density, normalize=normalize)
            close(ours, by_mergekit("ties", tunes, parent, **given))

    def test_breadcrumbs(self, shape: tuple[int, ...]) -> None:
        parent, *tunes = models_of(shape)
        if parent.numel() < 2:
            pytest.skip("of a tensor of one value mergekit keeps none, which is where the two differ on purpose")
        for name, consensus in (("breadcrumbs", False), ("breadcrumbs_ties", True)):
            given = {"weight": [1.0, 0.5, 1.0], "density": [0.6] * 3, "gamma": [0.2] * 3}
            ours = merged(
                "breadcrumbs", tunes, parent, weights=[1.0, 0.5, 1.0], density=0.6, outliers=0.2, consensus=consensus
            )
            close(ours, by_mergekit(name, tunes, parent, **given))

    def test_sce(self, shape: tuple[int, ...]) -> None:
        parent, *tunes = models_of(shape)
        for density in (1.0, 0.4):
            if density < 1 and parent.numel() < 3:
                continue  # mergekit keeps no place of so few
            close(merged("sce", tunes, parent, density=density), by_mergekit("sce", tunes, parent, select_topk=density))

    def test_karcher(self, shape: tuple[int, ...]) -> None:
        parent, *tunes = models_of(shape)
        close(merged("karcher", [parent, *tunes]), by_mergekit("karcher", [parent, *tunes], None))

    def test_model_stock(self, shape: tuple[int, ...]) -> None:
        parent, *tunes = models_of(shape, seed=3)
        towards = models_of(shape, 1, seed=4)[1]  # so that the fine-tunes have something in common
        tunes = [tune + 0.2 * towards for tune in tunes]
        theirs = by_mergekit("model_stock", tunes, parent)
        assert float((theirs - parent).abs().sum()) > 0
        close(merged("model_stock", tunes, parent), theirs)
        if parent.ndim > 1:
            theirs = by_mergekit("model_stock", tunes, parent, filter_wise=True)
            if parent.ndim == 2:  # of convolutions mergekit takes rows of the last axis for filters
                cosines = [torch.cosine_similarity(a - parent, b - parent) for a, b in pairs(tunes)]
                inside = torch.stack(cosines).mean(0) > 0  # where t is not clamped
                ours = merged("model_stock", tunes, parent, by_filter=True)
                close(ours[inside], theirs[inside])
                torch.testing.assert_close(ours[~inside], parent[~inside])


def pairs(tensors: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return [(a, b) for number, a in enumerate(tensors) for b in tensors[number + 1 :]]


def test_random_methods_agree_with_mergekit_on_what_is_not_random() -> None:
    """With the mask that ours draws, DELLA and DARE rescaled by L1 are mergekit's formula."""
    from mergekit.sparsify import RescaleNorm, rescaled_masked_tensor

    parent, tune, _ = models_of((50, 40), 2)
    for name in ("dare", "della"):
        ours = merged(name, [tune], parent, density=0.4, rescale="l1")
        mask = (ours != parent).double()
        assert 0.3 < float(mask.mean()) < 0.5
        close(ours - parent, rescaled_masked_tensor(tune - parent, mask, RescaleNorm.l1))


def test_dare_and_della_are_right_on_average() -> None:
    parent, tune, _ = models_of((20,), 2)
    for name in ("dare", "della"):
        draws = torch.stack([merged(name, [tune], parent, density=0.5, seed=seed) for seed in range(2000)])
        error = draws.std(dim=0) / len(draws) ** 0.5
        assert bool(((draws.mean(dim=0) - tune).abs() < 5 * error).all())


def test_della_keeps_large_values_more_often() -> None:
    parent = torch.zeros(1, 10, dtype=torch.float64)
    tune = torch.arange(1.0, 11.0, dtype=torch.float64)[None]
    kept = torch.stack([merged("della", [tune], parent, density=0.5, spread=0.4, seed=s) != 0 for s in range(2000)])
    wanted = torch.linspace(0.1, 0.9, 10)
    torch.testing.assert_close(kept.float().mean(dim=(0, 1)), wanted, rtol=0, atol=0.05)  # five standard errors


def test_what_is_random_hangs_on_seed_and_name_alone() -> None:
    parent, *tunes = models_of((30, 30))
    first, again, other = (merged("dare", tunes, parent, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    merge = prepare("dare", 3, seed=1)
    assert not torch.equal(merge_tensor(merge, "v", tunes, parent), first)


def test_swa_and_ema_are_those_of_torch() -> None:
    torch.manual_seed(0)
    run = [torch.nn.Linear(4, 3).double() for _ in range(6)]
    mean = AveragedModel(run[0])
    moving = AveragedModel(run[0], multi_avg_fn=get_ema_multi_avg_fn(0.7))  # type: ignore[no-untyped-call] # it has no types
    for step in run:
        mean.update_parameters(step)
        moving.update_parameters(step)
    states = [step.state_dict() for step in run]
    for name, parameter in mean.module.state_dict().items():
        close(merge_weights(prepare("swa", 6), states)[name], parameter)
    for name, parameter in moving.module.state_dict().items():
        close(merge_weights(prepare("ema", 6, decay=0.7), states)[name], parameter)
    close(merged("lawa", [s["weight"] for s in states], last=2), (states[4]["weight"] + states[5]["weight"]) / 2)
    close(merged("swa", [s["weight"] for s in states], skip=4), (states[4]["weight"] + states[5]["weight"]) / 2)


def test_fisher_and_regmean_are_solutions_of_their_problems() -> None:
    """Fisher merging minimises the Fisher-weighted, RegMean the outputs' squared distance to the models."""
    source = torch.Generator().manual_seed(0)
    _, *tunes = models_of((3, 5))
    fishers = [torch.rand(3, 5, generator=source, dtype=torch.float64) for _ in tunes]
    ours = merge_tensor(prepare("fisher", 3), "w", tunes, fishers=fishers).requires_grad_()
    loss = sum((f * (ours - t) ** 2).sum() for f, t in zip(fishers, tunes, strict=True))
    (gradient,) = torch.autograd.grad(torch.as_tensor(loss), ours)
    assert float(gradient.abs().max()) < 1e-12
    inputs = [torch.randn(40, 5, generator=source, dtype=torch.float64) for _ in tunes]
    grams = [x.T @ x for x in inputs]
    merge = prepare("regmean", 3, off_diagonal=1.0)
    ours = merge_tensor(merge, "w", tunes, grams=grams).requires_grad_()
    loss = sum(((x @ ours.T - x @ t.T) ** 2).sum() for x, t in zip(inputs, tunes, strict=True))
    (gradient,) = torch.autograd.grad(torch.as_tensor(loss), ours)
    assert float(gradient.abs().max()) < 1e-8
    close(merge_tensor(merge, "b", tunes), torch.stack(tunes).mean(0))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_values_have_fisher_information_of_one_number_or_of_two(dtype: torch.dtype) -> None:
    source = torch.Generator().manual_seed(0)
    tunes = [torch.randn(4, 3, generator=source, dtype=torch.complex128) for _ in range(3)]
    fishers = [torch.rand(4, 3, generator=source, dtype=torch.float64) for _ in range(3)]
    others = [torch.rand(4, 3, generator=source, dtype=torch.float64) for _ in range(3)]
    merge, stored = prepare("fisher", 3), [tune.to(dtype) for tune in tunes]
    one = merge_tensor(merge, "w", stored, fishers=fishers)
    wanted = torch.stack(list(map(torch.mul, tunes, fishers))).sum(dim=0) / torch.stack(fishers).sum(dim=0)
    torch.testing.assert_close(one, wanted.to(dtype), rtol=1e-5, atol=1e-6)
    both = [torch.complex(*parts) for parts in zip(fishers, others, strict=True)]
    products = [tune.imag * other for tune, other in zip(tunes, others, strict=True)]
    imaginary = torch.stack(products).sum(dim=0) / torch.stack(others).sum(dim=0)
    for information in (both, [torch.view_as_real(each) for each in both]):
        two = merge_tensor(merge, "w", stored, fishers=information)
        torch.testing.assert_close(two, torch.complex(wanted.real, imaginary).to(dtype), rtol=1e-5, atol=1e-6)


def test_regmean_of_models_that_saw_no_input_in_a_direction_takes_their_mean_there() -> None:
    tunes = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 6.0]])]
    grams = [torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 0.0]])]
    ours = merge_tensor(prepare("regmean", 2), "w", tunes, grams=grams)
    torch.testing.assert_close(ours, torch.tensor([[2.5, 4.0]]))


def test_slerp_goes_along_the_arc_and_karcher_is_its_middle() -> None:
    first, second = torch.tensor([3.0, 0.0, 0.0]).double(), torch.tensor([0.0, 3.0, 0.0]).double()
    for t in (0.0, 0.25, 1.0):
        assert float(torch.linalg.vector_norm(merged("slerp", [first, second], t=t))) == pytest.approx(3)
    close(merged("karcher", [first, second]), merged("slerp", [first, second]))


def test_model_stock_never_leaves_the_way_from_parent_to_mean() -> None:
    parent = torch.zeros(2, dtype=torch.float64)
    apart = [torch.tensor([1.0, 0.0]).double(), torch.tensor([-1.0, 0.1]).double()]
    assert torch.equal(merged("model_stock", apart, parent), parent)  # mergekit's t would be far below zero
    alike = [torch.ones(2, dtype=torch.float64)] * 2
    close(merged("model_stock", alike, parent), alike[0])


def small_sizes() -> list[tuple[str, dict[str, Any]]]:
    return [(name, {}) for name in METHODS] + [
        ("dare", {"density": 0.01, "consensus": True}),
        ("ties", {"density": 0.0}),
        ("breadcrumbs", {"density": 0.1, "outliers": 0.9}),
        ("della", {"density": 0.2, "rescale": "l1"}),
        ("sce", {"density": 0.01}),
    ]


@pytest.mark.parametrize(("name", "settings"), small_sizes(), ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_method_takes_tensors_of_any_size_and_type(
    name: str, settings: dict[str, Any], shape: tuple[int, ...]
) -> None:
    method = METHODS[name]
    count = method.most or 3
    for dtype in (torch.float64, torch.bfloat16, torch.complex64, torch.float8_e4m3fn):
        parent, *tunes = models_of(shape, count, dtype=dtype)
        fishers = [torch.rand(tune.shape if dtype != torch.complex64 else (*tune.shape, 2)) for tune in tunes]
        merge = prepare(name, count, **settings)
        result = merge_tensor(merge, "w", tunes, parent if "parent" in method.needs else None, fishers=fishers)
        assert (result.shape, result.dtype) == (parent.shape, dtype)
        values = torch.view_as_real(result) if result.is_complex() else result
        assert bool(values.float().isfinite().all())
        counter = torch.tensor([3])
        assert torch.equal(merge_tensor(merge, "n", [counter] * count, counter), counter)


@pytest.mark.parametrize("name", ["ties", "breadcrumbs", "dare", "della", "sce"])
def test_no_method_takes_a_scalar_back_to_the_parent(name: str) -> None:
    parent, tune = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    tunes = [tune, tune * 3]
    assert float(merged(name, tunes, parent)) != 0


@given(st.integers(1, 5), st.integers(0, 2**31))
def test_equal_models_merge_to_themselves(count: int, seed: int) -> None:
    parent, tune = models_of((4, 3), 1, seed)
    for name, method in METHODS.items():
        if method.seeded or not (method.least <= count <= (method.most or count)):
            continue
        settings: dict[str, Any] = {"normalize": True} if name == "task_arithmetic" else {}
        settings |= {"density": 1.0} if name in ("ties", "breadcrumbs", "sce") else {}
        settings |= {"normalize": True} if name == "breadcrumbs" else {}
        settings |= {"alpha": 1.0} if name == "wise_ft" else {}
        merge = prepare(name, count, **settings)
        given_parent = parent if "parent" in method.needs else None
        result = merge_tensor(merge, "w", [tune] * count, given_parent, fishers=[torch.ones(4, 3)] * count)
        torch.testing.assert_close(result, tune, rtol=1e-9, atol=1e-9)


def test_small_types_are_computed_in_large_ones() -> None:
    big = [torch.tensor([60000.0], dtype=torch.float16)] * 3  # their sum is beyond float16
    assert float(merged("linear", big)) == 60000.0
    tiny = [torch.tensor([1.0], dtype=torch.bfloat16)] * 300  # the running sum would stop at 256
    assert float(merged("linear", tiny, normalize=False)) == 300.0
    exact = [torch.tensor([1.0 + 1e-12], dtype=torch.float64)] * 2
    assert float(merged("linear", exact)) == 1.0 + 1e-12


def test_tied_tensors_stay_tied_even_where_methods_draw() -> None:
    def model(seed: int) -> dict[str, Tensor]:
        weight = models_of((8, 8), 1, seed)[1]
        return {"tokens": weight, "head": weight, "other": weight.clone()}

    result = merge_weights(prepare("dare", 2), [model(1), model(2)], model(3))
    assert result["tokens"] is result["head"]
    assert not torch.equal(result["tokens"], result["other"])


@pytest.mark.parametrize(
    ("name", "count", "settings", "reason"),
    [
        ("tie", 2, {}, "method 'tie' is unknown; choose one of: breadcrumbs"),
        ("ties", 2, {"dense": 1}, "dense: ties has no such setting; it has: weights, density"),
        ("ties", 2, {"density": 1.5}, r"density = 1.5: expected from 0 to 1 \(share of"),
        ("ties", 2, {"density": "much"}, "density = 'much': ties expects a number"),
        ("ties", 2, {"density": float("nan")}, "density = nan: ties expects a number"),
        ("ties", 2, {"scale": float("inf")}, "scale = inf: ties expects a number that is finite"),
        ("linear", 2, {"weights": [1, -float("inf")]}, "weights = -inf: linear expects a number that is finite"),
        ("ties", 2, {"normalize": 1}, "normalize = 1: expected true or false"),
        ("linear", 3, {"weights": [1, 2]}, r"weights = \[1, 2\]: expected 3 numbers"),
        ("linear", 2, {"weights": [1, -1]}, "they sum to zero"),
        ("slerp", 3, {}, "slerp takes exactly 2 models, and 3 are given; select fewer"),
        ("wise_ft", 2, {}, "wise_ft takes exactly 1 model beside the parent, and 2 are given; select fewer"),
        ("model_stock", 1, {}, "model_stock takes at least 2 models beside the parent, and 1 is given; select more"),
        ("swa", 3, {"skip": 3}, "of 3 checkpoints none is left"),
        ("lawa", 3, {"last": 0}, "last = 0: expected at least 1"),
        ("lawa", 3, {"last": 1.5}, "lawa expects a whole number"),
        ("dare", 3, {"rescale": "l2"}, "rescale = 'l2': choose one of: density, l1, none"),
        ("della", 3, {"density": 0.1}, "density - spread has to be above 0"),
    ],
)
def test_settings_that_cannot_be_are_found_before_anything_is_read(
    name: str, count: int, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason) as raised:
        prepare(name, count, **settings)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_one_model_is_merged_with_its_parent_or_not_at_all(name: str) -> None:
    method = METHODS[name]
    if "parent" in method.needs and name not in ("model_stock", "sce"):  # which look at what models differ in
        settings: dict[str, Any] = {"density": 1.0} if name in ("ties", "dare", "breadcrumbs", "della") else {}
        settings |= {"alpha": 0.5} if name == "wise_ft" else {"scale": 0.5}
        parent, tune = models_of((4, 3), 1)
        close(merged(name, [tune], parent, **settings), (parent + tune) / 2)
        return
    with pytest.raises(UsageError, match=rf"{name} takes (at least|exactly) 2 models.*, and 1 is given; select more"):
        prepare(name, 1)


def test_what_a_method_needs_is_asked_for() -> None:
    tensors = [torch.ones(2)] * 2
    with pytest.raises(UsageError, match="ties needs a parent"):
        merged("ties", tensors)
    with pytest.raises(UsageError, match="fisher needs Fisher information"):
        merged("fisher", tensors)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_says_what_it_is(name: str) -> None:
    method = METHODS[name]
    assert "=" in method.formula
    assert any(year in method.paper for year in map(str, range(1977, 2027)))
    assert method.summary.endswith(".")
    for parameter in method.parameters:
        assert parameter.setting.what
    assert isinstance(prepare(name, method.most or method.least or 1), Merge)
