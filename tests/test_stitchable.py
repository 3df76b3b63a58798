"""Stitchable networks: the published space, costs and front, no copies, joints at cut zero, training, statistics."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from learners.stitching import stitchable
from learners.stitching.cost import count_flops, flops, latency, parameters, pareto
from learners.stitching.cuts import trace
from learners.stitching.evaluation import score
from learners.stitching.joint import Joint
from learners.stitching.space import SpaceSettings, stitches
from learners.stitching.statistics import estimate_statistics
from learners.stitching.stitchable import StitchableNetwork
from learners.stitching.stitched import join
from learners.stitching.training import Progressed, StitchTraining, TrainingDiverged, train_stitchable
from schemas import UsageError
from tests.published_stitches import PUBLISHED
from tests.stitchable_networks import network, samples
from zoo.architectures.attention import TransformerBlock
from zoo.population import Samples


def test_the_space_is_the_papers() -> None:
    assert len(stitches([12, 12], SpaceSettings())) == 34 + 2
    three = stitches([12, 12, 12], SpaceSettings())
    assert len(three) == 71
    assert len({hop.window for path in three for hop in path.hops}) == 11
    assert len(stitches([12, 12, 12], SpaceSettings(direction="both"))) == 3 + 4 * 34
    assert len(stitches([12, 12, 12], SpaceSettings(partners="all"))) == 3 + 3 * 34
    two_hops = [path for path in stitches([12] * 3, SpaceSettings(hops=2)) if len(path.hops) == 2]
    assert {path.anchors for path in two_hops} == {(0, 1, 2)}
    assert all(path.hops[1].front_cut > path.hops[0].end_cut for path in two_hops)
    back = {path.anchors for path in stitches([3, 3], SpaceSettings(hops=2, direction="both")) if len(path.hops) == 2}
    assert back == {(0, 1, 0), (1, 0, 1)}


def test_unpaired_stitches_are_the_nearest_blocks_as_published() -> None:
    """The authors' rule for other depths: torch's nearest interpolation of block numbers, without the end's block 0."""
    for front, end in [(12, 24), (6, 9), (2, 18)]:
        blocks = torch.arange(front, dtype=torch.float64)[None, None]
        nearest = interpolate(blocks, end).long().flatten().tolist()
        wanted = {(block + 1, e) for e, block in enumerate(nearest) if block < e}
        paths = stitches([front, end], SpaceSettings())
        assert {(path.hops[0].front_cut, path.hops[0].end_cut) for path in paths if path.hops} == wanted


class Patches(nn.Module):
    """DeiT's way into its blocks, without the class token's and the positions' parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return torch.cat([tokens[:, :1], tokens], dim=1)


class Head(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x[:, 0])
        return logits


def deit(width: int, heads: int) -> nn.Module:
    blocks = [TransformerBlock(width, heads, False, nn.functional.gelu) for _ in range(12)]
    return nn.Sequential(Patches(width), *blocks, nn.LayerNorm(width), Head(width))


def test_parameters_and_flops_of_stitched_deits_are_the_published_ones() -> None:
    widths = (192, 384, 768)
    with torch.device("meta"):
        family = StitchableNetwork([deit(width, width // 64) for width in widths], torch.zeros(1, 3, 224, 224))
        found = parameters(family)
        sample = torch.zeros(1, 3, 224, 224)
        assert len(family.stitches) == 71
        for index, (published_flops, published_parameters) in PUBLISHED.items():
            path = family.at(index)
            tokens = 198 * widths[index] if index < 3 else 0  # anchors: class token and positions are counted too
            assert found[index] + tokens == published_parameters
            norms = [part for part in path.modules() if isinstance(part, nn.LayerNorm)]
            norms = norms if index < 3 else norms[:-1]  # their counter missed the last one of stitched networks
            normalised = sum(197 * part.normalized_shape[0] for part in norms)
            assert flops(path, sample) / 2 + 5 * normalised == published_flops


def test_flops_of_torchs_own_transformer_layers_are_those_of_their_matrices() -> None:
    layers = [nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(3)]
    module, places, width, hidden = nn.Sequential(*layers).eval(), 5, 16, 32
    projections = places * width * (3 * width + width)
    attention = 2 * places * places * width
    expected = 3 * 2 * (projections + attention + 2 * places * width * hidden)
    for training in (False, True):  # in evaluation one fused call is a layer, and in training another one attention
        assert flops(module.train(training), torch.randn(1, places, width)) == expected
    assert torch.backends.mha.get_fastpath_enabled()
    queries = torch.randn(1, 2, places, 8)
    assert flops(Attention(), queries) == 2 * attention


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)


def family(architecture: str, widths: tuple[int, ...] = (4, 6), **options: object) -> StitchableNetwork:
    anchors = [network(architecture, seed, width=width) for seed, width in enumerate(widths)]
    return StitchableNetwork(anchors, samples(architecture, 2), SpaceSettings(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", ["mlp", "cnn", "resnet18", "vit", "gpt2"])
def test_every_path_is_what_it_says_and_copies_no_weights(architecture: str) -> None:
    made, x = family(architecture, direction="both"), samples(architecture, 60)
    made.fit([x])
    own = {id(parameter) for parameter in made.parameters()}
    for index, path in enumerate(made.stitches):
        found = made.at(index)
        assert {id(parameter) for parameter in found.parameters()} <= own
        if not path.hops:
            assert torch.equal(found(x), made.anchors[path.anchors[0]](x))
    assert torch.equal(made(x), made.anchors[-1](x))


def test_a_joint_of_one_hop_is_fitted_as_alone_and_at_cut_zero_to_what_the_first_block_gets() -> None:
    made, x = family("vit", kernel=1), samples("vit", 80)
    made.fit(torch.split(x, 40))
    chains = [trace(anchor) for anchor in made.anchors]
    for index, path in enumerate(made.stitches):
        if path.hops:
            (hop,) = path.hops
            alone = join(chains[0], hop.front_cut, chains[1], hop.end_cut, torch.split(x, 40))
            torch.testing.assert_close(made.at(index)(x), alone(x).detach(), rtol=0, atol=1e-7)
    assert {path.hops[0].end_cut for path in made.stitches if path.hops} == {0, 1}


def test_joints_whose_sums_do_not_fit_together_are_fitted_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = family("vit", direction="both"), samples("vit", 80)
    made.fit(iter(torch.split(x, 40)))
    weights = [joint.weight.clone() for joint in made._joints]
    made.draw(0)
    limit = 8 * 12**2
    monkeypatch.setattr(stitchable, "SUMS", limit)
    sizes = [sum(8 * stitchable._columns(key) ** 2 for key in group) for group in made._groups()]
    assert len(sizes) > 1
    assert max(sizes) <= limit
    made.fit(iter(torch.split(x, 40)))
    assert all(torch.equal(joint.weight, weight) for joint, weight in zip(made._joints, weights, strict=True))
    with pytest.raises(UsageError, match="cannot be fitted to no samples"):
        made.fit([])


class Named(nn.Module):
    """A network whose blocks lie in a part of it, with two layers each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, width), nn.Linear(width, 5)
        blocks = [nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(3)]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits


def test_the_blocks_of_anchors_can_be_named() -> None:
    torch.manual_seed(0)
    x, anchors = torch.randn(50, 8), [Named(4), Named(6)]
    made = StitchableNetwork(anchors, x, blocks="blocks")
    assert [chain.names for chain in made._chains] == [("before blocks.0", "blocks.0", "blocks.1", "blocks.2")] * 2
    assert [str(path) for path in made.stitches] == [str(path) for path in stitches([3, 3], SpaceSettings())]
    made.double().fit([x.double()])  # moved, so cut anew
    joined = join(trace(anchors[0], "blocks"), 3, trace(anchors[1], "blocks"), 2, [x.double()])
    index = next(number for number, path in enumerate(made.stitches) if str(path) == "0@3>1:2")
    assert made.at(index)(x.double()).shape == joined(x.double()).shape == (50, 5)
    with pytest.raises(UsageError, match="has no part 'nowhere'"):
        StitchableNetwork(anchors, x, blocks="nowhere")


def test_a_network_is_chosen_by_its_cost() -> None:
    made = family("mlp", widths=(4, 8, 16))
    with pytest.raises(UsageError, match="FLOPs of this network were not counted"):
        made.at(flops=1e9)
    costs = count_flops(made, samples("mlp", 1))
    assert costs[0] == 2 * (64 * 4 + 4 * 4 + 4 * 10)
    assert made.at(flops=1e9).body[-1] is made.at(costs.index(max(costs))).body[-1]
    made.accuracies = tuple(float(index == 1) for index in range(len(costs)))
    assert [id(p) for p in made.at(flops=max(costs)).parameters()] == [id(p) for p in made.at(1).parameters()]
    with pytest.raises(UsageError, match="the cheapest stitch takes"):
        made.at(flops=1)
    with pytest.raises(UsageError, match=r"no stitch 99; this network has \d+, from 0 on"):
        made.at(99)
    assert latency(made.at(0), samples("mlp", 1)) > 0


def test_the_pareto_front_is_that_of_the_definition() -> None:
    source = torch.Generator().manual_seed(0)
    costs, worth = torch.randint(0, 30, (2, 60), generator=source).tolist()
    front = pareto(costs, worth)
    for index in range(60):
        better = [o for o in range(60) if costs[o] <= costs[index] and worth[o] > worth[index]]
        better += [o for o in range(60) if costs[o] < costs[index] and worth[o] >= worth[index]]
        assert ((costs[index], worth[index]) in {(costs[i], worth[i]) for i in front}) == (not better)


def learnt(count: int, seed: int) -> Samples:
    x = samples("mlp", count, seed).float()
    return Samples(x, (x.flatten(1)[:, 0] > 0) + 2 * (x.flatten(1)[:, 1] > 0).long())


def ready(settings: StitchTraining, start: Progressed | None = None) -> tuple[StitchableNetwork, list[Progressed]]:
    made, kept = family("mlp", widths=(6, 12)).float(), list[Progressed]()
    made.fit([samples("mlp", 100).float()])
    count_flops(made, samples("mlp", 1).float())
    train_stitchable(made, learnt(600, 3), settings, start=start, keep=kept.append)
    return made, kept


@pytest.mark.parametrize("sampling", ["uniform", "cost"])
def test_training_makes_every_stitch_better(sampling: str) -> None:
    settings = StitchTraining(epochs=10, batch_size=30, learning_rate=0.01, distillation=0.0, sampling=sampling)
    before, after = ready(StitchTraining(epochs=0))[0], ready(settings)[0]
    test = learnt(500, 9)
    for index in range(len(after.stitches)):
        old, new = (float((net.at(index)(test.x).argmax(1) == test.y).float().mean()) for net in (before, after))
        assert new > old + 0.1


def test_a_training_that_goes_on_gives_what_one_in_a_piece_gives() -> None:
    settings = StitchTraining(epochs=3, batch_size=64, learning_rate=0.01)
    whole, kept = ready(settings)
    rest, _ = ready(settings, start=kept[0])
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, rest.state_dict()[name])


def test_frozen_anchors_stay_as_they_are() -> None:
    settings = StitchTraining(epochs=1, batch_size=64, learning_rate=0.01, train_anchors=False)
    before, after = ready(StitchTraining(epochs=0))[0], ready(settings)[0]
    changed = {name for name, t in after.state_dict().items() if not torch.equal(t, before.state_dict()[name])}
    assert changed
    assert all(name.startswith("joints") for name in changed)


def test_statistics_are_those_of_each_stitch() -> None:
    made, x = family("resnet18"), samples("resnet18", 64)
    made.fit([x])
    buffers = {name: tensor.clone() for name, tensor in made.named_buffers()}
    estimate_statistics(made, [x])
    index = next(number for number, path in enumerate(made.stitches) if path.hops)
    body = made.body(index)
    seen: list[Tensor] = []
    name = next(key.removesuffix(".running_mean") for key in made.statistics[index] if key.endswith("running_mean"))
    handle = body.get_submodule(name).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    made.at(index)(x)
    handle.remove()
    torch.testing.assert_close(made.statistics[index][f"{name}.running_mean"], seen[0].mean(dim=(0, 2, 3)))
    assert all(torch.equal(tensor, buffers[key]) for key, tensor in made.named_buffers())


def test_anchors_that_did_not_move_keep_their_statistics_and_so_does_what_comes_before_a_joint() -> None:
    made, x = family("resnet18"), samples("resnet18", 64)
    made.fit([x])
    estimate_statistics(made, [x])
    for index, path in enumerate(made.stitches):
        body = made.body(index)
        joint = next((number for number, part in enumerate(body) if isinstance(part, Joint)), len(body))
        assert all(int(name.partition(".")[0]) > joint for name in made.statistics.get(index, {}))
        if not path.hops:
            assert index not in made.statistics
            anchor = made.anchors[path.legs[0][0]]
            assert torch.equal(made.at(index)(x), anchor(x))
    estimate_statistics(made, [x], moved=True)
    assert set(made.statistics) == set(range(len(made.stitches)))


def test_a_network_is_its_last_anchor_and_that_has_the_statistics_that_were_estimated_anew() -> None:
    made, x = family("resnet18"), samples("resnet18", 64)
    made.fit([x])
    estimate_statistics(made, [x[:32] * 3], moved=True)
    assert torch.equal(made(x), made.at(1)(x))
    assert not torch.allclose(made(x), made.anchors[-1](x))


def test_statistics_weigh_every_sample_alike_and_take_batches_of_one() -> None:
    made, x = family("resnet18"), samples("resnet18", 41)
    made.fit([x])
    estimate_statistics(made, [x[:20], x[20:40], x[40:]])
    found = made.statistics
    estimate_statistics(made, [x[:20], x[20:]])
    first = next(name for name in found[2] if name.endswith("running_mean"))  # no other one is before it
    torch.testing.assert_close(found[2], made.statistics[2])
    estimate_statistics(made, [x])
    torch.testing.assert_close(found[2][first], made.statistics[2][first])
    with pytest.raises(UsageError, match="at least two samples"):
        estimate_statistics(made, [x[:1]])


def test_joints_between_frozen_anchors_are_trained_under_the_statistics_of_their_stitch() -> None:
    """A step of no length leaves all as it was, but says what the loss was computed with."""
    made, x = family("resnet18").float(), samples("resnet18", 41).float()
    made.fit([x])
    estimate_statistics(made, [x])
    made.train()
    made.anchors.eval()
    plain = made.body(2)(x)
    assert torch.equal(made.at(2)(x), made.eval().at(2)(x))
    assert not torch.allclose(made.at(2)(x), plain)


def test_training_takes_a_last_batch_of_one_and_no_batches_of_one() -> None:
    made, labels = family("resnet18").float(), learnt(9, 0).y
    train_stitchable(made, Samples(samples("resnet18", 9).float(), labels), StitchTraining(epochs=1, batch_size=8))
    one = StitchTraining(epochs=1, batch_size=1)
    with pytest.raises(UsageError, match="batch_size = 1: batch normalisation takes at least 2 samples at once"):
        train_stitchable(made, Samples(samples("resnet18", 9).float(), labels), one)


def test_an_update_of_low_rank_is_all_that_training_moves_a_joint_by() -> None:
    made, _, before = updated()
    for joint, (weight, bias) in zip(made._joints, before, strict=True):
        assert not torch.equal(joint.bias, bias)
        assert int(torch.linalg.matrix_rank(joint.weight - weight, atol=1e-5)) == 1  # float32 weights of about 1


def test_an_update_costs_nothing_once_it_is_trained_and_is_gone_when_the_joint_is_fitted_anew() -> None:
    made, x, before = updated()
    plain = StitchableNetwork(list(made.anchors), x)
    assert count_flops(made, x[:1]) == count_flops(plain, x[:1])
    assert parameters(made) == parameters(plain)
    made.fit([x])
    for joint, (weight, bias) in zip(made._joints, before, strict=True):
        torch.testing.assert_close((joint.weight, joint.bias), (weight, bias))


def updated() -> tuple[StitchableNetwork, Tensor, list[tuple[Tensor, Tensor]]]:
    """A network whose joints were trained by updates of rank 1, its samples, and what least squares gave."""
    anchors = [network("mlp", seed, width).float() for seed, width in enumerate((6, 12))]
    x = samples("mlp", 100).float()
    made = StitchableNetwork(anchors, x, rank=1)
    made.fit([x])
    before = [(joint.weight.detach().clone(), joint.bias.detach().clone()) for joint in made._joints]
    settings = StitchTraining(epochs=2, batch_size=50, learning_rate=0.01, train_anchors=False)
    train_stitchable(made, learnt(300, 3), settings)
    return made, x, before


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (SpaceSettings(direction="sideways"), "direction = 'sideways': expected one of up, down, both"),
        (SpaceSettings(hops=3), "hops = 3"),
        (SpaceSettings(kernel=0), "kernel = 0"),
    ],
)
def test_impossible_spaces_are_refused(settings: SpaceSettings, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        stitches([2, 2], settings)
    with pytest.raises(UsageError, match="distillation = 2"):
        StitchTraining(distillation=2).check()
    with pytest.raises(UsageError, match="at least two anchors"):
        StitchableNetwork([network("mlp")], samples("mlp", 2))


def broken(architecture: str) -> StitchableNetwork:
    """A family whose stitches all give logits that are not finite, the largest for class 0."""
    made = family(architecture)
    for anchor in made.anchors:
        last = [parameter for name, parameter in anchor.named_parameters() if name.endswith(("bias", "head.weight"))][
            -1
        ]
        last.fill_(torch.nan)
    return made


@pytest.mark.parametrize("architecture", ["mlp", "gpt2"])
def test_no_prediction_from_logits_that_are_not_finite_is_right(architecture: str) -> None:
    x = samples(architecture, 20)
    everything = Samples(x, torch.zeros(x.shape if architecture == "gpt2" else len(x), dtype=torch.int64))
    for found in score(broken(architecture), everything, "trained"):
        assert (found.accuracy, found.standard_error) == (0.0, 0.0)


@pytest.mark.parametrize("architecture", ["mlp", "gpt2"])
def test_the_error_of_an_accuracy_is_that_of_other_samples_whatever_places_they_have(architecture: str) -> None:
    made, x = family(architecture), samples(architecture, 40, 5)
    with torch.no_grad():
        likely = made.at(0)(x).argmax(-1)
    spread = torch.randint(4, likely.shape[:1], generator=torch.Generator().manual_seed(0))  # texts differ as wholes
    y = torch.where(spread.reshape(-1, *[1] * (likely.ndim - 1)) == 0, (likely + 1) % 10, likely)
    for index, found in enumerate(score(made, Samples(x, y), "random", at_once=7)):
        with torch.no_grad():
            right = (made.at(index)(x).argmax(-1) == y).numpy().reshape(len(x), -1)
        by_sample = np.array([np.mean(each) for each in right])
        assert found.accuracy == pytest.approx(by_sample.mean())
        assert found.accuracy == score(made, Samples(x, y), "random")[index].accuracy  # in portions of another size
        assert found.standard_error == pytest.approx(by_sample.std() / np.sqrt(len(x)))
    first = score(made, Samples(x, y), "random")[0]
    assert first.standard_error == pytest.approx(np.sqrt(first.accuracy * (1 - first.accuracy) / len(x)))


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_that_diverges_says_so_and_keeps_nothing(epochs: int) -> None:
    made, kept = family("mlp").float(), list[Progressed]()
    made.fit([samples("mlp", 100).float()])
    settings = StitchTraining(epochs=epochs, batch_size=60, learning_rate=1e3, weight_decay=1e3)
    with pytest.raises(TrainingDiverged, match=r"diverged in epoch 1: .* lower learning_rate = 1000") as raised:
        train_stitchable(made, learnt(600, 3), settings, keep=kept.append)
    assert isinstance(raised.value, UsageError)
    assert kept == []
