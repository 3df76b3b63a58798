"""What a training ran on: versions, device, and the flags on which its bits hang."""

import os
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import torch

Flag = str | int | bool | None
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
CPU_INFO = Path("/proc/cpuinfo")


def make_reproducible() -> None:
    """Let this process use one thread and algorithms that give the same bits each time, for good."""
    os.environ[CUBLAS] = ":4096:8"  # read when cuBLAS is first used
    torch.set_num_threads(1)
    with suppress(RuntimeError):  # it can be set once a process
        torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(True)


def software(device: torch.device | None = None) -> str:
    """Versions of weightlake, torch and Python, and on a GPU of CUDA and cuDNN."""
    known = f"weightlake {version('weightlake')}, torch {torch.__version__}, Python {platform.python_version()}"
    if device is None or device.type != "cuda":
        return known
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call] # torch's own is untyped
    return f"{known}, CUDA {torch.version.cuda}, cuDNN {cudnn}"


def device_name(device: torch.device) -> str:
    """The maker's name of a device, as far as it can be found out."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def flags(device: torch.device, precision: torch.dtype | None = None) -> dict[str, Flag]:
    """Settings of this process that decide about bits; `precision` is that of its passes, float32 if None."""
    found: dict[str, Flag] = {
        "precision": str(precision or torch.float32).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "mkldnn": torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call] # torch's own is untyped
    }
    if device.type == "cuda":
        found |= {
            "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
            "cudnn_tf32": torch.backends.cudnn.allow_tf32,
            "cublas_workspace": os.environ.get(CUBLAS),
        }
    return found
