"""Holds weights from elsewhere against one of weightlake's architectures."""

from functools import cache

from schemas import UsageError
from zoo.architectures import ARCHITECTURES, skeleton
from zoo.datasets import load_dataset
from zoo.exchange.foreign import About, ForeignMember
from zoo.mistakes import expected_one_of
from zoo.population import Weights

WIDEST = 65_536
Shapes = dict[str, tuple[int, ...]]


def told(about: About, architecture: str | None, dataset: str | None) -> About:
    """What holds for all members, with what the caller knows better.

    Args:
        about: What the zoo says.
        architecture: The one of weightlake's that computes as the zoo's networks do.
        dataset: The dataset of weightlake's on which its models are measured.

    Raises:
        UsageError: There is no such architecture or dataset, or an architecture is named without a dataset.
    """
    if architecture is not None and architecture not in ARCHITECTURES:
        raise UsageError(f"architecture {architecture!r}: {expected_one_of(architecture, ARCHITECTURES)}")
    if dataset is None:
        if architecture is not None and about.input_shape is None:
            raise UsageError(f"architecture {architecture}: name a dataset too, which says what its samples are like")
        return About(architecture or about.architecture, *_rest(about))
    loaded = load_dataset(dataset, about.split_seed or 0)
    found = (loaded.input_shape, loaded.classes)
    if about.architecture in ARCHITECTURES and found != (about.input_shape, about.classes) and architecture is None:
        raise UsageError(
            f"dataset {dataset} has samples of {list(loaded.input_shape)} and {loaded.classes} classes; these networks "
            f"take {list(about.input_shape or ())} and {about.classes}"
        )
    return About(
        architecture or about.architecture,
        dataset,
        loaded.sha256,
        loaded.classes,
        loaded.input_shape,
        about.split_seed or 0,
    )


def _rest(about: About) -> tuple[str | None, str | None, int | None, tuple[int, ...] | None, int | None, str | None]:
    return (about.dataset, about.dataset_sha256, about.classes, about.input_shape, about.split_seed, about.unlike)


def is_ours(about: About) -> bool:
    """Whether members are networks that weightlake can build."""
    return about.architecture in ARCHITECTURES and about.input_shape is not None and about.classes is not None


def misfit(about: About, member: ForeignMember, weights: Weights) -> str | None:
    """Why stacked weights `[k, ...]` are not those of the member's architecture; None if they are, or it is foreign."""
    if not is_ours(about):
        return None
    width = member.columns.get("width")
    if not isinstance(width, int) or not 1 <= width <= WIDEST:
        return f"it says no width from 1 to {WIDEST:,}, so that no {about.architecture} can be built"
    try:
        wanted = _shapes(
            str(about.architecture),
            about.input_shape or (),
            about.classes or 0,
            width,
            member.columns.get("depth"),
            member.columns.get("activation"),
        )
    except UsageError as error:
        return str(error)
    found = {name: tuple(tensor.shape[1:]) for name, tensor in weights.items()}
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            return (
                f"tensor {name} is {_shape(found.get(name))}, and {_shape(wanted.get(name))} in a "
                f"{about.architecture} of width {width}"
            )
    return None


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))


@cache
def _shapes(
    architecture: str, input_shape: tuple[int, ...], classes: int, width: int, depth: int | None, activation: str | None
) -> Shapes:
    try:
        module = skeleton(architecture, input_shape, classes, width, depth=depth, activation=activation)
    except (RuntimeError, ValueError, ZeroDivisionError) as error:
        raise UsageError(f"no {architecture} of width {width} takes samples of {list(input_shape)}: {error}") from error
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
