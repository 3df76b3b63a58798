"""Scores of examples against one model and one example at a time, and what layers compute against hooks by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learners.landscape.example_scores import el2n, grand
from learners.landscape.learning_curve import features
from learners.landscape.similarity.features import layer_outputs, penultimate
from tests.drawn_networks import drawn_networks
from zoo.architectures import skeleton
from zoo.population import Samples, Weights, member, stack

MODULE = skeleton("cnn", (1, 8, 8), 3, 4)
NAMES = [name for name, _ in MODULE.named_parameters()]


@pytest.fixture(scope="module")
def networks() -> Weights:
    return drawn_networks(MODULE, 3)


@pytest.fixture(scope="module")
def pictures() -> Samples:
    source = torch.Generator().manual_seed(5)
    return Samples(torch.randn(11, 1, 8, 8, generator=source, dtype=torch.float64), torch.arange(11) % 3)


def test_scores_are_those_of_one_example_after_the_other(networks: Weights, pictures: Samples) -> None:
    lengths, pulls = el2n(MODULE, networks, pictures), grand(MODULE, networks, NAMES, pictures)
    for index in range(3):
        for number, (x, y) in enumerate(zip(pictures.x, pictures.y, strict=True)):
            weights = {name: tensor.clone().requires_grad_() for name, tensor in member(networks, index).items()}
            logits = functional_call(MODULE, weights, (x[None],))
            apart = logits.softmax(dim=1)[0] - torch.eye(3, dtype=torch.float64)[y]
            torch.testing.assert_close(lengths[index, number], apart.norm().detach())
            gradients = torch.autograd.grad(cross_entropy(logits, y[None]), list(weights.values()))
            wanted = sum((g**2).sum() for g in gradients).sqrt()  # type: ignore[union-attr] # never an int
            torch.testing.assert_close(pulls[index, number], wanted)


def test_layers_are_what_hooks_on_one_model_see(networks: Weights, pictures: Samples) -> None:
    found = layer_outputs(MODULE, networks, pictures.x)
    assert list(found) == ["conv1", "conv2", "conv3", "linear1", "linear2"]
    plain = skeleton("cnn", (1, 8, 8), 3, 4)
    plain.load_state_dict(member(networks, 1), assign=True)
    seen = {}
    for name in found:
        plain.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.detach()}))
    logits = plain(pictures.x).detach()
    for name, output in seen.items():
        torch.testing.assert_close(found[name][1], output)
    last = penultimate(MODULE, networks, pictures.x)
    assert last is not None
    assert last.layer == "linear2"
    torch.testing.assert_close(last.features[1], torch.tanh(seen["linear1"]))
    torch.testing.assert_close(last.logits[1], logits)
    torch.testing.assert_close(last.classifier, networks["linear2.weight"])


def test_a_network_that_ends_otherwise_has_no_classifier() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1))
    weights = stack([dict(module.state_dict())])
    assert penultimate(module, weights, torch.zeros(2, 4)) is None


def test_features_of_curves_by_hand() -> None:
    found = features([4.0, 2.0, 1.0, 1.5, 1.0])
    assert found == {
        "area": pytest.approx((3 + 1.5 + 1.25 + 1.25) / 4),
        "final": 1.0,
        "best_epoch": 3.0,
        "half_time": 1.75,
        "slope": pytest.approx(np.polyfit(np.log([3, 4, 5]), np.log([1.0, 1.5, 1.0]), 1)[0]),
        "roughness": pytest.approx(0.5 / 4.0),
    }
    power = features([8.0 * epoch**-0.5 for epoch in range(1, 21)])
    assert power["slope"] == pytest.approx(-0.5)
    flat = features([1.0, 1.0])
    assert (flat["half_time"], flat["roughness"]) == (1.0, 0.0)


@pytest.mark.parametrize(("curve", "says"), [([1.0], "at least 2 epochs"), ([1.0, float("inf")], "diverged")])
def test_curves_without_features_say_why(curve: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        features(curve)
