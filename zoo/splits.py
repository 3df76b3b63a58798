"""Splits models into parts by shares, whole families at a time, so that nothing leaks from one into another."""

from collections.abc import Mapping, Sequence

import torch

from schemas.errors import UsageError


def assigned(family_of: Mapping[str, str], shares: Mapping[str, float], source: torch.Generator) -> dict[str, str]:
    """Say for each model which part it goes to; whole families go, in a random order, as long as they fit.

    Args:
        family_of: The family of each model.
        shares: The share of the models that each part wants; what no part takes is `train`.
        source: Decides about the order.

    Raises:
        UsageError: A part would have room for a model or more, and there is no family left for it.
    """
    members: dict[str, list[str]] = {}
    for model_id in sorted(family_of):
        members.setdefault(family_of[model_id], []).append(model_id)
    names = sorted(members)
    waiting = [names[index] for index in torch.randperm(len(names), generator=source).tolist()]
    part_of: dict[str, str] = {}
    for part, share in shares.items():
        room = wanted = round(share * len(family_of))
        chosen = []
        for family in waiting:
            if len(members[family]) <= room:
                room -= len(members[family])
                chosen.append(family)
        if wanted and not chosen:
            chosen = _smallest(waiting, members, part)
        waiting = [family for family in waiting if family not in set(chosen)]
        part_of |= {model_id: part for family in chosen for model_id in members[family]}
    return part_of | {model_id: "train" for family in waiting for model_id in members[family]}


def _smallest(waiting: Sequence[str], members: Mapping[str, list[str]], part: str) -> list[str]:
    """The smallest family, for a part in which none fits, if one is left for the others."""
    if len(waiting) < 2:
        largest = max(members, key=lambda family: len(members[family]))
        raise UsageError(
            f"there is no family of models for the part {part}: {len(members[largest])} of them descend from or with "
            f"{largest} and have to stay together; select other families too, or give {part} no share"
        )
    return [min(waiting, key=lambda family: len(members[family]))]
