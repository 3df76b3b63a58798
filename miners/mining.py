"""The door of the miners: one function for every hub."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from miners import civitai, huggingface, kaggle, local, modelhub_ai, modelscope, modelzoo_co, snapshot
from miners.crawl import Crawl
from miners.onnx import zoo as onnx
from miners.pytorch_hub import repository as pytorch_hub
from miners.timm import repository as timm
from schemas.errors import UsageError
from schemas.lake import Lake

MINERS: dict[str, Callable[..., Crawl]] = {
    "huggingface": huggingface.mine,
    "local": local.mine,
    "onnx": onnx.mine,
    "snapshot": snapshot.mine,
    "pytorch_hub": pytorch_hub.mine,
    "modelhub_ai": modelhub_ai.mine,
    "timm": timm.mine,
    "modelzoo_co": modelzoo_co.mine,
    "civitai": civitai.mine,
    "kaggle": kaggle.mine,
    "modelscope": modelscope.mine,
}
PLANS: dict[str, Callable[..., pl.DataFrame]] = {"huggingface": huggingface.plan}

HANDED_IN = ("client", "progress", "say", "now", "clock")  # by programs, not by people


def mine(lake: Lake, hub: str, **options: Any) -> Crawl:
    """Pull models from a hub into the lake: `mine(lake, "huggingface", limit=500, cards=True)`.

    The options are those of the hub's miner: see `miners.huggingface.mine`, `miners.local.mine`,
    `miners.snapshot.mine` and, for civitai, kaggle and modelscope, `miners.civitai.mine`; the other hubs have `source`
    (a checkout or an archive of their catalogue instead of the live site) and `endpoint`.

    Raises UsageError for a hub or an option that does not exist, and what the miner raises.
    """
    check_options(hub, options)
    return MINERS[hub](lake, **options)


def plan(lake: Lake, hub: str, **options: Any) -> pl.DataFrame:
    """Say what `mine` with the same options would ask of the hub, and how long that takes at the hub's quotas.

    Returns a row for each kind of thing: what, quota (api or resolvers), requests, about (whether that is an
    estimate) and seconds.

    Raises UsageError for a hub that is not asked over the network, and what `mine` raises before it begins.
    """
    check_options(hub, options)
    if hub not in PLANS:
        raise UsageError(f"the hub {hub} has no quotas to plan for; choose one of {', '.join(PLANS)}")
    return PLANS[hub](lake, **options)


def check_options(hub: str, options: Mapping[str, Any], spelled: Callable[[str], str] = repr) -> None:
    """Raise UsageError for a hub or an option that does not exist, or one that is missing.

    `spelled` is how whoever asks writes an option.
    """
    if hub not in MINERS:
        raise UsageError(f"there is no hub {hub!r}; choose one of {', '.join(MINERS)}")
    parameters = list(inspect.signature(MINERS[hub]).parameters.values())[1:]
    known = [parameter.name for parameter in parameters]
    if unknown := sorted(set(options) - set(known)):
        choices = ", ".join(spelled(name) for name in known if name not in HANDED_IN)
        raise UsageError(f"the hub {hub} has no option {spelled(unknown[0])}; choose from {choices}")
    needed = [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]
    if missing := [name for name in needed if options.get(name) is None]:
        example = f"mine(lake, {hub!r}, {missing[0]}=...)"
        raise UsageError(f"the hub {hub} needs the option {spelled(missing[0])}, e.g. {example}")
