"""Curvature against exact Hessians in float64, and against PyHessian."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from scipy.stats import t as student  # type: ignore[import-untyped] # scipy ships no types
from torch import Tensor, nn

from learners.landscape.curvature.batches import batches
from learners.landscape.curvature.both import eigenvalues_and_trace
from learners.landscape.curvature.criteria import extreme_ratio, negative_share
from learners.landscape.curvature.density import Density, spectral_density
from learners.landscape.curvature.eigenvalues import extreme_eigenvalues
from learners.landscape.curvature.lanczos import lanczos
from learners.landscape.curvature.loss import cross_entropy_sum, physics_loss_sum
from learners.landscape.curvature.products import HessianProducts, exact_hessian
from learners.landscape.curvature.trace import Trace, hutch_plus_plus, hutchinson
from learners.landscape.measuring.families import curvature
from learners.landscape.measuring.group import Group
from learners.landscape.measuring.metrics import METRICS
from learners.landscape.student import widening
from zoo import from_arrays
from zoo.architectures import skeleton
from zoo.group import Member
from zoo.initialise import initialise
from zoo.objective import Convection
from zoo.population import Samples, Weights, member, size, stack

MEMBERS = 3
CASES = {
    "mlp": ("mlp", (1, 4, 4), 5),
    "cnn": ("cnn", (1, 6, 6), 2),
    "vit": ("vit", (1, 8, 8), 4),
    "gpt2": ("gpt2", (6,), 4),
    "resnet": ("resnet18", (1, 8, 8), 1),
}


def population(architecture: str, shape: tuple[int, ...], width: int) -> tuple[nn.Module, Weights, Samples]:
    """Networks with random weights, and samples; three classes or tokens."""
    module = skeleton(architecture, shape, 3, width, depth=1 if architecture in ("vit", "gpt2") else None)
    states = [initialise(module, torch.Generator().manual_seed(seed)) for seed in range(MEMBERS)]
    weights = {name: t.double() if t.is_floating_point() else t for name, t in stack(states).items()}
    source = torch.Generator().manual_seed(9)
    for name, tensor in weights.items():
        if "bias" in name:  # away from zero, so that no unit sits on the kink of a ReLU
            tensor += 0.3 * torch.rand(tensor.shape, generator=source, dtype=torch.float64) + 0.05
    if architecture == "gpt2":
        tokens = torch.randint(3, (20, shape[0] + 1), generator=source)
        return module, weights, Samples(tokens[:, :-1], tokens[:, 1:])
    x = torch.rand(20, *shape, generator=source, dtype=torch.float64)
    return module, weights, Samples(x, torch.randint(3, (20,), generator=source))


def products(module: nn.Module, weights: Weights, samples: Samples, **options: object) -> HessianProducts:
    names = [name for name, _ in module.named_parameters()]
    return HessianProducts(cross_entropy_sum(module), weights, samples, names, **options)  # type: ignore[arg-type] # keep and the like


@pytest.fixture(scope="module")
def small() -> tuple[HessianProducts, Tensor]:
    """Products of small perceptrons, and their eigenvalues."""
    found = products(*population(*CASES["mlp"]))
    return found, torch.linalg.eigvalsh(exact_hessian(found))


def like(found: HessianProducts) -> Tensor:
    return torch.zeros(found.size, found.dimension, dtype=found.like.dtype)


def plain_hessian(module: nn.Module, weights: Weights, samples: Samples) -> Tensor:
    """One model's Hessian, row by row, by torch's own function on a plain module."""
    names = [name for name, _ in module.named_parameters()]
    shapes = [weights[name].shape for name in names]

    def loss(flat: Tensor) -> Tensor:
        parts = torch.split(flat, [shape.numel() for shape in shapes])
        state = weights | {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        logits = torch.func.functional_call(module, state, (samples.x,))
        return nn.functional.cross_entropy(logits.flatten(0, -2), samples.y.flatten())

    flat = torch.cat([weights[name].flatten() for name in names])
    hessian: Tensor = torch.autograd.functional.hessian(loss, flat)  # type: ignore[no-untyped-call] # torch's
    return hessian


@pytest.mark.parametrize("case", ["mlp", "cnn"])
def test_stacked_hessians_are_those_of_each_model(case: str) -> None:
    module, weights, samples = population(*CASES[case])
    hessians = exact_hessian(products(module, weights, samples))
    for index in range(MEMBERS):
        torch.testing.assert_close(hessians[index], plain_hessian(module, member(weights, index), samples))


@pytest.mark.parametrize("case", list(CASES))
def test_products_are_derivatives_of_gradients(case: str) -> None:
    module, weights, samples = population(*CASES[case])
    found = products(module, weights, samples)
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(found.size, found.dimension, generator=generator, dtype=torch.float64)
    direction /= direction.norm(dim=1, keepdim=True)
    step = 1e-7 if case == "resnet" else 1e-5  # its kinks lie close together

    def gradient(sign: int) -> Tensor:
        parts = torch.split(sign * step * direction, [shape.numel() for shape in found.shapes.values()], dim=1)
        moved = {n: weights[n] + part.view(weights[n].shape) for n, part in zip(found.shapes, parts, strict=True)}
        return products(module, weights | moved, samples).gradient()

    difference = (gradient(1) - gradient(-1)) / (2 * step)
    torch.testing.assert_close(found(direction), difference, rtol=1e-3, atol=1e-6 * float(difference.abs().max()))


def test_pieces_that_are_not_kept_add_up(small: tuple[HessianProducts, Tensor]) -> None:
    kept, _ = small
    pieces = products(*population(*CASES["mlp"]), samples_at_once=7, keep=False)
    vectors = torch.randn(MEMBERS, 2, kept.dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(pieces(vectors), kept(vectors))
    torch.testing.assert_close(pieces.gradient(), kept.gradient())


def test_a_layers_hessian_is_a_block_of_the_whole() -> None:
    module, weights, samples = population(*CASES["mlp"])
    whole = exact_hessian(products(module, weights, samples))
    names = ["linear2.weight", "linear2.bias"]
    block = exact_hessian(HessianProducts(cross_entropy_sum(module), weights, samples, names))
    before = sum(weights[name][0].numel() for name in ("linear1.weight", "linear1.bias"))
    torch.testing.assert_close(block, whole[:, before : before + block.shape[1], before : before + block.shape[1]])


def test_a_physics_loss_has_a_hessian_too() -> None:
    module = skeleton("pinn", (4,), 1, 3, depth=1)
    weights = {n: t.double() for n, t in stack([initialise(module, torch.Generator().manual_seed(0))]).items()}
    settings = Member("m", 0, 0, 0.1, 0.0, 0.0, convection=2.0)
    points = torch.rand(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss_sum = physics_loss_sum(module, Convection([settings]))
    found = HessianProducts(loss_sum, weights, Samples(points, torch.zeros(9, dtype=torch.int64)), list(weights))
    hessian = exact_hessian(found)[0]
    assert hessian.abs().max() > 0.1
    first = found(torch.eye(found.dimension, dtype=torch.float64)[:1])
    torch.testing.assert_close(first[0], hessian[0])


def test_lanczos_finds_the_spectrum(small: tuple[HessianProducts, Tensor]) -> None:
    found, exact = small
    extremes = extreme_eigenvalues(found, like(found), count=4)
    assert found.dimension < 2000
    torch.testing.assert_close(extremes.top, exact[:, -4:].flip(1), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(extremes.smallest, exact[:, 0], rtol=1e-9, atol=1e-12)
    images = found(extremes.vectors[:, 0])
    torch.testing.assert_close(images, extremes.top[:, :1] * extremes.vectors[:, 0], rtol=1e-6, atol=1e-8)


def test_lanczos_stops_when_the_error_is_small_enough(small: tuple[HessianProducts, Tensor]) -> None:
    found, exact = small
    rough = extreme_eigenvalues(found, like(found), tolerance=1e-3, smallest=False)
    both = extreme_eigenvalues(found, like(found), tolerance=1e-3, steps=100)
    assert rough.steps < both.steps < 100
    assert ((rough.top[:, 0] / exact[:, -1] - 1).abs() < 1e-3).all()
    assert ((both.smallest / exact[:, 0] - 1).abs() < 1e-3).all()
    assert both.smallest_known.all()
    assert both.top_known.all()
    alone = extreme_eigenvalues(found, like(found), 0, tolerance=1e-3, steps=100)
    torch.testing.assert_close(alone.smallest, exact[:, 0], rtol=1e-3, atol=0)
    whole = extreme_eigenvalues(found, like(found), 500, tolerance=1e-9, steps=1000)
    torch.testing.assert_close(whole.top.flip(1), exact, rtol=1e-6, atol=1e-10)
    assert whole.top_known.all()
    early = extreme_eigenvalues(found, like(found), tolerance=1e-3, steps=rough.steps)
    assert not early.smallest_known.all()
    distance = (exact.unsqueeze(2) - rough.top[:, :1].unsqueeze(1)).abs().min(dim=1).values
    assert (distance <= rough.top_bound[:, :1] + 1e-12).all()


def test_what_lanczos_knows_is_right_for_many_spectra() -> None:
    """Ends that are called known are within the tolerance: of 120 matrices with a bulk, outliers, and small tails."""
    source, tolerance = torch.Generator().manual_seed(0), 1e-2
    bulk = torch.randn(120, 120, generator=source, dtype=torch.float64).abs() ** 3 * 0.01
    tail = torch.rand(120, 1, generator=source, dtype=torch.float64) ** 4 * torch.randn(
        120, 20, generator=source, dtype=torch.float64
    )
    diagonal = torch.cat([bulk, tail, torch.tensor([[3.0, 2.9]], dtype=torch.float64).expand(120, -1)], dim=1)
    found = extreme_eigenvalues(lambda v: v * diagonal, torch.zeros_like(diagonal), 2, 140, tolerance)
    exact = diagonal.sort(dim=1).values
    scale = torch.maximum(exact[:, 0].abs(), 0.01 * exact[:, -1])
    assert found.smallest_known.all()
    assert ((found.smallest - exact[:, 0]).abs() <= tolerance * scale).all()
    assert ((found.top / exact[:, -2:].flip(1) - 1).abs() <= tolerance).all()
    assert found.steps < 140
    for steps in (8, 12, 16, 24, 40):  # what is not known yet is called so, but for unlucky start vectors
        some = extreme_eigenvalues(lambda v: v * diagonal, torch.zeros_like(diagonal), 2, steps, tolerance)
        wrong = (some.smallest - exact[:, 0]).abs() > tolerance * scale
        wrong_top = (some.top[:, 0] / exact[:, -1] - 1).abs() > tolerance
        assert (wrong & some.smallest_known).sum() + (wrong_top & some.top_known[:, 0]).sum() <= 1, steps
        assert steps > 12 or wrong.sum() > 12


def measured_group() -> tuple[Group, Tensor]:
    """A group of small perceptrons as `measure` has it, and the exact eigenvalues of their Hessians."""
    module, weights, samples = population(*CASES["mlp"])
    data = from_arrays("exact", 0, [(samples.x[:, 0].float().repeat(4, 1, 1).numpy(), samples.y.repeat(4).numpy())])
    group = Group([f"m{n}" for n in range(MEMBERS)], module, {n: t.float() for n, t in weights.items()}, data, 0)
    exact = {name: tensor.double() for name, tensor in group.weights.items()}
    train = Samples(data.train.x.double(), data.train.y)
    return group, torch.linalg.eigvalsh(exact_hessian(products(module, exact, train)))


def test_by_default_both_ends_of_the_spectrum_are_those_of_the_exact_hessian() -> None:
    group, exact = measured_group()
    rows = curvature.ends(group, METRICS["hessian_smallest_eigenvalue"].settings)
    smallest = [row[0].value for row in rows["hessian_smallest_eigenvalue"]]
    assert smallest == pytest.approx(exact[:, 0].tolist(), rel=1e-3)
    ratios = [row[0].value for row in rows["extreme_ratio"]]
    assert ratios == pytest.approx((exact[:, 0].abs() / exact[:, -1]).tolist(), rel=2e-3)
    tops = curvature.curvature(group, METRICS["hessian_top_eigenvalue"].settings)["hessian_top_eigenvalue"]
    assert [row[0].value for row in tops] == pytest.approx(exact[:, -1].tolist(), rel=1e-3)


def test_an_end_that_the_steps_do_not_reach_is_a_reason_and_no_value() -> None:
    group, exact = measured_group()
    few = {**METRICS["extreme_ratio"].settings, "steps": 8}
    for name, rows in curvature.ends(group, few).items():
        assert [row[0].value for row in rows] == [None] * MEMBERS, name
        assert all("more steps" in str(row[0].reason) for row in rows)
    rows = curvature.ends(group, few)["hessian_smallest_eigenvalue"]
    assert all(float(str(row[0].detail["reached"])) > low for row, low in zip(rows, exact[:, 0].tolist(), strict=True))


@pytest.mark.parametrize(
    "values", [[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [3.0, 3.0, -1.0, -1.0], [5.0, 0.0, 0.0, 0.0]]
)
def test_lanczos_survives_spaces_that_are_exhausted(values: list[float]) -> None:
    matrix = torch.diag(torch.tensor(values, dtype=torch.float64))
    start = torch.ones(1, 4, dtype=torch.float64)
    run = lanczos(lambda vector: torch.matmul(vector, matrix), start, 9)
    torch.testing.assert_close(run.basis[0] @ run.basis[0].T, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(run.ritz()[0][0], torch.tensor(sorted(values), dtype=torch.float64))


def test_a_diverged_network_takes_no_other_ones_figures(small: tuple[HessianProducts, Tensor]) -> None:
    """What is not finite for one of a stack is NaN for that one, and the others have what they have alone."""
    found, exact = small
    broken = torch.zeros(found.size, 1, dtype=found.like.dtype)
    broken[-1] = torch.nan
    extremes, trace = eigenvalues_and_trace(lambda vectors: found(vectors) + broken, like(found), probes=20)
    torch.testing.assert_close(extremes.top[:-1, 0], exact[:-1, -1], rtol=1e-2, atol=1e-12)
    assert trace.value[:-1].isfinite().all()
    assert not extremes.top[-1].isfinite().any()
    assert not trace.value[-1].isfinite().any()
    density = spectral_density(lambda vectors: found(vectors) + broken, like(found), probes=2, steps=6)
    assert density.nodes[:-1].isfinite().all()
    assert density.nodes[-1].isnan().all()


@pytest.fixture(scope="module")
def tabulated(small: tuple[HessianProducts, Tensor]) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """The exact Hessians as matrices, so that hundreds of repetitions are quick; and their traces."""
    found, exact = small
    hessians = exact_hessian(found)
    return lambda vectors: (hessians @ vectors.unsqueeze(2)).squeeze(2), like(found), exact.sum(dim=1)


@pytest.mark.parametrize("name", ["hutchinson", "hutch++", "lanczos"])
def test_the_claimed_error_covers_the_trace_at_its_rate(
    name: str, tabulated: tuple[Callable[[Tensor], Tensor], Tensor, Tensor]
) -> None:
    """Over 200 repetitions one standard error covers 68 %, two cover 95 %, give or take three deviations of a count."""
    operator, shape, exact = tabulated
    estimators: dict[str, Callable[[int], Trace]] = {
        "hutchinson": lambda seed: hutchinson(operator, shape, probes=30, seed=seed),
        "hutch++": lambda seed: hutch_plus_plus(operator, shape, probes=30, sketch=5, seed=seed),
        "lanczos": lambda seed: eigenvalues_and_trace(
            operator, shape, steps=6, probes=30, eigenvalue_tolerance=0.0, trace_tolerance=0.0, seed=seed
        )[1],
    }
    traces = [estimators[name](2 * seed) for seed in range(200)]
    score = torch.stack([(trace.value - exact) / trace.standard_error for trace in traces])
    assert score.mean(dim=0).abs().max() < 3 / 200**0.5 * 1.1
    assert ((score.abs() < 1).double().mean(dim=0) - 0.68).abs().max() < 3 * 0.033
    assert ((score.abs() < 2).double().mean(dim=0) - 0.95).abs().max() < 3 * 0.0155


@pytest.mark.parametrize(("tolerance", "number"), [(0.3, 0), (0.3, 2), (0.1, 1)])
def test_a_trace_that_stops_early_covers_its_exact_value_as_often(
    tolerance: float, number: int, tabulated: tuple[Callable[[Tensor], Tensor], Tensor, Tensor]
) -> None:
    """Over 200 repetitions, give or take three deviations of a count; few probes suffice, or many are needed."""
    operator, shape, exact = tabulated

    def alone(vector: Tensor) -> Tensor:
        return operator(vector.expand(MEMBERS, -1))[number : number + 1]

    runs = [
        eigenvalues_and_trace(alone, shape[:1], steps=6, probes=300, trace_tolerance=tolerance, seed=3 * seed)[1]
        for seed in range(200)
    ]
    share = sum(bool((run.value - exact[number]).abs() < 1.959964 * run.standard_error) for run in runs) / 200
    assert abs(share - 0.95) < 3 * (0.95 * 0.05 / 200) ** 0.5, share
    assert max(run.probes for run in runs) < 300
    assert all((run.standard_error <= tolerance * run.value.abs()).all() for run in runs)


def test_the_claimed_errors_cover_what_all_samples_give() -> None:
    """Of 90 of 300 samples, drawn 80 times: traces and ends of the spectrum against the exact Hessian of all."""
    module = skeleton("mlp", (1, 2, 2), 3, 4)
    source = torch.Generator().manual_seed(1)
    y = torch.arange(300) % 3
    x = 2 * torch.randn(3, 1, 2, 2, generator=source)[y] + torch.randn(300, 1, 2, 2, generator=source)
    data = replace(from_arrays("blobs", 0, [(x.numpy(), y.numpy())]), train=Samples(x.double(), y))
    weights = {n: t[None].double() for n, t in initialise(module, source).items()}
    names = [name for name, _ in module.named_parameters()]
    exact = exact_hessian(HessianProducts(cross_entropy_sum(module), weights, data.train, names))[0]
    values = torch.linalg.eigvalsh(exact)
    settings: dict[str, float | int | str] = {**METRICS["hessian_trace"].settings, "samples": 90, "steps": 20}
    hits: dict[str, list[bool]] = {}
    for seed in range(80):
        group = Group(["one"], module, weights, data, seed)
        found = curvature.curvature(group, settings) | curvature.ends(group, settings)
        for name, truth in (
            ("hessian_trace", exact.trace()),
            ("hessian_top_eigenvalue", values[-1]),
            ("hessian_smallest_eigenvalue", values[0]),
            ("extreme_ratio", -values[0] / values[-1]),
        ):
            row = found[name][0][0]
            if row.value is not None and row.error is not None:
                hits.setdefault(name, []).append(abs(row.value - float(truth)) <= 1.96 * row.error)
    for name, each in hits.items():
        assert len(each) > 70, name
        assert sum(each) / len(each) > 0.95 - 3 * (0.95 * 0.05 / 80) ** 0.5, (name, sum(each) / len(each))
    whole = curvature.curvature(Group(["one"], module, weights, data, 0), settings | {"samples": 300})
    trace, top = (whole[name][0][0] for name in ("hessian_trace", "hessian_top_eigenvalue"))
    assert "sampling_error" not in trace.detail
    assert top.error == pytest.approx(top.detail["bound"])


def test_an_exact_trace_has_the_error_of_its_rounding() -> None:
    """Hessians that are diagonal leave nothing to chance: what the probes give apart from rounding is the trace."""
    source = torch.Generator().manual_seed(0)
    diagonal = torch.randn(50, 3000, generator=source)
    exact = diagonal.double().sum(dim=1)
    for probes in (9, 40):
        trace = hutchinson(lambda vectors: diagonal * vectors, diagonal, probes=probes)
        assert (trace.standard_error > 0).all()
        assert ((trace.value - exact).abs() <= 1.96 * trace.standard_error).all()
        assert (trace.standard_error < 1e-3).all()
    whole = hutch_plus_plus(lambda vectors: diagonal[:, :40] * vectors, diagonal[:, :40], sketch=40)
    assert ((whole.value - diagonal[:, :40].double().sum(dim=1)).abs() <= 1.96 * whole.standard_error).all()


def test_few_probes_widen_the_error_as_student_says() -> None:
    for count in (2, 3, 4, 5, 6, 9, 15, 40, 300):
        assert widening(count) == pytest.approx(student.ppf(0.975, count - 1) / student.ppf(0.975, 1e9), rel=2e-3)


def test_a_trace_stops_at_the_requested_error(small: tuple[HessianProducts, Tensor]) -> None:
    found, exact = small
    loose, tight = (hutchinson(found, like(found), probes=3000, tolerance=share) for share in (0.3, 0.1))
    assert loose.probes < tight.probes < 3000
    assert (tight.standard_error <= 0.1 * tight.value.abs()).all()
    _, trace = eigenvalues_and_trace(found, like(found), trace_tolerance=0.1, probes=3000)
    assert trace.products < tight.probes  # what Lanczos has found need not be probed
    assert ((trace.value - exact.sum(dim=1)).abs() < 5 * trace.standard_error).all()


def test_a_sketch_of_everything_is_exact(small: tuple[HessianProducts, Tensor]) -> None:
    found, exact = small
    trace = hutch_plus_plus(found, like(found), sketch=10_000)
    torch.testing.assert_close(trace.value, exact.sum(dim=1))
    assert (trace.standard_error < 1e-14).all()  # rounding


def test_quadrature_has_the_spectrums_moments(small: tuple[HessianProducts, Tensor]) -> None:
    found, exact = small
    density = spectral_density(found, like(found), probes=40, steps=30)
    torch.testing.assert_close(density.weights.sum(dim=2), torch.ones_like(density.weights[:, :, 0]))
    for power in (1, 2, 3):
        value, error = density.mean(density.nodes**power)
        assert ((value - (exact**power).mean(dim=1)).abs() < 4 * error).all()
    at = torch.linspace(-2, 3, 4000, dtype=torch.float64).expand(MEMBERS, -1)
    area = density.smooth(at, 0.05)[0].sum(dim=1) * (at[0, 1] - at[0, 0])
    torch.testing.assert_close(area, torch.ones_like(area), rtol=1e-3, atol=0)


@pytest.mark.parametrize("points", [41, 161])
def test_a_smoothed_density_has_all_of_the_spectrum(points: int) -> None:
    group, exact = measured_group()
    settings = {**METRICS["spectral_density"].settings, "points": points, "probes": 60}
    for rows, spectrum in zip(curvature.densities(group, settings)["spectral_density"], exact, strict=True):
        values, errors = (
            torch.tensor(column) for column in zip(*[(row.value, row.error) for row in rows], strict=True)
        )
        places = torch.tensor([float(str(row.detail["eigenvalue"])) for row in rows], dtype=torch.float64)
        bell = float(str(rows[0].detail["bell"]))
        assert bell == pytest.approx(float(spectrum[-1] - spectrum[0]) / 40, rel=1e-3)
        assert float(torch.trapezoid(values.double(), places)) == pytest.approx(1, abs=1e-3)
        apart = (places.unsqueeze(1) - spectrum) / bell
        smoothed = torch.exp(-(apart**2) / 2).mean(dim=1) / (bell * (2 * torch.pi) ** 0.5)
        assert float(torch.trapezoid(smoothed, places)) == pytest.approx(1, abs=1e-3)
        assert ((values - smoothed).abs() <= 5 * errors + 1e-4 * smoothed.max()).all()


def test_a_density_without_a_spectrum_is_one_reason() -> None:
    group, _ = measured_group()
    group.weights = {name: tensor * (1e25 if "weight" in name else 1) for name, tensor in group.weights.items()}
    rows = curvature.densities(group, METRICS["spectral_density"].settings)["spectral_density"]
    assert [[(row.value, dict(row.detail)) for row in each] for each in rows] == [[(None, {})]] * MEMBERS


def test_criteria_are_ratios_of_the_spectrum(small: tuple[HessianProducts, Tensor]) -> None:
    found, exact = small
    ratio = extreme_ratio(extreme_eigenvalues(found, like(found)))
    torch.testing.assert_close(ratio, exact[:, 0].abs() / exact[:, -1])
    share, error = negative_share(spectral_density(found, like(found), probes=40, steps=30))
    wanted = exact.clamp_max(0).sum(dim=1).abs() / exact.clamp_min(0).sum(dim=1)
    assert ((share - wanted).abs() < 4 * error).all()
    assert (error < wanted).all()


SPECTRA = {
    "even": torch.linspace(-1, 1.2, 200, dtype=torch.float64),
    "trained": torch.cat([torch.linspace(-0.4, 0.4, 400), 15 * 0.8 ** torch.arange(60)]).double(),
    "one large": torch.cat([torch.linspace(-0.05, 0.1, 150), 11 * 0.6 ** torch.arange(16)]).double(),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_the_claimed_error_covers_the_negative_share(name: str) -> None:
    """In 1000 experiments of five probes: what endless Lanczos steps would give, squares of normal weights."""
    values, source = SPECTRA[name], torch.Generator().manual_seed(0)
    squares = torch.randn(1000, 5, len(values), generator=source, dtype=torch.float64) ** 2
    density = Density(values.expand(1000, 5, -1), squares / squares.sum(dim=2, keepdim=True))
    exact = values.clamp_max(0).sum().abs() / values.clamp_min(0).sum()
    share, error = negative_share(density)
    assert 0.89 < ((share - exact).abs() <= 1.96 * error).double().mean() < 0.97
    mean, spread = density.mean(values.expand(1000, 5, -1))
    assert 0.89 < ((mean - values.mean()).abs() <= 1.96 * spread).double().mean() < 0.97
    assert negative_share(Density(density.nodes[:, :1], density.weights[:, :1]))[1].isnan().all()


def test_pyhessian_finds_the_same() -> None:
    pyhessian = pytest.importorskip("pyhessian")
    module, weights, samples = population(*CASES["mlp"])
    found = products(module, weights, samples)
    extremes, trace = eigenvalues_and_trace(found, like(found), 1, 0.0, 0.0, probes=300)
    for index in range(MEMBERS):
        model = skeleton("mlp", (1, 4, 4), 3, 5)
        model.load_state_dict(member(weights, index), assign=True)
        model.requires_grad_()
        torch.manual_seed(0)  # it draws from torch's own generator
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a reference cycle that it makes
            theirs = pyhessian.hessian(model, nn.CrossEntropyLoss(), data=(samples.x, samples.y), cuda=False)
            (top,), _ = theirs.eigenvalues(maxIter=2000, tol=1e-12)
            traces = torch.tensor(theirs.trace(maxIter=600, tol=0.0), dtype=torch.float64)
        assert top == pytest.approx(float(extremes.top[index, 0]), rel=1e-5)
        error = float((traces.var() / len(traces) + trace.standard_error[index] ** 2) ** 0.5)
        assert float(traces.mean()) == pytest.approx(float(trace.value[index]), abs=4 * error)


def test_graphs_stay_within_a_budget() -> None:
    module, weights, samples = population(*CASES["mlp"])
    names = [name for name, _ in module.named_parameters()]
    loss_sum = cross_entropy_sum(module)
    all_at_once = batches(loss_sum, weights, samples, names)
    assert (all_at_once.members, all_at_once.samples, all_at_once.keep) == (size(weights), len(samples), True)
    some = batches(loss_sum, weights, samples, names, budget=3000)
    assert (some.members, some.keep) == (1, False)
    assert 1 <= some.samples < len(samples)
    assert (
        batches(
            cross_entropy_sum(skeleton("cnn", (1, 6, 6), 3, 2)), *population(*CASES["cnn"])[1:], names=["conv1.weight"]
        ).members
        == 1
    )
