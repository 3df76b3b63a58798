"""Builds the C++ of this folder once a machine, and loads it."""

import ctypes
import os
import platform
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path

from schemas.errors import OutsideError
from schemas.files import write_whole, written_whole
from zoo.cache import cache_home

COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fPIC", "-shared", "-w")
SOURCES = ("vector.hpp", "product.hpp", "operation.hpp", "layers.hpp", "dropout.hpp", "network.hpp", "training.cpp")
DIGITS = 16
FOLDER = Path(__file__).parent


class Absent(Exception):
    """The kernel cannot be had on this machine; the text says in one line why."""


@cache
def library() -> ctypes.CDLL:
    """Load the kernel; where it was never built, that takes half a minute.

    It lies in the cache folder, under a name that hangs on the sources, the compiler and the processor.
    `CXX` names another compiler.

    Raises:
        Absent: There is no compiler, or it cannot compile this.
    """
    found = compiler()
    path = cache_home() / "lanes" / f"{_identity(found)}.so"
    if not _whole(path):
        _build(found, path)
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise Absent(f"the lanes kernel cannot be loaded: {error}") from error
    loaded.lanes_network.restype = ctypes.c_void_p
    return loaded


def _whole(path: Path) -> bool:
    """Whether a kernel is there as it was built: one that was cut off would end this process when it is loaded."""
    try:
        return sha256(path.read_bytes()).hexdigest() == _digest(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return False


def _digest(path: Path) -> Path:
    return path.with_suffix(".sha256")


def compiler() -> str:
    """Find the C++ compiler: CXX, or the first of `COMPILERS`; raises Absent without one."""
    named = os.environ.get("CXX")
    for name in (named,) if named else COMPILERS:
        if found := shutil.which(name):
            return found
    tried = named or ", ".join(COMPILERS)
    raise Absent(f"there is no C++ compiler to build with (tried {tried}); install one or set CXX")


def _identity(program: str) -> str:
    """What the built kernel hangs on, as a name."""
    version = subprocess.run([program, "--version"], capture_output=True, check=False).stdout  # noqa: S603 - the user's own compiler
    digest = sha256(version + repr((FLAGS, platform.machine(), _processor())).encode())
    for name in SOURCES:
        digest.update((FOLDER / name).read_bytes())
    return digest.hexdigest()[:DIGITS]


def _processor() -> str:
    """What tells processors apart for which -march=native means different things."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _build(program: str, path: Path) -> None:
    """Compile beside the place and rename into it, so that other processes see all of it or nothing."""
    try:
        with written_whole(path) as beside:
            command = [program, *FLAGS, str(FOLDER / "training.cpp"), "-o", str(beside)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's own compiler
            if done.returncode:
                said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-200:])
                raise Absent(f"{program} cannot build the lanes kernel: {said.strip()}")
            digest = sha256(beside.read_bytes()).hexdigest()
        write_whole(_digest(path), digest.encode())
    except OutsideError as error:
        raise Absent(f"the lanes kernel cannot be built: {error}") from error
