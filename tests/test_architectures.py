"""The architectures: sizes, shapes, other implementations of the same, and initial weights equal to torch's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from schemas.errors import UsageError
from zoo.architectures import ARCHITECTURES, skeleton
from zoo.architectures.attention import TransformerBlock
from zoo.architectures.dropout import KeyedDropout
from zoo.initialise import SCHEMES, initialise

IMAGES = sorted(set(ARCHITECTURES) - {"gpt2", "pinn"})
SAMPLE = {"gpt2": (16,), "pinn": (4,)}


def sample(architecture: str) -> tuple[int, ...]:
    return SAMPLE.get(architecture, (3, 16, 16))


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
@pytest.mark.parametrize("architecture", ["cnn", "mlp", "resnet18", "resnet18-groupnorm"])
def test_every_width_takes_every_image(architecture: str, input_shape: tuple[int, int, int], width: int) -> None:
    module = ARCHITECTURES[architecture](input_shape, 7, width)
    assert module(torch.zeros(3, *input_shape)).shape == (3, 7)


def test_the_cnn_refuses_images_that_it_cannot_take() -> None:
    with pytest.raises(UsageError, match=r"at least 2 x 2, these are 1 x 9; take the mlp"):
        skeleton("cnn", (1, 1, 9), 10, 8)


@pytest.mark.parametrize("architecture", IMAGES)
def test_images_become_logits(architecture: str) -> None:
    module = ARCHITECTURES[architecture]((3, 16, 16), 7, 6)
    assert module(torch.zeros(3, 3, 16, 16)).shape == (3, 7)


def test_tokens_become_logits_of_the_next_ones() -> None:
    module = ARCHITECTURES["gpt2"]((16,), 50, 8)
    assert module(torch.zeros(3, 16, dtype=torch.int64)).shape == (3, 16, 50)


def test_points_become_solutions() -> None:
    assert ARCHITECTURES["pinn"]((4,), 1, 8)(torch.zeros(3, 2)).shape == (3, 1)


# torchvision documents 11,689,512, 21,797,672 and 25,557,032 parameters for 1,000 classes; their 7 x 7 stem has
# 3 * 64 * 49 weights where a 3 x 3 one has 3 * 64 * 9.
@pytest.mark.parametrize(
    ("architecture", "published"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)]
)
@pytest.mark.parametrize("norm", ["", "-groupnorm"])
def test_residual_networks_have_torchvisions_size_at_width_64(architecture: str, published: int, norm: str) -> None:
    module = skeleton(architecture + norm, (3, 32, 32), 1000, 64)
    assert parameters(module) == published - 3 * 64 * (49 - 9)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34", "resnet50"])
def test_residual_networks_equal_torchvisions(architecture: str) -> None:
    """Its stem is replaced by ours; all other layers, names and values are the same."""
    models = pytest.importorskip("torchvision.models")
    theirs = getattr(models, architecture)(num_classes=7)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    ours = ARCHITECTURES[architecture]((3, 16, 16), 7, 64)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(x), theirs.train(mode)(x), rtol=0, atol=1e-5)


def test_the_first_stage_keeps_the_size_and_each_further_one_halves_it() -> None:
    module = ARCHITECTURES["resnet50"]((3, 32, 32), 10, 2)
    seen: list[torch.Size] = []
    for number in range(1, 5):
        stage = module.get_submodule(f"layer{number}")
        stage.register_forward_hook(lambda stage, given, maps: seen.append(maps.shape[1:]))
    module(torch.zeros(1, 3, 32, 32))
    assert [tuple(shape) for shape in seen] == [(8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4)]


def _tanh_gelu(x: Tensor) -> Tensor:
    return gelu(x, approximate="tanh")


@pytest.mark.parametrize(("causal", "activation"), [(False, gelu), (True, _tanh_gelu)])
def test_a_transformer_block_equals_torchs(causal: bool, activation: Callable[[Tensor], Tensor]) -> None:
    ours = TransformerBlock(12, 3, causal, activation).double()
    theirs = nn.TransformerEncoderLayer(12, 3, 48, 0.0, activation, batch_first=True, norm_first=True).double()
    names = {
        "norm1": "norm1",
        "attention.queries_keys_values": "self_attn.in_proj_",
        "attention.projection": "self_attn.out_proj",
        "norm2": "norm2",
        "linear1": "linear1",
        "linear2": "linear2",
    }
    state = {
        f"{theirs_}{'' if theirs_.endswith('_') else '.'}{kind}": ours.state_dict()[f"{name}.{kind}"]
        for name, theirs_ in names.items()
        for kind in ("weight", "bias")
    }
    theirs.load_state_dict(state)
    x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64) if causal else None
    torch.testing.assert_close(ours(x), theirs(x, src_mask=mask), rtol=0, atol=1e-12)


def test_a_token_hangs_on_those_before_it_alone() -> None:
    module = ARCHITECTURES["gpt2"]((8,), 20, 8)
    tokens = torch.arange(8).unsqueeze(0)
    changed = tokens.clone()
    changed[0, 5] = 19
    difference = (module(tokens) - module(changed)).abs().amax(dim=(0, 2))
    assert (difference[:5] == 0).all()
    assert (difference[5:] > 0).all()


def test_gpt2_has_its_published_size() -> None:
    """124,439,808 parameters at 12 blocks of 768 dimensions, 50,257 tokens and 1,024 places (Radford et al., 2019)."""
    assert parameters(skeleton("gpt2", (1024,), 50_257, 768, depth=12)) == 124_439_808


def test_the_vit_has_its_published_size_but_for_the_patches() -> None:
    """5,717,416 parameters of the ViT-Ti of 16 x 16 patches on 224 x 224 (Touvron et al., 2021); ours are 4 x 4."""
    module = skeleton("vit", (3, 224, 224), 1000, 192, depth=12)
    patches = 3 * 192 * (16**2 - 4**2)
    assert parameters(module) == 5_717_416 - patches + 192 * (56**2 - 14**2)


@pytest.mark.parametrize("architecture", ["mlp", "pinn", "vit", "gpt2"])
def test_depth_adds_layers(architecture: str) -> None:
    sizes = [parameters(skeleton(architecture, sample(architecture), 4, 8, depth=depth)) for depth in (1, 2, 3)]
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1] > 0


@pytest.mark.parametrize("options", [{"depth": 3}, {"dropout": 0.5}, {"activation": "relu"}])
def test_options_that_an_architecture_lacks_are_refused(options: dict[str, float | str]) -> None:
    with pytest.raises(UsageError, match=r"a resnet18 has none; it has: nothing but a width"):
        skeleton("resnet18", (3, 8, 8), 10, 8, **options)  # type: ignore[arg-type] # one of several types


def test_an_unknown_activation_lists_the_choices() -> None:
    with pytest.raises(UsageError, match=r"activation 'relo' is unknown; choose one of: gelu, relu, sigmoid"):
        skeleton("mlp", (1, 8, 8), 10, 8, activation="relo")


def test_samples_that_an_architecture_cannot_take_are_refused() -> None:
    with pytest.raises(UsageError, match=r"a gpt2 needs tokens; samples of shape \[3, 8, 8\] are none"):
        skeleton("gpt2", (3, 8, 8), 10, 8)
    with pytest.raises(UsageError, match=r"a vit needs images; samples of shape \[16\] are none"):
        skeleton("vit", (16,), 10, 8)
    with pytest.raises(UsageError, match="images whose sides 4 divides, these are 7 x 8"):
        skeleton("vit", (1, 7, 8), 10, 8)


def test_dropout_zeroes_its_share_and_keeps_the_mean() -> None:
    layer, x = KeyedDropout(0.3).train(), torch.ones(200, 500)
    dropped = layer(x)
    assert dropped.eq(0).float().mean().item() == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / x.numel()) ** 0.5)
    assert torch.equal(dropped.unique(), torch.tensor([0.0, 1 / 0.7]))
    assert torch.equal(dropped, layer(x))
    layer.key += 1
    assert not torch.equal(dropped, layer(x))
    assert layer.eval()(x) is x


def test_an_unknown_architecture_lists_the_choices() -> None:
    with pytest.raises(UsageError, match=r"'resnet' is unknown; choose one of: cnn, gpt2, mlp"):
        skeleton("resnet", (1, 8, 8), 10, 8)


@pytest.mark.parametrize("architecture", sorted({*ARCHITECTURES} - {"gpt2", "vit"}))
def test_initial_weights_are_those_that_torch_draws(architecture: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(11)
        expected = ARCHITECTURES[architecture](sample(architecture), 10, 8).state_dict()
    drawn = initialise(skeleton(architecture, sample(architecture), 10, 8), torch.Generator().manual_seed(11))
    assert list(drawn) == list(expected)
    for name, tensor in expected.items():
        assert drawn[name].dtype == tensor.dtype
        torch.testing.assert_close(drawn[name], tensor, rtol=1e-6, atol=1e-8)  # the bound is rounded once more


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("scheme", [None, *SCHEMES])
def test_each_scheme_fills_the_whole_state(architecture: str, scheme: str | None) -> None:
    module = skeleton(architecture, sample(architecture), 10, 8)
    drawn = initialise(module, torch.Generator().manual_seed(3), scheme)
    assert {name: tensor.shape for name, tensor in drawn.items()} == {
        name: tensor.shape for name, tensor in module.state_dict().items()
    }
    assert all(tensor.isfinite().all() for tensor in drawn.values())
    assert drawn.keys() == initialise(module, torch.Generator().manual_seed(4), scheme).keys()


@pytest.mark.parametrize("scheme", ["uniform", "normal", "kaiming_uniform", "kaiming_normal"])
def test_the_published_zoos_schemes_are_torchs_functions(scheme: str) -> None:
    drawn = initialise(skeleton("cnn", (1, 28, 28), 10, 8), torch.Generator().manual_seed(5), scheme)
    first = getattr(nn.init, f"{scheme}_")(torch.empty(8, 1, 5, 5), generator=torch.Generator().manual_seed(5))
    assert torch.equal(drawn["conv1.weight"], first)
    assert all((tensor == 0.01).all() for name, tensor in drawn.items() if name.endswith("bias"))


@pytest.mark.parametrize("architecture", ["gpt2", "vit"])
def test_transformers_start_small(architecture: str) -> None:
    drawn = initialise(skeleton(architecture, sample(architecture), 500, 64), torch.Generator().manual_seed(0))
    weights = torch.cat([t.flatten() for name, t in drawn.items() if "norm" not in name and not name.endswith("bias")])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert all((t == float(name.endswith("weight"))).all() for name, t in drawn.items() if "norm" in name)


def test_initialising_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    initialise(skeleton("cnn", (1, 8, 8), 10, 8), torch.Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_layer_that_nobody_knows_to_initialise_is_named() -> None:
    with pytest.raises(TypeError, match="layer 1 is a Bilinear; nobody knows how to initialise it"):
        initialise(nn.Sequential(nn.Linear(2, 2), nn.Bilinear(2, 2, 2)), torch.Generator())
