"""Whatever bytes a header has: a description of it or a reason, soon, and in bounded memory."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from miners.headers.reading import READERS
from schemas.errors import DataError
from tests.conftest import ROOT
from tests.weight_file import one_of_each, read

QUICK, THOROUGH, ROUND = 200, 100_000, 10_000
LONGEST = 2.0  # seconds of work for one small file
MEMORY = 2**30  # bytes more than the interpreter and its libraries take
NAMES = ["model.safetensors", "model.gguf", "model.onnx", "model.pt", "model.npz", "packed.npz", "model.npy"]
WRITTEN = [b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"[", b"}", *(bytes([value]) * 4 for value in (0, 0x7F, 0xFF))]
WRITTEN += [b"\xff" * 8, b"\xfe" + b"\xff" * 7]


def changed(content: bytes, script: bytes) -> bytes:
    """A sound file with a few things wrong in it, as a script of four bytes a change tells."""
    found = bytearray(content)
    for what, high, low, argument in zip(*[iter(script)] * 4, strict=False):
        begin = ((high << 8) + low) % (len(found) + 1)
        end = min(begin + argument % 64, len(found))
        if what % 8 < 4:
            written = WRITTEN[what // 8 % len(WRITTEN)] if what % 2 else bytes([argument])
            found[begin : begin + len(written)] = written
        elif what % 8 == 4:
            found[begin:begin] = WRITTEN[argument % len(WRITTEN)]
        elif what % 8 == 5:
            del found[begin:end]
        elif what % 8 == 6:
            found[end:end] = found[begin:end] * (what // 64)
        elif argument < 64:
            del found[begin:]
    return bytes(found)


def check(path: str, content: bytes) -> None:
    """Read a header soon, and look at what every row needs of it."""
    if seconds(path, content) > LONGEST:  # or was it the garbage collector's turn?
        assert seconds(path, content) < LONGEST


def seconds(path: str, content: bytes) -> float:
    """Time of work that reading a header takes."""
    begun = time.process_time()
    try:
        header = read(path, content)
    except DataError as error:
        complaint = str(error)
    else:
        complaint = "none"
        names = [tensor.name for tensor in header.tensors]
        assert len(set(names)) == len(names)
        for tensor in header.tensors:
            assert all(0 <= size < 2**63 for size in tensor.shape)
            assert tensor.bytes is None or tensor.bytes >= 0
            assert tensor.end is None or tensor.end <= len(content)
        "".join([*names, *(f"{fact.key}{fact.value}" for fact in header.facts)]).encode()
    assert 0 < len(complaint) < 1000
    return time.process_time() - begun


def fuzz(path: str, sound: bytes, cases: int) -> None:
    """Read so many mutations of a sound file and as many of random bytes, in rounds of their own seeds."""
    for begin in range(0, cases, ROUND):
        fuzz_once(path, sound, min(ROUND, cases - begin), begin)


def fuzz_once(path: str, sound: bytes, cases: int, chance: int) -> None:
    options = settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))

    @seed(chance)
    @options
    @given(st.binary(min_size=4, max_size=24))
    def mutated(script: bytes) -> None:
        check(path, changed(sound, script))

    @seed(chance)
    @options
    @given(st.binary(max_size=300))
    def random(rest: bytes) -> None:
        check(path, rest)
        check(path, sound[:8] + rest)

    mutated()
    random()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return one_of_each(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("path", NAMES)
def test_any_bytes_give_a_header_or_a_reason(path: str, sound: dict[str, bytes]) -> None:
    fuzz(path, sound[path], QUICK)


def test_every_reader_is_fuzzed_and_reads_the_sound_files(sound: dict[str, bytes]) -> None:
    readers = {reader for _, reader in READERS.values()}
    assert {READERS[path.rpartition(".")[2]][1] for path in NAMES} == readers
    assert set(sound) == set(NAMES)
    assert all(read(path, content).tensors for path, content in sound.items())


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("path", NAMES)
def test_a_hundred_thousand_files_of_any_bytes_stay_within_bounded_memory(path: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.test_headers_fuzz", path, str(THOROUGH), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def main() -> None:
    """Fuzz one reader in a process of its own, which may take no more memory than that."""
    path, cases, folder = sys.argv[1:]
    sound = one_of_each(Path(folder))[path]
    taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    fuzz(path, sound, int(cases))


if __name__ == "__main__":
    main()
