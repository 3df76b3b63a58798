"""Every architecture trained as a stacked population against its members one after the other in plain PyTorch."""

from collections.abc import Callable
from dataclasses import replace
from math import pi

import numpy as np
import pytest
import torch
from scipy import ndimage, stats  # type: ignore[import-untyped] # scipy ships no types
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zoo.architectures import ARCHITECTURES
from zoo.architectures.dropout import KeyedDropout
from zoo.augmentation import AUGMENTATIONS, DRAWS, augment, inverse_maps
from zoo.group import Group, Member
from zoo.population import Samples, Weights, member
from zoo.randomness import key, uniforms
from zoo.train import Splits, data_order, initial_weights, train, used_samples

EPOCHS, BATCH, TRAIN = 3, 8, 24
MEMBERS = (
    Member("first", 0, 0, 0.05, 0.0, 0.0, convection=1.0),
    Member("second", 1, 5, 0.02, 0.01, 0.0, convection=3.0),
    Member("third", 2, 2, 0.01, 0.1, 0.0, "normal", convection=0.0),
)


def group(architecture: str, width: int = 2, **options: object) -> Group:
    fixed = Group("g", architecture, width, BATCH, EPOCHS, "sgd", 0.9, "constant", (0,), MEMBERS)
    return replace(fixed, **options)  # type: ignore[arg-type] # each has its own type


def images(samples: int = TRAIN, classes: int = 4, side: int = 16) -> Splits:
    source = torch.Generator().manual_seed(1)
    part = Samples(torch.rand(samples, 3, side, side, generator=source), torch.arange(samples) % classes)
    return Splits(part, part, part, classes)


def texts() -> Splits:
    tokens = torch.randint(0, 11, (TRAIN, 7), generator=torch.Generator().manual_seed(2))
    part = Samples(tokens[:, :-1], tokens[:, 1:])
    return Splits(part, part, part, 11)


def points() -> Splits:
    x = torch.rand(TRAIN, 4, generator=torch.Generator().manual_seed(3)) * torch.tensor([2 * pi, 1, 2 * pi, 1])
    part = Samples(x, torch.zeros(TRAIN, dtype=torch.int64))
    return Splits(part, part, part, 1)


Loss = Callable[[nn.Module, Member, Tensor, Tensor], Tensor]


def class_loss(model: nn.Module, settings: Member, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(model(x), y)


def token_loss(model: nn.Module, settings: Member, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(model(x).transpose(1, 2), y)


def physics_loss(model: nn.Module, settings: Member, x: Tensor, y: Tensor) -> Tensor:
    """The three means of Krishnapriyan et al. (2021), with torch's plain reverse mode."""
    place, time, start, edge = torch.split(x, 1, dim=1)
    place, time = place.clone().requires_grad_(), time.clone().requires_grad_()
    u = model(torch.cat([place, time], dim=1))
    u_x, u_t = torch.autograd.grad(u.sum(), [place, time], create_graph=True)
    residual = (u_t + (settings.convection or 0) * u_x).square().mean()
    initial = (model(torch.cat([start, 0 * start], dim=1)) - start.sin()).square().mean()
    left, right = model(torch.cat([0 * edge, edge], dim=1)), model(torch.cat([0 * edge + 2 * pi, edge], dim=1))
    total: Tensor = residual + initial + (left - right).square().mean()
    return total


def train_alone(wanted: Group, index: int, splits: Splits, loss_of: Loss) -> Weights:
    """Train one member the way a PyTorch tutorial would; gives its whole state."""
    settings, shape = wanted.members[index], tuple(splits.train.x.shape[1:])
    options = {"depth": wanted.depth, "activation": wanted.activation, "dropout": wanted.dropout}
    given = {name: value for name, value in options.items() if value is not None}
    model = ARCHITECTURES[wanted.architecture](shape, splits.classes, wanted.width, **given).double().train()
    model.load_state_dict(member(initial_weights(wanted, shape, splits.classes), index))
    optimizer = torch.optim.SGD(
        model.parameters(), settings.learning_rate, momentum=0.9, weight_decay=settings.weight_decay
    )
    samples = used_samples(splits.train, wanted.data_fraction).to(torch.device("cpu"), torch.float64)
    step = 0
    for epoch in range(1, wanted.epochs + 1):
        for batch in torch.split(data_order(settings.seed, epoch, len(samples)), wanted.batch_size):
            x = samples.x[batch]
            if wanted.augmentation:
                x = augment(x[None], wanted.augmentation, torch.tensor([key("augmentation", settings.seed, step)]))[0]
            for name, layer in model.named_modules():
                if isinstance(layer, KeyedDropout):
                    layer.key.fill_(key(f"{name}.key", settings.seed, step))
            optimizer.zero_grad()
            torch.autograd.backward(loss_of(model, settings, x, samples.y[batch]))
            optimizer.step()
            step += 1
    return dict(model.state_dict())


@pytest.mark.parametrize(
    ("wanted", "splits", "loss_of"),
    [
        (group("resnet18"), images(), class_loss),
        (group("resnet50", epochs=2, data_fraction=2 / 3), images(), class_loss),
        (group("resnet34-groupnorm", data_fraction=0.5), images(), class_loss),
        (group("resnet18", augmentation=AUGMENTATIONS), images(), class_loss),
        (group("vit", width=6, depth=2), images(), class_loss),
        (group("mlp", width=6, depth=3, activation="silu"), images(), class_loss),
        (group("cnn", width=6, activation="gelu", dropout=0.5), images(), class_loss),
        (group("gpt2", width=8, depth=2), texts(), token_loss),
        (group("pinn", width=6), points(), physics_loss),
    ],
    ids=lambda value: value.architecture if isinstance(value, Group) else "",
)
def test_equals_training_one_after_the_other(wanted: Group, splits: Splits, loss_of: Loss) -> None:
    together = train(wanted, splits, dtype=torch.float64)
    assert together.diverged_epoch == (None, None, None)
    for index in range(3):
        alone = train_alone(wanted, index, splits, loss_of)
        final = member(together.checkpoints[wanted.epochs], index)
        assert final.keys() == alone.keys()
        for name, tensor in alone.items():
            # Only the order of float64 sums differs; 53 normalisations over few values make of 1e-16 a good deal more.
            tolerance = 1e-9 if wanted.architecture == "resnet50" else 1e-10
            torch.testing.assert_close(final[name], tensor, rtol=tolerance, atol=tolerance)


def test_what_normalising_layers_learn_is_kept_and_used() -> None:
    trained = train(group("resnet18"), images())
    last = trained.checkpoints[EPOCHS]
    assert last["bn1.num_batches_tracked"].tolist() == [EPOCHS * 3] * 3
    assert not torch.equal(last["bn1.running_mean"], trained.checkpoints[0]["bn1.running_mean"])
    model = ARCHITECTURES["resnet18"]((3, 16, 16), 4, 2).eval()
    model.load_state_dict(member(last, 0))
    with torch.no_grad():
        hits = (model(images().validation.x).argmax(dim=1) == images().validation.y).float().mean()
    assert trained.curves["validation", "accuracy"][0, -1].item() == pytest.approx(hits.item())


def test_a_diverging_member_keeps_finite_buffers_and_disturbs_nobody() -> None:
    wanted = group("resnet18")
    members = (MEMBERS[0], replace(MEMBERS[1], learning_rate=1e25), MEMBERS[2])
    spoilt, healthy = train(replace(wanted, members=members), images()), train(wanted, images())
    assert spoilt.diverged_epoch[1] is not None
    for name, tensor in spoilt.checkpoints[EPOCHS].items():
        assert tensor.isfinite().all()
        assert torch.equal(tensor[0], healthy.checkpoints[EPOCHS][name][0])


def test_a_network_learns_the_equation() -> None:
    alone = (replace(MEMBERS[0], learning_rate=0.01),)
    trained = train(group("pinn", width=24, optimizer="adam", epochs=150, members=alone), points())
    error = trained.curves["validation", "squared_error"][0]
    assert error[-1] < error[0] / 10
    assert trained.curves["train", "loss"][0, -1] < trained.curves["train", "loss"][0, 0] / 10


def test_the_equations_own_solution_has_no_loss() -> None:
    from zoo.objective import Convection

    class Exact(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.speed = nn.Parameter(torch.tensor(3.0))

        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(x[:, :1] - self.speed * x[:, 1:])

    objective = Convection([replace(MEMBERS[0], convection=3.0), replace(MEMBERS[0], convection=2.0)])
    weights = {"speed": torch.tensor([3.0, 3.0], dtype=torch.float64)}
    samples = points().train.to(torch.device("cpu"), torch.float64)
    loss, error = objective.measure(Exact(), weights, samples)
    assert loss[0].item() == pytest.approx(0, abs=1e-12)
    assert error[0].item() == pytest.approx(0, abs=1e-24)
    assert loss[1] > 0.1
    assert error[1] > 0.01


def test_members_start_where_they_are_told_to() -> None:
    first = train(group("resnet18"), images())
    again = train(group("resnet18"), images(), start=first.checkpoints[EPOCHS])
    for name, tensor in first.checkpoints[EPOCHS].items():
        assert torch.equal(again.checkpoints[0][name], tensor)


def test_a_share_of_the_samples_is_part_of_every_larger_share() -> None:
    samples = Samples(torch.arange(40.0)[:, None], torch.zeros(40, dtype=torch.int64))
    small, large = (set(used_samples(samples, share).x.flatten().tolist()) for share in (0.25, 0.5))
    assert (len(small), len(large)) == (10, 20)
    assert small < large
    assert used_samples(samples, 1.0) is samples


@pytest.mark.parametrize("names", [(), ("crop",), ("flip",), ("rotation",), AUGMENTATIONS])
def test_augmentation_equals_scipys_affine_map(names: tuple[str, ...]) -> None:
    """Both look up the nearest pixel of the same map; a place half-way between two pixels may be rounded either way."""
    x = torch.rand(2, 30, 2, 9, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    keys = torch.tensor([3, 4])
    ours = augment(x, names, keys)
    maps = inverse_maps(uniforms(keys, 30 * DRAWS).view(60, DRAWS).double(), names, 9, 12).view(2, 30, 2, 3)
    different = 0
    for m in range(2):
        for n in range(30):
            (xx, xy, xo), (yx, yy, yo) = maps[m, n].tolist()
            # from pixels to -1..1 and back: column = ((u + 1) * 12 - 1) / 2, row = ((v + 1) * 9 - 1) / 2
            matrix = np.array([[yy, yx * 9 / 12], [xy * 12 / 9, xx]])
            centre = np.array([4.0, 5.5])
            offset = centre - matrix @ centre + np.array([yo * 9 / 2, xo * 12 / 2])
            for channel in range(2):
                theirs = ndimage.affine_transform(
                    x[m, n, channel].numpy(), matrix, offset, order=0, mode="grid-constant"
                )
                different += int((theirs != ours[m, n, channel].numpy()).sum())
    assert different / x.numel() < 0.02


def test_a_crop_moves_by_whole_pixels_and_a_flip_mirrors() -> None:
    x = torch.rand(1, 50, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    flipped = augment(x, ("flip",), torch.tensor([1]))
    kinds = [(torch.equal(a, b), torch.equal(a, b.flip(-1))) for a, b in zip(flipped[0], x[0], strict=True)]
    assert set(kinds) == {(True, False), (False, True)}
    padded = torch.nn.functional.pad(x, (4, 4, 4, 4))
    moved = augment(x, ("crop",), torch.tensor([1]))
    for n in range(50):
        crops = [padded[0, n, :, i : i + 8, j : j + 8] for i in range(9) for j in range(9)]
        assert any(torch.equal(moved[0, n], crop) for crop in crops)


def test_each_member_is_augmented_in_its_own_way_and_as_if_it_were_alone() -> None:
    x = torch.rand(1, 6, 3, 8, 8, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1, -1, -1)
    both = augment(x, AUGMENTATIONS, torch.tensor([1, 2]))
    assert not torch.equal(both[0], both[1])
    assert torch.equal(both[1], augment(x[:1], AUGMENTATIONS, torch.tensor([2]))[0])


def test_uniform_numbers_are_uniform_and_hang_on_their_key_alone() -> None:
    numbers = uniforms(torch.tensor([1, 2, 2**62]), 20_000)
    assert all(stats.kstest(row.numpy(), "uniform").pvalue > 1e-3 for row in numbers)
    assert abs(np.corrcoef(numbers.numpy())[np.triu_indices(3, 1)]).max() < 0.03
    assert torch.equal(numbers[1], uniforms(torch.tensor(2), 20_000))
    assert torch.equal(numbers[1, :50], uniforms(torch.tensor(2), 50))


def test_uniform_numbers_are_splitmix64s() -> None:
    """The first outputs of the reference implementation for the seed 1234567."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    expected = torch.tensor([number >> 40 for number in published]) / 2**24
    assert torch.equal(uniforms(torch.tensor(1234567), 4), expected)
