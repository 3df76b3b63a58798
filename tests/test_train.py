"""Training a stacked population against training its members one after the other in plain PyTorch."""

from dataclasses import replace
from math import ceil

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zoo.architectures import ARCHITECTURES, skeleton
from zoo.group import Group, Member
from zoo.population import Samples, Weights, evaluate, member, stack
from zoo.schedule import SCHEDULES, share
from zoo.train import Splits, Trained, data_order, initial_weights, noisy_labels, train

EPOCHS, BATCH, TRAIN = 6, 7, 61
STEPS = EPOCHS * ceil(TRAIN / BATCH)


def blobs(samples: int, seed: int, side: int = 8, classes: int = 4) -> Samples:
    """Images whose brightness pattern says their class, so that there is something to learn."""
    source = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (samples,), generator=source)
    pattern = torch.rand((classes, 1, side, side), generator=torch.Generator().manual_seed(0))
    return Samples(pattern[y] + 0.3 * torch.randn((samples, 1, side, side), generator=source), y)


def splits() -> Splits:
    return Splits(blobs(TRAIN, seed=1), blobs(30, seed=2), blobs(30, seed=3), classes=4)


def group(
    architecture: str = "mlp", optimizer: str = "sgd", schedule: str = "constant", learning_rate: float = 0.05
) -> Group:
    members = (
        Member("first", 0, 0, learning_rate, 0.0, 0.0),
        Member("second", 1, 5, learning_rate / 2, 0.01, 0.2),
        Member("third", 2, 2, learning_rate / 10, 0.1, 0.4),
    )
    return Group("g", architecture, 6, BATCH, EPOCHS, optimizer, 0.9, schedule, (0, 3), members)


def train_alone(group: Group, index: int, splits: Splits) -> tuple[Weights, dict[int, float], dict[int, float]]:
    """Train one member the way a PyTorch tutorial would; gives weights, train and validation losses."""
    settings = group.members[index]
    start = member(initial_weights(group, (1, 8, 8), splits.classes), index)
    model: nn.Module = ARCHITECTURES[group.architecture]((1, 8, 8), splits.classes, group.width).double()
    model.load_state_dict(start)
    optimizer: torch.optim.Optimizer
    if group.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            model.parameters(), settings.learning_rate, momentum=0.9, weight_decay=settings.weight_decay
        )
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[group.optimizer]
        optimizer = kind(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    scheduler = torch_schedule(optimizer, group.schedule, settings.learning_rate)
    y = noisy_labels(splits.train.y, splits.classes, settings.label_noise, settings.seed)
    train_losses, validation_losses = {}, {}
    for epoch in range(1, group.epochs + 1):
        total = 0.0
        for batch in torch.split(data_order(settings.seed, epoch, len(y)), group.batch_size):
            optimizer.zero_grad()
            loss = cross_entropy(model(splits.train.x[batch].double()), y[batch])
            torch.autograd.backward(loss)
            optimizer.step()
            scheduler.step()
            total += loss.item() * len(batch)
        train_losses[epoch] = total / len(y)
        with torch.no_grad():
            logits = model(splits.validation.x.double())
            validation_losses[epoch] = cross_entropy(logits, splits.validation.y).item()
    return dict(model.state_dict()), train_losses, validation_losses


def torch_schedule(optimizer: torch.optim.Optimizer, name: str, peak: float) -> torch.optim.lr_scheduler.LRScheduler:
    if name == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)
    if name == "step":
        return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[ceil(STEPS / 2)])
    if name == "onecycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak, total_steps=STEPS, cycle_momentum=False)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_equals_training_one_after_the_other(architecture: str, optimizer: str, schedule: str) -> None:
    wanted = group(architecture, optimizer, schedule, 0.05 if optimizer == "sgd" else 0.01)
    assert STEPS >= 50
    together = train(wanted, splits(), dtype=torch.float64)
    for index in range(3):
        weights, train_losses, validation_losses = train_alone(wanted, index, splits())
        final = member(together.checkpoints[EPOCHS], index)
        for name, tensor in weights.items():
            # Only the order of float64 sums differs: errors of 1e-16 a step, a little grown by 54 steps.
            torch.testing.assert_close(final[name], tensor, rtol=0, atol=1e-10)
        for split, alone in (("train", train_losses), ("validation", validation_losses)):
            curve = together.curves[split, "loss"][index]
            torch.testing.assert_close(
                curve, torch.tensor(list(alone.values()), dtype=torch.float64), rtol=0, atol=1e-10
            )


def test_the_first_steps_change_the_weights() -> None:
    trained = train(group(), splits())
    assert set(trained.checkpoints) == {0, 3, EPOCHS}
    assert not torch.equal(trained.checkpoints[0]["linear1.weight"], trained.checkpoints[3]["linear1.weight"])
    loss = trained.curves["train", "loss"][0]
    assert loss[-1] < loss[0] / 2


def test_checkpoint_0_is_the_initialisation() -> None:
    trained = train(group(), splits())
    start = initial_weights(group(), (1, 8, 8), classes=4)
    assert all(torch.equal(trained.checkpoints[0][name], start[name]) for name in start)


def test_accuracy_is_measured_after_each_epoch_and_on_test_after_the_last() -> None:
    trained = train(group(), splits())
    module = skeleton("mlp", (1, 8, 8), 4, 6)
    third = evaluate(module, trained.checkpoints[3], splits().validation)
    last = evaluate(module, trained.checkpoints[EPOCHS], splits().test)
    assert torch.equal(trained.curves["validation", "accuracy"][:, 2], third.accuracy)
    assert torch.equal(trained.curves["validation", "loss"][:, 2], third.loss)
    assert torch.equal(trained.curves["test", "accuracy"][:, -1], last.accuracy)
    assert trained.curves["test", "accuracy"][:, :-1].isnan().all()


def with_rate(wanted: Group, index: int, learning_rate: float, weight_decay: float) -> Group:
    members = list(wanted.members)
    members[index] = replace(members[index], learning_rate=learning_rate, weight_decay=weight_decay)
    return replace(wanted, members=tuple(members))


@pytest.fixture(scope="module")
def diverged() -> Trained:
    return train(with_rate(group("cnn"), 1, learning_rate=1e6, weight_decay=0.1), splits())


def test_a_member_that_diverges_is_marked_and_keeps_finite_weights(diverged: Trained) -> None:
    assert diverged.diverged_epoch[0] is None
    assert diverged.diverged_epoch[2] is None
    epoch = diverged.diverged_epoch[1]
    assert epoch is not None
    assert all(tensor[1].isfinite().all() for tensor in diverged.checkpoints[EPOCHS].values())
    assert diverged.curves["train", "loss"][1, epoch - 1 :].isnan().all()
    assert diverged.curves["validation", "loss"][1, epoch - 1 :].isnan().all()
    assert diverged.curves["train", "loss"][0].isfinite().all()


def test_the_others_do_not_change_by_one_bit_when_a_member_diverges(diverged: Trained) -> None:
    healthy = train(group("cnn"), splits())
    for index in (0, 2):
        for name, tensor in healthy.checkpoints[EPOCHS].items():
            assert torch.equal(diverged.checkpoints[EPOCHS][name][index], tensor[index])
        assert torch.equal(diverged.curves["train", "loss"][index], healthy.curves["train", "loss"][index])


def test_a_member_trains_as_it_would_without_the_diverging_one(diverged: Trained) -> None:
    alone = train(replace(group("cnn"), members=group("cnn").members[:1]), splits())
    for name, tensor in alone.checkpoints[EPOCHS].items():
        # A stack of another size takes other kernels: float32 sums in another order, over 54 steps.
        torch.testing.assert_close(diverged.checkpoints[EPOCHS][name][0], tensor[0], rtol=1e-3, atol=1e-4)


def test_training_twice_gives_the_same_bits() -> None:
    first, second = train(group("cnn"), splits()), train(group("cnn"), splits())
    for name, tensor in first.checkpoints[EPOCHS].items():
        assert torch.equal(tensor, second.checkpoints[EPOCHS][name])


def test_the_global_generator_is_neither_used_nor_moved() -> None:
    before = torch.random.get_rng_state()
    train(group("cnn"), splits())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_progress_hears_of_each_epoch() -> None:
    epochs: list[int] = []
    train(group(), splits(), progress=epochs.append)
    assert epochs == list(range(1, EPOCHS + 1))


@pytest.mark.parametrize("noise", [0.0, 0.25, 1.0])
def test_label_noise_replaces_exactly_that_share_by_other_classes(noise: float) -> None:
    y = torch.arange(400) % 10
    noisy = noisy_labels(y, classes=10, noise=noise, seed=3)
    assert int((noisy != y).sum()) == round(noise * 400)
    assert 0 <= int(noisy.min()) <= int(noisy.max()) < 10
    assert torch.equal(noisy, noisy_labels(y, classes=10, noise=noise, seed=3))


def test_every_other_class_is_drawn() -> None:
    y = torch.zeros(400, dtype=torch.int64)
    assert set(noisy_labels(y, classes=5, noise=1.0, seed=0).tolist()) == {1, 2, 3, 4}


def test_data_order_is_a_permutation_of_seed_and_epoch() -> None:
    order = data_order(seed=1, epoch=2, samples=50)
    assert torch.equal(order.sort().values, torch.arange(50))
    assert torch.equal(order, data_order(seed=1, epoch=2, samples=50))
    assert not torch.equal(order, data_order(seed=1, epoch=3, samples=50))
    assert not torch.equal(order, data_order(seed=2, epoch=2, samples=50))


@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "step"])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 57])
def test_schedules_equal_those_of_torch(schedule: str, steps: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    scheduler: torch.optim.lr_scheduler.LRScheduler
    if schedule == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    elif schedule == "step":
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[ceil(steps / 2)])
    else:
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.4, total_steps=steps, cycle_momentum=False)
    for step in range(steps):
        assert 0.4 * share(schedule, step, steps) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        if step + 1 < steps:
            scheduler.step()


def test_evaluation_by_chunks_equals_each_model_on_its_own() -> None:
    models = [ARCHITECTURES["cnn"]((1, 8, 8), 4, 6).double() for _ in range(3)]
    population = stack([dict(model.state_dict()) for model in models])
    samples = splits().test.to(torch.device("cpu"), torch.float64)
    scores = evaluate(skeleton("cnn", (1, 8, 8), 4, 6), population, samples, chunk=7)
    with torch.no_grad():
        logits: list[Tensor] = [model(samples.x) for model in models]
    assert scores.correct.tolist() == [int((out.argmax(1) == samples.y).sum()) for out in logits]
    expected = torch.stack([cross_entropy(out, samples.y) for out in logits])
    torch.testing.assert_close(scores.loss, expected, rtol=0, atol=1e-12)
