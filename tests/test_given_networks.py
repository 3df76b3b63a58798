"""Networks that a caller gives: what they cannot do, or fail at, is a row with the reason; all else has its value."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.parametrize import register_parametrization

from learners import measure
from learners.landscape.measuring.differentiable import of_a_caller
from miners import mine
from schemas import Lake, UsageError
from schemas.doctor import examine
from zoo import from_arrays
from zoo.datasets import Dataset

QUERY = "SELECT model_id FROM model ORDER BY ALL"
REASONS = "SELECT DISTINCT metric, reason FROM {} WHERE value IS NULL"
BY_GRADIENTS = ["hessian_trace", "spectral_density", "layer_hessian_trace", "mode_connectivity", "grand"]


@pytest.fixture(scope="module")
def data() -> Dataset:
    images = np.random.default_rng(0).random((60, 8, 8), dtype=np.float32)
    return from_arrays("mine", 0, [(images, np.arange(60) % 3)])


@pytest.fixture
def mined(lake: Lake, tmp_path: Path) -> Lake:
    """Two mined networks."""
    return mine_networks(lake, tmp_path / "hub", [drawn(nn.Sequential, seed) for seed in range(2)])


def mine_networks(lake: Lake, folder: Path, networks: Sequence[nn.Module]) -> Lake:
    for number, network in enumerate(networks):
        (folder / "ada" / f"net{number}").mkdir(parents=True)
        save_file(network.state_dict(), folder / "ada" / f"net{number}" / "model.safetensors")
    mine(lake, "local", folder=folder)
    return lake


def drawn(kind: type[nn.Sequential], seed: int = 0, last: nn.Module | None = None) -> nn.Sequential:
    network = kind(nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), last or nn.Linear(4, 3))
    source = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, generator=source)
    return network


class WithoutGradient(nn.Sequential):
    """Computes under `no_grad`."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            out: Tensor = super().forward(x)  # type: ignore[no-untyped-call] # torch's
        return out


class Detached(nn.Sequential):
    """Cuts its outputs off."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x).detach()  # type: ignore[no-untyped-call] # torch's
        return out


class Frozen(nn.Sequential):
    """Computes its first layer under `no_grad`."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self[1](self[0](x))
        out: Tensor = self[3](self[2](x))
        return out


class Looking(nn.Sequential):
    """Looks at the values of its samples, which `vmap` over samples does not allow."""

    def forward(self, x: Tensor) -> Tensor:
        if float(x.sum()) > 1e9:
            raise ValueError("too large")
        out: Tensor = super().forward(x)  # type: ignore[no-untyped-call] # torch's
        return out


class Small(nn.Sequential):
    """Takes few samples at once, and many not."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 10:
            raise KeyError("too many")
        out: Tensor = super().forward(x)  # type: ignore[no-untyped-call] # torch's
        return out


class BrokenBackward(torch.autograd.Function):
    """Does nothing, and has a mistake in its derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x * 1

    @staticmethod
    def setup_context(*_: object) -> None:
        pass

    @staticmethod
    def backward(*_: object) -> Tensor:
        raise KeyError("no derivative here")


class Backward(nn.Sequential):
    """Fails as it is differentiated."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = BrokenBackward.apply(super().forward(x))  # type: ignore[no-untyped-call] # torch's
        return out


class PINN(nn.Sequential):
    """Classifies, whatever its name is."""


def reasons(lake: Lake) -> dict[str, str]:
    tables = ("measurement", "pair_measurement", "example_measurement")
    return dict(pl.concat([lake.sql(REASONS.format(table)) for table in tables]).iter_rows())


@pytest.mark.parametrize("kind", [WithoutGradient, Detached])
@pytest.mark.parametrize("direction", ["hessian", "adam"])
def test_a_network_without_a_gradient_has_no_metric_by_gradients(
    mined: Lake, data: Dataset, kind: type[nn.Sequential], direction: str
) -> None:
    names = [*BY_GRADIENTS, "loss_line", "loss_surface", "loss"]
    done = measure(mined, QUERY, names, architecture=drawn(kind), data=data, settings={"direction": direction})
    assert dict(done.filter(pl.col("measured") > 0).select("metric", "measured").rows()) == {"loss": 2}
    said = reasons(mined)
    assert set(names) - {"loss"} <= said.keys()
    assert all("cannot be differentiated" in reason for reason in said.values()), said


@pytest.mark.parametrize("kind", [nn.Sequential, Looking, Frozen])
def test_pulls_of_examples_are_those_of_one_after_the_other(
    mined: Lake, data: Dataset, kind: type[nn.Sequential]
) -> None:
    assert measure(mined, QUERY, ["grand"], architecture=drawn(kind), data=data)["measured"].item() == len(data.train)
    rows = mined.sql("SELECT value FROM example_measurement ORDER BY example")["value"].to_list()
    wanted = torch.zeros(len(data.train), dtype=torch.float64)
    for seed in range(2):
        network = drawn(kind, seed)
        for number, (x, y) in enumerate(zip(data.train.x, data.train.y, strict=True)):
            loss = cross_entropy(network(x[None]), y[None])
            gradients = torch.autograd.grad(loss, list(network.parameters()), materialize_grads=True)
            wanted[number] += sum((g.double() ** 2).sum() for g in gradients) ** 0.5 / 2
    assert rows == pytest.approx(wanted.tolist(), rel=1e-4)


def test_a_layer_without_a_gradient_has_a_reason_and_the_others_their_values(mined: Lake, data: Dataset) -> None:
    names = ["layer_hessian_trace", "layer_hessian_smallest_eigenvalue"]
    measure(mined, QUERY, names, architecture=drawn(Frozen), data=data)
    query = (
        "SELECT DISTINCT metric, settings->>'$.layer', value IS NULL, reason LIKE '%differentiated%' FROM measurement"
    )
    asked = [row for row in mined.sql(f"{query} ORDER BY ALL").rows() if row[0] in names]
    assert asked == [(name, *each) for name in sorted(names) for each in (("1", True, True), ("3", False, None))]


def test_what_fails_in_a_given_network_ends_no_other_metric(mined: Lake, data: Dataset) -> None:
    names = ["loss", "nc1", "hessian_trace", "cka", "mode_connectivity", "l2_distance", "grand"]
    done = measure(mined, QUERY, names, architecture=drawn(Small), data=data)
    counts = {name: (measured, without) for name, measured, _, without in done.iter_rows()}
    assert counts == {
        **dict.fromkeys(["loss", "nc1", "hessian_trace"], (0, 2)),
        **dict.fromkeys(["cka", "mode_connectivity"], (0, 1)),
        "l2_distance": (1, 0),
        "grand": (len(data.train), 0),
    }
    assert all("fails as it is measured: KeyError: 'too many'" in reason for reason in reasons(mined).values())


def test_what_fails_in_a_given_derivative_ends_no_other_metric(mined: Lake, data: Dataset) -> None:
    names = [*BY_GRADIENTS, "loss_line", "loss", "linear_barrier"]
    network = drawn(Backward)
    done = measure(mined, QUERY, names, architecture=network, data=data, settings={"direction": "adam"})
    values = dict(done.filter(pl.col("measured") > 0).select("metric", "measured").rows())
    assert values == {"loss": 2, "linear_barrier": 1}
    assert all("KeyError: 'no derivative here'" in reason for reason in reasons(mined).values())


def test_a_mistake_of_this_program_is_no_reason() -> None:
    with pytest.raises(KeyError, match="ours"), of_a_caller(given=True):
        raise KeyError("ours")
    with pytest.raises(ValueError, match="too large"), of_a_caller(given=False):
        drawn(Looking)(torch.full((1, 64), 1e9))
    with pytest.raises(UsageError, match="ValueError: too large"), of_a_caller(given=True):
        drawn(Looking)(torch.full((1, 64), 1e9))


def test_a_network_of_classes_is_told_by_its_class_and_not_by_its_name(mined: Lake, data: Dataset) -> None:
    assert measure(mined, QUERY, ["error"], architecture=drawn(PINN), data=data)["measured"].item() == 2


def test_collapse_goes_by_the_classes_where_there_are_more_outputs(lake: Lake, data: Dataset, tmp_path: Path) -> None:
    network = drawn(nn.Sequential, last=nn.Linear(4, 10))
    mine_networks(lake, tmp_path / "hub", [network])
    names = ["nc1", "nc2_norms", "nc2_angles", "nc3", "nc4", "loss"]
    done = measure(lake, QUERY, names, architecture=network, data=data)
    assert done.filter(pl.col("without_value") == 1)["metric"].to_list() == ["nc3"]
    assert "the network has 10 outputs for 3 classes" in reasons(lake)["nc3"]
    features, y = network[:3](data.train.x).detach().double().numpy(), data.train.y.numpy()
    means = np.stack([features[y == c].mean(axis=0) for c in range(3)])
    between = np.cov(means.T, bias=True)
    within = sum(np.cov(features[y == c].T, bias=True) * (y == c).mean() for c in range(3))
    values = dict(lake.sql("SELECT metric, value FROM measurement").iter_rows())
    assert values["nc1"] == pytest.approx(np.trace(within @ np.linalg.pinv(between)) / 3, rel=1e-4)
    nearest = np.linalg.norm(features[:, None] - means, axis=2).argmin(axis=1)
    assert values["nc4"] == pytest.approx((nearest != network(data.train.x).argmax(dim=1).numpy()).mean())


def test_collapse_sees_a_classifier_that_is_made_of_other_parameters(lake: Lake, data: Dataset, tmp_path: Path) -> None:
    network = drawn(nn.Sequential, last=nn.Linear(4, 3))
    register_parametrization(network[3], "weight", nn.Softmax(dim=1))
    mine_networks(lake, tmp_path / "hub", [network])
    assert measure(lake, QUERY, ["nc3"], architecture=network, data=data)["measured"].item() == 1
    features, y = network[:3](data.train.x).detach().double(), data.train.y
    means = torch.stack([features[y == c].mean(dim=0) for c in range(3)])
    centred, weight = means - means.mean(dim=0), network[3].weight.detach().double()  # type: ignore[operator] # a tensor
    wanted = (weight / weight.norm() - centred / centred.norm()).pow(2).sum()
    assert lake.sql("SELECT value FROM measurement WHERE metric = 'nc3'").item() == pytest.approx(
        float(wanted), rel=1e-4
    )


def test_a_model_whose_file_was_replaced_is_measured_again(mined: Lake, data: Dataset, tmp_path: Path) -> None:
    names = ["loss", "cka", "grand"]

    def measured() -> dict[str, tuple[int, int]]:
        done = measure(mined, QUERY, names, architecture=drawn(nn.Sequential), data=data)
        return {name: (now, before) for name, now, before in done.select("metric", "measured", "known").iter_rows()}

    examples = len(data.train)
    assert measured() == {"loss": (2, 0), "cka": (1, 0), "grand": (examples, 0)}
    assert measured() == {"loss": (0, 2), "cka": (0, 1), "grand": (0, examples)}
    other = drawn(nn.Sequential, 7)
    save_file(other.state_dict(), tmp_path / "hub" / "ada" / "net0" / "model.safetensors")
    mine(mined, "local", folder=tmp_path / "hub")
    assert measured() == {"loss": (1, 1), "cka": (1, 0), "grand": (examples, 0)}
    assert measured() == {"loss": (0, 2), "cka": (0, 1), "grand": (0, examples)}
    newest = "SELECT max_by(value, measured_at) FROM measurement WHERE metric = 'loss' AND model_id = 'local:ada/net0'"
    wanted = cross_entropy(other(data.train.x), data.train.y)
    assert mined.sql(newest).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert examine(mined).is_empty()
