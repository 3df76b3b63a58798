"""Which weight files of a repository are read, and which of them make up its model."""

import json

import pytest

from miners.headers.header import Header, Tensor
from miners.weight_files import indices, main_files, matters, shards, to_read
from miners.weight_rows import Headers, fingerprint, size
from schemas.errors import DataError

INDEX = "model.safetensors.index.json"
PIPELINE = [
    *("model_index.json", "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors"),
    *("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors", "vae/diffusion_pytorch_model.bin"),
]


def header(*sizes: int) -> Header:
    return Header([Tensor(f"w{place}", "F32", [size]) for place, size in enumerate(sizes)])


@pytest.mark.parametrize(
    ("listed", "named", "expected"),
    [
        (["model.safetensors", "other.safetensors", "pytorch_model.bin", "tf_model.h5"], {}, ["model.safetensors"]),
        (
            ["b.safetensors", "a.safetensors", "sub/c.safetensors"],
            {},
            ["a.safetensors", "b.safetensors", "sub/c.safetensors"],
        ),
        (
            [INDEX, "model-1.safetensors", "model-2.safetensors", "consolidated.safetensors"],
            {INDEX: ["model-1.safetensors", "model-2.safetensors"]},
            ["model-1.safetensors", "model-2.safetensors"],
        ),
        (["adapter_model.safetensors", "adapter_model.bin"], {}, ["adapter_model.safetensors"]),
        (["pytorch_model.bin", "optimizer.pt", "training_args.bin", "rng_state_0.pth"], {}, ["pytorch_model.bin"]),
        (["last.ckpt", "best.ckpt"], {}, ["best.ckpt", "last.ckpt"]),
        (
            ["m.Q4_K.gguf", "m.Q8_0.GGUF", "onnx/m.onnx", "e.npz"],
            {},
            ["e.npz", "m.Q4_K.gguf", "m.Q8_0.GGUF", "onnx/m.onnx"],
        ),
        (
            PIPELINE,
            {},
            [
                *("text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors"),
                "vae/diffusion_pytorch_model.safetensors",
            ],
        ),
        (["README.md", "model.pkl", "data.joblib"], {}, []),
    ],
)
def test_the_usual_files_are_read_and_not_the_same_weights_twice(
    listed: list[str], named: dict[str, list[str]], expected: list[str]
) -> None:
    assert to_read([path for path in listed if matters(path)], named) == expected


def test_indices_are_read_where_they_tell_something() -> None:
    other = "pytorch_model.bin.index.json"
    assert indices([INDEX, "a.safetensors"]) == [INDEX]
    assert indices([INDEX, "model.safetensors"]) == []
    assert indices([other, "a.bin"]) == [other]
    assert indices([other, INDEX, "a.safetensors"]) == [INDEX]
    assert indices(["unet/diffusion_pytorch_model.safetensors.index.json"]) != []
    assert indices(["tokenizer.index.json", "modelxsafetensors.index.json"]) == []


def test_an_index_in_a_folder_names_files_of_that_folder() -> None:
    content = json.dumps({"weight_map": {"a": "two.safetensors", "b": "one.safetensors", "c": "one.safetensors"}})
    assert shards(content.encode(), f"unet/{INDEX}") == ["unet/one.safetensors", "unet/two.safetensors"]
    with pytest.raises(DataError, match="expected a pickle"):
        shards(content.encode(), "pytorch_model.bin.index.json")


def test_an_index_of_millions_of_entries_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(DataError, match="at most 1000000 are read"):
        shards(b"[" + b"[]," * 10_000_000 + b"[]]", INDEX)
    entries = {f"model.layers.{place}.weight": "one.safetensors" for place in range(200_000)}
    assert shards(json.dumps({"weight_map": entries}).encode(), INDEX) == ["one.safetensors"]


def main(paths: dict[str, Header], named: dict[str, list[str]] | None = None, broken: tuple[str, ...] = ()) -> object:
    return main_files(paths, named or {}, broken)


def test_the_files_that_make_up_a_model() -> None:
    one = header(1)
    assert main({"model.safetensors": one, "sub/x.safetensors": one}) == {"safetensors": ["model.safetensors"]}
    assert main({"x.safetensors": one}) == {"safetensors": ["x.safetensors"]}
    assert main({"x.safetensors": one, "y.safetensors": one}) == {"safetensors": []}
    assert main({"x.safetensors": one}, broken=("y.safetensors",)) == {"safetensors": []}
    assert main({"x.safetensors": one}, broken=(INDEX,)) == {"safetensors": []}
    assert main({"x.safetensors": one, "y.safetensors": one}, {INDEX: ["x.safetensors", "y.safetensors"]}) == {
        "safetensors": ["x.safetensors", "y.safetensors"]
    }
    assert main({"x.safetensors": one}, {INDEX: ["x.safetensors", "gone.safetensors"]}) == {"safetensors": []}
    pipeline = dict.fromkeys(to_read(filter(matters, PIPELINE), {}), one)
    assert main(pipeline) == {"safetensors": sorted(pipeline)}
    checkpoints = {f"checkpoint-{step}/model.safetensors": one for step in (1, 2)}
    assert main(checkpoints) == {"safetensors": []}
    assert main({"a.npz": one, "b.npz": one, "pytorch_model.bin": one}) == {
        "numpy": [],
        "pickle": ["pytorch_model.bin"],
    }


def test_of_gguf_and_onnx_the_largest_counts() -> None:
    parts = {f"m.Q4-0000{part}-of-00002.gguf": header(10) for part in (1, 2)}
    assert main({"projector.gguf": header(15), **parts}) == {"gguf": sorted(parts)}
    assert main({"projector.gguf": header(15), "m.Q4-00001-of-00002.gguf": header(100)}) == {"gguf": ["projector.gguf"]}
    assert main({"m-00001-of-00002.gguf": header(1)}) == {"gguf": []}
    assert main({"onnx/encoder.onnx": header(5), "onnx/decoder.onnx": header(7)}) == {"onnx": ["onnx/decoder.onnx"]}


def test_one_format_stands_for_the_model() -> None:
    files = {"m.gguf": header(3), "m.onnx": header(5), "a.safetensors": header(7), "b.safetensors": header(7)}
    headers = Headers(files, main_files(files, {}))
    assert (headers.format, headers.parameters) == ("onnx", 5)
    huge = {"m.npz": header(2**62, 2**62)}
    assert Headers(huge, main_files(huge, {})).parameters is None


def test_a_fingerprint_is_that_of_names_and_shapes_alone() -> None:
    files = [Tensor("b", "F32", [2]), Tensor("a", "F32", [3, 4], 0, 48)]
    alone = fingerprint({"model.safetensors": Header(files)})
    assert alone == fingerprint({"x/y.bin": Header([files[1]._replace(dtype="F16", begin=8), files[0]])})
    assert alone == fingerprint({"one": Header(files[:1]), "two": Header(files[1:])})
    assert alone == fingerprint({"m": Header([*files, Tensor("tied", "F32", [2])], tied=frozenset({"tied"}))})
    assert alone != fingerprint({"m": Header([files[0], files[1]._replace(shape=[4, 3])])})
    assert alone != fingerprint({"unet/m": Header(files[:1]), "vae/m": Header(files[1:])})
    assert fingerprint({"m": Header([])}) is None


def test_sizes_add_up_where_they_are_known() -> None:
    assert size([Tensor("a", "F32", [3]), Tensor("b", "Q4_K", [256], 0, 144), Tensor("c", "F4", [3])]) == 12 + 144 + 2
    assert size([Tensor("a", "F32", [3]), Tensor("b", "GGML_99", [256])]) is None
