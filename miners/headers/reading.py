"""Chooses the reader of a weight file by its ending."""

from collections.abc import Callable

from miners.headers.gguf import read_gguf
from miners.headers.header import Header
from miners.headers.numpy import read_npy, read_npz
from miners.headers.onnx import read_onnx
from miners.headers.pytorch import read_pytorch
from miners.headers.safetensors import read_safetensors
from miners.headers.source import Source
from schemas.errors import UsageError

Reader = Callable[[Source], Header]
READERS: dict[str, tuple[str, Reader]] = {  # format and reader, by ending
    "safetensors": ("safetensors", read_safetensors),
    "gguf": ("gguf", read_gguf),
    "onnx": ("onnx", read_onnx),
    **dict.fromkeys(["bin", "pt", "pth", "ckpt", "torchscript"], ("pickle", read_pytorch)),
    "npy": ("numpy", read_npy),
    "npz": ("numpy", read_npz),
}


def format_of(path: str) -> str | None:
    """The format in which a file's header is read: safetensors, pickle, onnx, gguf or numpy; None if it is not read.

    >>> format_of("unet/diffusion_pytorch_model.safetensors"), format_of("model.h5")
    ('safetensors', None)
    """
    found = READERS.get(path.rpartition(".")[2].lower())
    return found[0] if found else None


def read_header(path: str, source: Source) -> Header:
    """Read the header of a weight file.

    Raises:
        DataError: the file is not what its ending says, damaged, or beyond a limit.
        UsageError: files with this ending are not read.
    """
    found = READERS.get(path.rpartition(".")[2].lower())
    if found is None:
        raise UsageError(f"{path[:200]!r} is not read: expected a name ending in {', '.join(READERS)}")
    return found[1](source)
