"""A process that turns files of torch.save into safetensors: paths come in as lines of JSON, answers go out so.

`python -m zoo.exchange.torch_child BYTES` is started by `zoo.exchange.torch_files` and ends when its standard input
does. torch reads with `weights_only=True`, which builds tensors and plain containers and calls nothing else; what that
does not stop, a file that wants more memory than it should, ends with this process and not with the caller's.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import save_file
from torch import Tensor

from zoo.answering import answer, take_standard_output

NESTED = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights", "params")
"""Where files that hold more than a state dict keep it."""
LONGEST_REASON = 300
GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
PAGES = Path("/proc/self/statm")


def main() -> None:
    """Convert files until standard input ends."""
    answers = take_standard_output()
    _limit(int(sys.argv[1]))
    torch.set_num_threads(1)
    answer(answers, ready=True)
    for line in sys.stdin:
        job = json.loads(line)
        answer(answers, **_converted(Path(job["path"]), Path(job["to"])))


def _limit(size: int) -> None:
    """Refuse to grow by more than so many bytes, in memory and in each file written."""
    import resource  # systems without it cannot limit a process

    now = int(PAGES.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if PAGES.exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (now + size, now + size))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _converted(path: Path, to: Path) -> dict[str, object]:
    try:
        tensors = state_dict(torch.load(path, map_location="cpu", weights_only=True))
        # clones, since tensors of one storage cannot stand in one file
        save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, to)
    except Exception as error:  # noqa: BLE001 - whatever such a file does is the reason why it is not read
        return {"reason": _reason(error)}
    return {"reason": None}


def _reason(error: Exception) -> str:
    """In a few words, without torch's advice to read it less carefully."""
    if isinstance(error, UnpicklingError):
        wanted = GLOBAL.search(str(error))
        what = f"it asks for {wanted[1]}" if wanted else "it is damaged or asks for more"
        return f"{what}; expected tensors in plain containers, and nothing else is loaded"
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}"[:LONGEST_REASON]


def state_dict(content: object) -> dict[str, Tensor]:
    """Find the state dict in what a file holds: tensors by name, alone or beside other things.

    Raises:
        ValueError: There is none, or one of its tensors is no dense one.
    """
    found = content
    if isinstance(content, Mapping) and not _is_state_dict(content):
        inner = [content[key] for key in NESTED if key in content and _is_state_dict(content[key])]
        found = inner[0] if inner else content
    if not isinstance(found, Mapping) or not _is_state_dict(found):
        keys = list(map(str, content))[:5] if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"no state dict is in it: expected tensors by name, found {keys}")
    if odd := [name for name, tensor in found.items() if tensor.layout != torch.strided or tensor.is_quantized]:
        raise ValueError(f"tensor {odd[0]} is sparse or quantised; expected dense ones")
    return dict(found)


def _is_state_dict(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items())
    )


if __name__ == "__main__":
    main()
