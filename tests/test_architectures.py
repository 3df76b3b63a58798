"""The architectures: sizes, shapes, and initial weights equal to torch's."""

import pytest
import torch
from torch import nn

from schemas.errors import UsageError
from zoo.architectures import ARCHITECTURES, skeleton
from zoo.initialise import initialise


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("input_shape", "expected"),
    [((1, 28, 28), 2464), ((3, 28, 28), 2864), ((1, 8, 8), 208 - 128 + 1206 - 768 + 100 + 740 + 210)],
)
def test_the_cnn_has_the_literatures_size_at_width_8(input_shape: tuple[int, int, int], expected: int) -> None:
    assert parameters(skeleton("cnn", input_shape, 10, 8)) == expected


def test_the_cnn_has_channels_8_6_4_and_20_hidden_units() -> None:
    shapes = {name: tuple(p.shape) for name, p in skeleton("cnn", (1, 28, 28), 10, 8).named_parameters()}
    assert shapes["conv1.weight"] == (8, 1, 5, 5)
    assert shapes["conv2.weight"] == (6, 8, 5, 5)
    assert shapes["conv3.weight"] == (4, 6, 2, 2)
    assert shapes["linear1.weight"] == (20, 36)
    assert shapes["linear2.weight"] == (10, 20)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 17])
@pytest.mark.parametrize("input_shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 2, 9), (1, 12, 40), (1, 7, 7)])
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_width_takes_every_image(architecture: str, input_shape: tuple[int, int, int], width: int) -> None:
    module = ARCHITECTURES[architecture](input_shape, 7, width)
    assert module(torch.zeros(3, *input_shape)).shape == (3, 7)


def test_the_cnn_refuses_images_that_it_cannot_take() -> None:
    with pytest.raises(UsageError, match=r"at least 2 x 2, these are 1 x 9; take the mlp"):
        skeleton("cnn", (1, 1, 9), 10, 8)


def test_an_unknown_architecture_lists_the_choices() -> None:
    with pytest.raises(UsageError, match=r"'resnet' is unknown; choose one of: cnn, mlp"):
        skeleton("resnet", (1, 8, 8), 10, 8)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_initial_weights_are_those_that_torch_draws(architecture: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(11)
        expected = ARCHITECTURES[architecture]((1, 28, 28), 10, 8).state_dict()
    drawn = initialise(skeleton(architecture, (1, 28, 28), 10, 8), torch.Generator().manual_seed(11))
    assert list(drawn) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(drawn[name], tensor, rtol=1e-6, atol=1e-8)  # the bound is rounded once more


def test_initialising_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    initialise(skeleton("cnn", (1, 8, 8), 10, 8), torch.Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_layer_that_nobody_knows_to_initialise_is_named() -> None:
    with pytest.raises(TypeError, match="layer 1 is a BatchNorm1d"):
        initialise(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), torch.Generator())
