"""Directions, their normalisation and loss surfaces against loops, an optimiser of torch, and exact eigenvectors."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learners.landscape.curvature.loss import cross_entropy_sum
from learners.landscape.curvature.products import HessianProducts, exact_hessian
from learners.landscape.measuring.metrics import NORMALISATIONS
from learners.landscape.surfaces.directions import adam_directions, hessian_directions, random_directions
from learners.landscape.surfaces.normalised import normalised
from learners.landscape.surfaces.surface import loss_on_grid
from tests.drawn_networks import drawn_networks
from zoo.population import Samples, Weights, flatten, member
from zoo.randomness import generator

MODULE = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)).double().eval()
NAMES = [name for name, _ in MODULE.named_parameters()]


@pytest.fixture(scope="module")
def networks() -> Weights:
    return drawn_networks(MODULE, 2)


@pytest.fixture(scope="module")
def pictures() -> Samples:
    source = torch.Generator().manual_seed(5)
    return Samples(torch.randn(40, 1, 4, 4, generator=source, dtype=torch.float64), torch.arange(40) % 3)


def test_normalisations_are_those_that_loops_give(networks: Weights) -> None:
    [direction] = random_directions(networks, 1, seed=2)
    for by in NORMALISATIONS:
        found = normalised(direction, networks, by)
        for index in range(3):
            wanted = _scaled(member(direction, index), member(networks, index), by)
            for name, tensor in wanted.items():
                torch.testing.assert_close(found[name][index], tensor, msg=f"{by} {name}")


def _scaled(direction: Weights, weights: Weights, by: str) -> Weights:
    """One model, a tensor and a row at a time."""
    if by == "model":
        lengths = [sum(float((t**2).sum()) for t in each.values()) ** 0.5 for each in (weights, direction)]
        return {name: tensor * lengths[0] / lengths[1] for name, tensor in direction.items()}
    found = {name: tensor.clone() for name, tensor in direction.items()}
    for name, tensor in found.items():
        if by == "weight":
            tensor *= weights[name].abs()
        elif by == "layer" or (by == "filter" and tensor.ndim == 1):
            tensor *= weights[name].norm() / tensor.norm()
        elif by == "filter":
            for row, start in zip(tensor, weights[name], strict=True):
                row *= start.norm() / row.norm()
    return found


def test_a_direction_of_zeros_stays_zero(networks: Weights) -> None:
    nothing = {name: torch.zeros_like(tensor) for name, tensor in networks.items()}
    for by in NORMALISATIONS:
        assert all((tensor == 0).all() for tensor in normalised(nothing, networks, by).values())


def test_adams_direction_is_its_step(networks: Weights, pictures: Samples) -> None:
    [found] = adam_directions(MODULE, networks, NAMES, pictures, 1, batch_size=8, steps=7, seed=6)
    for index in range(3):
        start = member(networks, index)
        moving = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
        optimiser = torch.optim.Adam(moving.values(), lr=1.0)
        source = generator("adam direction", 6, 0)
        for _ in range(7):
            with torch.no_grad():
                for name, tensor in moving.items():
                    tensor.copy_(start[name])
            chosen = torch.randint(40, (8,), generator=source)
            optimiser.zero_grad()
            loss = cross_entropy(functional_call(MODULE, moving, (pictures.x[chosen],)), pictures.y[chosen])
            loss.backward()  # type: ignore[no-untyped-call] # torch's
            optimiser.step()
        for name, tensor in moving.items():
            torch.testing.assert_close(found[name][index], (tensor - start[name]).detach(), atol=1e-9, rtol=1e-6)
    two = adam_directions(MODULE, networks, NAMES, pictures, 2, batch_size=8, steps=7, seed=6)
    overlap = (flatten(two[0]) * flatten(two[1])).sum(dim=1)
    torch.testing.assert_close(overlap, torch.zeros_like(overlap), atol=1e-9, rtol=0)


def test_the_hessians_directions_are_its_eigenvectors(networks: Weights, pictures: Samples) -> None:
    found = hessian_directions(MODULE, networks, NAMES, pictures, 2, steps=60)
    exact = exact_hessian(HessianProducts(cross_entropy_sum(MODULE), networks, pictures, NAMES))
    vectors = torch.linalg.eigh(exact).eigenvectors.mT.flip(1)
    for axis in range(2):
        cosine = (flatten(found[axis]) * vectors[:, axis]).sum(dim=1).abs()
        torch.testing.assert_close(cosine, torch.ones_like(cosine), atol=1e-3, rtol=0)


def test_surfaces_are_the_losses_of_moved_networks(networks: Weights, pictures: Samples) -> None:
    directions = random_directions(networks, 2, seed=1)
    places = [-0.5, 0.0, 0.25]
    values, errors = loss_on_grid(MODULE, networks, directions, places, pictures)
    assert values.shape == errors.shape == (3, 3, 3)
    for index in range(3):
        for i, x in enumerate(places):
            for j, y in enumerate(places):
                moved = _moved(member(networks, index), [member(each, index) for each in directions], (x, y))
                each = cross_entropy(functional_call(MODULE, moved, (pictures.x,)), pictures.y, reduction="none")
                torch.testing.assert_close(values[index, i, j], each.mean())
                torch.testing.assert_close(errors[index, i, j], each.std() / 40**0.5)
    line, _ = loss_on_grid(MODULE, networks, directions[:1], places, pictures)
    torch.testing.assert_close(line, values[:, :, 1])


def _moved(weights: Weights, directions: list[Weights], steps: tuple[float, ...]) -> dict[str, Tensor]:
    found = dict(weights)
    for direction, step in zip(directions, steps, strict=True):
        found = {name: tensor + step * direction[name] for name, tensor in found.items()}
    return found
