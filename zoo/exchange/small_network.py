"""The small convolutional network of the model zoos, which is weightlake's `cnn` of width 8 under other names.

Theirs is a list of layers: convolution, max-pooling, activation, convolution, max-pooling, activation, convolution,
activation, two linear layers with an activation between them, and dropout where that is above zero. weightlake pools
after the activation, which gives the same where that is monotone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from schemas import DataError
from zoo.exchange.fields import encodable
from zoo.exchange.foreign import About
from zoo.population import Weights

MONOTONE = ("relu", "sigmoid", "tanh")
LAYERS = ("conv1", "conv2", "conv3", "linear1", "linear2")
PLACES = (0, 3, 6, 9, 11)
PLACES_WITH_DROPOUT = (0, 4, 8, 11, 14)
SIDE = 28
CLASSES = 10


def about_network(form: str, settings: Sequence[Mapping[str, Any]]) -> About:
    """What the trials' settings say of their network: weightlake's `cnn`, or one that weightlake does not have."""
    kinds = {said.get("model::type") if isinstance(said.get("model::type"), str) else None for said in settings}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None:
        return About(unlike="its trials do not all say one model::type")
    foreign = encodable(f"{form}:{kind}")
    if kind != "CNN":
        return About(foreign, unlike=f"weightlake has no {kind} of this zoo")
    odd = [said.get("model::nlin") for said in settings if said.get("model::nlin") not in MONOTONE]
    if odd:
        return About(
            foreign, unlike=f"it pools before {odd[0]}, weightlake after it, which only agrees for monotone ones"
        )
    channels = {said.get("model::channels_in") for said in settings if isinstance(said.get("model::channels_in"), int)}
    if len(channels) != 1 or (found := channels.pop()) not in (1, 3):
        return About(foreign, unlike="its trials do not say one number of channels, model::channels_in")
    return About("cnn", classes=CLASSES, input_shape=(found, SIDE, SIDE))


def renamed(weights: Weights) -> Weights:
    """Give the tensors of a list of layers the names of weightlake's cnn; values and shapes stay.

    Raises:
        DataError: They are not those of five layers with weight and bias.
    """
    places = sorted({int(place) for _, place, _ in map(_parts, weights)})
    names = {
        f"module_list.{p}.{kind}": f"{layer}.{kind}" for p, layer in zip(places, LAYERS, strict=False) for kind in KINDS
    }
    if len(places) != len(LAYERS) or names.keys() != weights.keys():
        raise DataError(f"it has the tensors {', '.join(list(weights)[:12])}, which are not those of the zoos' CNN")
    return {names[name]: tensor for name, tensor in weights.items()}


KINDS = ("weight", "bias")


def listed_names(dropout: float | None) -> dict[str, str]:
    """The names that tensors of weightlake's cnn have in such a list, by weightlake's."""
    places = PLACES_WITH_DROPOUT if dropout else PLACES
    return {f"{layer}.{k}": f"module_list.{p}.{k}" for layer, p in zip(LAYERS, places, strict=True) for k in KINDS}


def _parts(name: str) -> tuple[str, str, str]:
    parts = name.split(".")
    if len(parts) != 3 or parts[0] != "module_list" or not parts[1].isascii() or not parts[1].isdigit():
        raise DataError(f"it has a tensor {name!r}, which the zoos' CNN has not")
    return parts[0], parts[1], parts[2]
