"""Cut points: where networks are cut, that the parts make up the whole, and what cannot be cut."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from learners.stitching.cuts import trace
from schemas import UsageError
from tests.stitchable_networks import SHAPES, network, samples
from zoo.population import stack

CUTS = {
    "mlp": ["linear1", "linear2"],
    "cnn": ["conv1", "conv2", "conv3", "linear1"],
    "resnet18": ["conv1", *(f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2))],
    "vit": ["patches", *(f"blocks.{block}" for block in range(2))],
    "gpt2": ["positions", *(f"blocks.{block}" for block in range(2))],
}


@pytest.mark.parametrize("architecture", SHAPES)
def test_every_architecture_is_cut_at_its_blocks_and_the_parts_make_up_the_whole(architecture: str) -> None:
    module, x = network(architecture), samples(architecture, 5)
    chain = trace(module)
    assert list(chain.names) == CUTS[architecture]
    wanted = module(x)
    assert torch.equal(chain.run(x), wanted)
    for cut, values in enumerate(chain.activations(x)):
        assert torch.equal(values, chain.run(x, stop=cut))
        assert torch.equal(chain.run(values, start=cut), wanted)
        for later in range(cut, len(chain.names)):
            assert torch.equal(chain.run(chain.run(values, cut, later), later), wanted)


def test_the_cuts_of_transformers_are_what_goes_into_and_comes_out_of_the_blocks() -> None:
    module, x = network("vit"), samples("vit", 3)
    inputs: list[Tensor] = []
    for block in module.get_submodule("blocks").children():
        block.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    found = trace(module).activations(x)
    inputs.clear()
    module(x)
    assert len(found) == len(inputs) + 1
    for values, wanted in zip(found, inputs, strict=False):
        assert torch.equal(values, wanted)


def test_activations_are_captured_in_one_pass() -> None:
    module, x = network("resnet18"), samples("resnet18", 2)
    calls: list[str] = []
    for name, part in module.named_modules():
        part.register_forward_hook(lambda *_, name=name: calls.append(name))
    trace(module).activations(x)
    assert calls.count("conv1") == calls.count("layer1.0") == calls.count("layer4.1") == 1
    assert calls.count("fc") == 0


def test_a_stacked_population_runs_through_the_parts_of_one_skeleton() -> None:
    members = [network("resnet18", seed) for seed in range(3)]
    weights = stack([dict(member.state_dict()) for member in members])
    chain, x = trace(members[0]), samples("resnet18", 4)
    found = vmap(lambda each: chain.activations(x, each), in_dims=(0,))(weights)
    for cut, values in enumerate(found):
        for index, member in enumerate(members):
            torch.testing.assert_close(values[index], trace(member).run(x, stop=cut), rtol=0, atol=1e-12)
    whole = vmap(lambda each: chain.run(x, weights=each))(weights)
    alone = torch.stack([functional_call(members[0], dict(member.state_dict()), (x,)) for member in members])
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-12)


class Encoder(nn.Module):
    """A network whose blocks lie two parts deep and are no nn.Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Module()
        self.body.layers = nn.ModuleList([Twice(), Twice(), Twice()])
        self.first, self.head = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).tanh()
        for layer in self.body.get_submodule("layers").children():
            x = layer(x)
        result: Tensor = self.head(x * 2)
        return result


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(5, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:  # what no tracer follows
            return x
        return x + torch.relu(self.two(torch.relu(self.one(x))))


def test_the_user_names_the_blocks_of_a_network_of_his_own() -> None:
    torch.manual_seed(0)
    module, x = Encoder(), torch.randn(7, 4)
    chain = trace(module, "body.layers")
    assert chain.names == ("before body.layers.0", "body.layers.0", "body.layers.1", "body.layers.2")
    assert torch.equal(chain.activations(x)[0], module.first(x).tanh())
    assert torch.equal(chain.run(chain.run(x, stop=2), start=2), module(x))
    assert trace(module).names == ("first", "body.layers.0", "body.layers.1", "body.layers.2")


def test_a_plain_sequence_is_cut_behind_its_activations_or_where_the_user_says() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    found, named = trace(module), trace(module, "")
    assert found.names == ("0", "2")
    assert torch.equal(found.activations(x)[1], module[:4](x))
    assert named.names == ("0", "1", "2", "3")


class Skipping(nn.Module):
    """Like a U-Net: the first layer's outputs are used again at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        first = self.blocks[0](x)
        result: Tensor = self.blocks[2](self.blocks[1](first)) + first
        return result


class Branching(Skipping):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        result: Tensor = self.blocks(x)
        return result


@pytest.mark.parametrize(
    ("module", "blocks", "reason"),
    [
        (Skipping(), "blocks", "blocks.1 is no place to cut: more than its value is used"),
        (Skipping(), "layers", "has no part 'layers'; it has blocks"),
        (Skipping(), "blocks.0", "is no sequence of blocks"),
        (Branching(), None, "a Branching cannot be traced, so it cannot be cut: symbolically traced variables"),
        (nn.Linear(2, 2), None, "a Linear has no cuts"),
        (nn.Sequential(nn.Linear(2, 2)), None, "a Sequential has no cuts"),
    ],
)
def test_what_cannot_be_cut_is_refused_with_the_reason(module: nn.Module, blocks: str | None, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as raised:
        trace(module, blocks)
    assert "\n" not in str(raised.value)


def test_a_skip_connection_leaves_the_cut_before_it() -> None:
    assert trace(Skipping()).names == ("blocks.0",)


class Dropping(nn.Module):
    """Drops values as torch's own functions do it, by what `self.training` is."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.dropout(self.first(x).relu(), 0.5, self.training)
        hidden = functional.dropout(self.second(hidden).relu(), p=0.5 if self.training else 0.0)
        logits: Tensor = self.third(hidden)
        return logits


@pytest.mark.parametrize("training", [True, False])
def test_values_are_dropped_in_training_alone_whatever_the_mode_in_which_a_network_was_cut(training: bool) -> None:
    module = Dropping().train(training)
    x = torch.randn(64, 6)
    chain = trace(module)
    assert all(part.training is training for part in module.modules())
    copied = deepcopy(nn.Sequential(*chain.layers())).eval()
    assert torch.equal(chain.run(x, stop=0).count_nonzero() < 0.4 * 64 * 8, torch.tensor(training))
    module.train(not training)
    assert torch.equal(chain.run(x, stop=0).count_nonzero() < 0.4 * 64 * 8, torch.tensor(not training))
    module.train()
    torch.manual_seed(1)
    wanted = module(x)
    torch.manual_seed(1)
    assert torch.equal(chain.run(x), wanted)
    assert torch.equal(copied(x), module.eval()(x))


class Noisy(Dropping):
    """Does something in training that evaluation has not."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        if self.training:
            hidden = hidden + torch.randn(8)
        logits: Tensor = self.third(self.second(hidden))
        return logits


def test_a_network_of_two_minds_is_cut_as_it_is_evaluated() -> None:
    module = Noisy()
    x = torch.randn(4, 6)
    chain = trace(module.train())
    assert torch.equal(chain.run(x), module.eval()(x))


def test_cuts_go_by_number_or_name() -> None:
    chain = trace(network("cnn"))
    assert [chain.cut(cut) for cut in (0, "conv2", -1)] == [0, 1, 3]
    assert chain.blocks == 3
    with pytest.raises(UsageError, match=r"no cut 'conv9'; this network has the cuts 0 \(conv1\), 1 \(conv2\)"):
        chain.cut("conv9")
    with pytest.raises(UsageError, match="no cut 4"):
        chain.cut(4)
