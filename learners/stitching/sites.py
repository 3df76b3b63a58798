"""Which cuts of which networks are joined: sites, at which many fronts meet many ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learners.stitching.form import Form, laid_out
from learners.stitching.network import Network
from schemas.errors import UsageError


@dataclass(frozen=True)
class Site:
    """A cut that several ends have in common, with the same places, and the fronts that are joined to it there.

    Networks are numbers: their indices in a sequence.
    """

    cut: int
    layout: Form
    """What the ends begin with; their numbers of channels may differ."""
    ends: tuple[int, ...]
    fronts: tuple[tuple[int, int], ...]
    """Network and cut of each front."""


@dataclass(frozen=True)
class Impossible:
    """A joint that cannot be, and why."""

    front: int
    end: int
    cut: int
    reason: str


def nearest_cut(cut: int, blocks: int, others: int) -> int:
    """The cut of a network of `others` blocks that is as deep as a cut of one of `blocks` blocks, or nearest to it.

    >>> [nearest_cut(cut, 6, 3) for cut in range(7)]
    [0, 0, 1, 2, 2, 2, 3]
    """
    return round(cut * others / blocks) if blocks else 0


def sites(
    networks: Sequence[Network],
    forms: Sequence[Sequence[Form]],
    fronts: Sequence[int],
    ends: Sequence[int],
    cuts: Mapping[int, Sequence[int]],
) -> tuple[list[Site], list[Impossible]]:
    """Join every front to every end, at cuts of the ends; a front is cut where it is as deep.

    Args:
        networks: All of them.
        forms: For each network the form at each of its cuts.
        fronts: Those whose fronts are taken.
        ends: Those whose ends are taken.
        cuts: At which of its cuts each end begins.

    Returns:
        The sites, and the joints that are left out because they are impossible.
    """
    meeting: dict[tuple[int, int, str, tuple[int, ...]], list[int]] = {}
    for end in ends:
        for cut in cuts[end]:
            form = forms[end][cut]
            meeting.setdefault((networks[end].blocks, cut, form.kind, form.sides), []).append(end)
    found, impossible = [], []
    for (blocks, cut, _, _), together in meeting.items():
        layout, possible = forms[together[0]][cut], []
        for front in fronts:
            here = nearest_cut(cut, blocks, networks[front].blocks)
            try:
                laid_out(forms[front][here], layout)
                possible.append((front, here))
            except UsageError as error:
                impossible += [Impossible(front, end, cut, str(error)) for end in together]
        if possible:
            found.append(Site(cut, layout, tuple(together), tuple(possible)))
    return found, impossible
