"""What the values at a cut mean: features, tokens or maps; and how those of one network are laid out as another's."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from schemas.errors import UsageError

MOST_COLUMNS = 1 << 13
"""Inputs and outputs that a joint may have: the sums that it is fitted from take half a gigabyte then."""
KINDS = {2: "features", 3: "tokens", 4: "maps"}


@dataclass(frozen=True)
class Form:
    """The form of what there is at a cut: channels, and the places at which each channel has a value.

    `features` are `[n, channels]` and have no places, `tokens` `[n, places, channels]`, `maps`
    `[n, channels, height, width]`.
    """

    kind: str
    channels: int
    sides: tuple[int, ...] = ()
    """Places of tokens; height and width of maps."""

    @property
    def places(self) -> int:
        """At how many places each channel has a value."""
        return prod(self.sides)

    def __str__(self) -> str:
        at = " x ".join(map(str, self.sides))
        return {
            "features": f"{self.channels} features",
            "tokens": f"{at} tokens of {self.channels} channels",
            "maps": f"{self.channels} maps of {at}",
        }[self.kind]


def form_of(values: Tensor) -> Form:
    """Read the form off values with a leading axis of samples.

    Raises:
        UsageError: They are no floating point numbers, or of no form that a joint can begin or end at.
    """
    shape = tuple(values.shape[1:])
    if values.ndim not in KINDS or not values.is_floating_point():
        raise UsageError(
            f"a joint needs features, tokens or maps; {values.dtype} values of shape {list(shape)} are none"
        )
    if values.ndim == 3:
        return Form("tokens", shape[1], shape[:1])
    return Form(KINDS[values.ndim], shape[0], shape[1:])


def rows(values: Tensor, form: Form) -> Tensor:
    """Values of a form as `[n, places, channels]`."""
    if form.kind == "features":
        return values.unsqueeze(1)
    return values if form.kind == "tokens" else values.flatten(2).transpose(1, 2)


def from_rows(rows: Tensor, form: Form) -> Tensor:
    """Turn `[n, places, channels]` into values of a form."""
    if form.kind == "features":
        return rows.squeeze(1)
    return rows if form.kind == "tokens" else rows.transpose(1, 2).reshape(len(rows), -1, *form.sides)


def laid_out(source: Form, target: Form) -> int:
    """Count the channels that `lay_out` gives each place of the target.

    Raises:
        UsageError: The source cannot be laid out so, or a joint would be too large; the message says why.
    """
    inputs = _inputs(source, target)
    if inputs + target.channels > MOST_COLUMNS:
        size = 8 * (inputs + target.channels) ** 2 / 1e9
        raise UsageError(
            f"a joint from {source} to {target} has {inputs} inputs, and fitting it takes {size:.1f} GB of memory; "
            f"expected at most {MOST_COLUMNS} inputs and outputs"
        )
    return inputs


def _inputs(source: Form, target: Form) -> int:
    if source.sides == target.sides or not target.sides:
        return source.channels * (1 if target.sides else source.places)
    if not source.sides:
        raise UsageError(f"{source} say nothing of places, and {target} have {target.places}")
    if source.kind == target.kind == "tokens":
        raise UsageError(f"{source} and {target} stand at different places")
    if source.kind == target.kind:
        if not all(a % b == 0 or b % a == 0 for a, b in zip(source.sides, target.sides, strict=True)):
            raise UsageError(f"neither of {source} and {target} divides the other's sides")
        return source.channels
    tokens, maps = (source, target) if source.kind == "tokens" else (target, source)
    if tokens.places not in (maps.places, maps.places + 1):
        raise UsageError(f"{tokens} are no places of {maps}: expected {maps.places} of them, or one more for the class")
    return source.channels


def lay_out(values: Tensor, source: Form, target: Form) -> Tensor:
    """Give values of one form at the places of another: `[n, places of the target, channels]`.

    Maps become larger or smaller by whole factors: means of the places that fall together, or copies. Tokens are
    a map's places in the order of reading; one token more is a class token and comes first: it is left out of a map,
    and the mean over the places where there was none. Features have no places: places are listed one after the other.
    """
    if source.sides == target.sides:
        return rows(values, source)
    if not target.sides:
        return rows(values, source).flatten(1).unsqueeze(1)
    if source.kind == target.kind:
        return _resized(values, target.sides).flatten(2).transpose(1, 2)
    found = rows(values, source)
    if source.places == target.places:
        return found
    if source.kind == "tokens":
        return found[:, 1:]
    return torch.cat([found.mean(dim=1, keepdim=True), found], dim=1)


def _resized(maps: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Maps of other sides, each a whole multiple or a whole part of what it was."""
    height, width = (min(new, old) for new, old in zip(sides, maps.shape[2:], strict=True))
    return interpolate(adaptive_avg_pool2d(maps, (height, width)), size=list(sides), mode="nearest")
