"""Where datasets come from: tables and folders of encoded images, texts, the Hub, and what is made."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped] # pyarrow ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped] # as above
import pytest
import torch

from schemas.errors import DataError, OutsideError, UsageError
from zoo.datasets import HUB, facts, fetch_dataset, load_dataset
from zoo.datasets.cache import cache_folder

pictures = pytest.importorskip("PIL.Image", reason="decoding images needs pillow")


@pytest.fixture(autouse=True)
def kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTLAKE_CACHE", str(tmp_path / "cache"))


def pixels(samples: int = 60, side: int = 8, colours: int = 3) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    shape = (samples, side, side, colours) if colours > 1 else (samples, side, side)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def encoded(image: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    pictures.fromarray(image).save(target, kind)
    return target.getvalue()


def write_parquet(path: Path, contents: list[bytes | None], column: str = "img", label: str = "label") -> None:
    cells = [{"bytes": content, "path": None} for content in contents]
    labels = [number % 3 for number in range(len(contents))]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({column: cells, label: labels}), path)


def write_tree(root: Path, images: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> None:
    for number, image in enumerate(images):
        file = root / f"class{number % 3}" / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(image))


@pytest.mark.parametrize(("column", "label"), [("img", "label"), ("image", "fine_label")])
@pytest.mark.parametrize("colours", [1, 3])
def test_tables_of_images_are_decoded(tmp_path: Path, column: str, label: str, colours: int) -> None:
    x = pixels(colours=colours)
    write_parquet(tmp_path / "d" / "train-0.parquet", [encoded(image) for image in x], column, label)
    write_parquet(tmp_path / "d" / "valid-0.parquet", [encoded(image) for image in x[:9]], column, label)
    dataset = load_dataset(f"parquet:{tmp_path / 'd'}")
    assert dataset.input_shape == (colours, 8, 8)
    assert [len(dataset.part(part)) for part in ("train", "validation", "test")] == [51, 9, 9]
    expected = torch.from_numpy(x[:9]).view(9, 8, 8, colours).movedim(3, 1) / 255
    assert torch.equal(dataset.test.x, expected)
    assert dataset.test.y.tolist() == [0, 1, 2] * 3


def test_folders_of_images_are_decoded_and_classes_go_by_name(tmp_path: Path) -> None:
    x = pixels()
    write_tree(tmp_path / "d", x)
    dataset = load_dataset(f"folder:{tmp_path / 'd'}")
    assert (dataset.classes, dataset.input_shape) == (3, (3, 8, 8))
    for part in (dataset.train, dataset.validation, dataset.test):
        for image, label in zip(part.x, part.y.tolist(), strict=True):
            number = int((torch.from_numpy(x).movedim(3, 1) / 255 == image).flatten(1).all(dim=1).nonzero().item())
            assert number % 3 == label


def test_a_decoded_dataset_is_kept_checked_and_decoded_again_when_it_changed(tmp_path: Path) -> None:
    name = f"folder:{tmp_path / 'd'}"
    write_tree(tmp_path / "d", pixels())
    first = load_dataset(name)
    (kept,) = cache_folder().iterdir()
    for file in (tmp_path / "d").rglob("*.png"):
        state = file.stat()
        file.write_bytes(bytes(state.st_size))
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert load_dataset(name).sha256 == first.sha256  # nothing was decoded: there is no image left
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="cannot be decoded"):
        load_dataset(name)
    write_tree(tmp_path / "d", 255 - pixels())
    assert load_dataset(name).sha256 != first.sha256


def test_images_of_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 2**16, (60, 8, 8)).astype(np.uint16)
    x[0, 0, :2] = 0, 65_535
    write_parquet(tmp_path / "d" / "train-0.parquet", [encoded(image) for image in x])
    write_parquet(tmp_path / "d" / "test-0.parquet", [*map(encoded, x[:8]), encoded(pixels(1, colours=1)[0])])
    dataset = load_dataset(f"parquet:{tmp_path / 'd'}")
    expected = np.concatenate([x[:8] / 65_535, pixels(1, colours=1) / 255]).astype(np.float32)
    assert torch.equal(dataset.test.x[:, 0], torch.from_numpy(expected))
    assert len(np.unique(dataset.train.x)) > 2000


@pytest.mark.parametrize("form", ["folder", "parquet"])
@pytest.mark.parametrize("coloured", ["train", "test"])
def test_one_image_in_colour_makes_all_of_them_so(tmp_path: Path, form: str, coloured: str) -> None:
    grey, colour = pixels(colours=1), pixels(9)
    for part in ("train", "test"):
        contents = [encoded(image) for image in grey]
        if part == coloured:
            contents[51:] = [encoded(image) for image in colour]
        if form == "parquet":
            write_parquet(tmp_path / "d" / f"{part}-0.parquet", [*contents])
        for number, content in enumerate(contents if form == "folder" else ()):
            file = tmp_path / "d" / part / f"class{number % 3}" / f"{number:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    dataset = load_dataset(f"{form}:{tmp_path / 'd'}")
    seen = {
        tuple((image * 255).round().byte().flatten().tolist()) for image in (*dataset.train.x, *dataset.validation.x)
    }
    if coloured == "test":
        seen = {tuple((image * 255).round().byte().flatten().tolist()) for image in dataset.test.x}
    wanted = [np.stack([image] * 3) for image in grey[:51]] + [image.transpose(2, 0, 1) for image in colour]
    assert dataset.input_shape == dataset.test.x.shape[1:] == (3, 8, 8)
    assert seen == {tuple(image.flatten().tolist()) for image in wanted}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path / "d", pixels())
    (tmp_path / "d" / "class1" / "x.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(DataError, match=r"d: class1/x\.jpg cannot be decoded: it is no BMP or JPEG or PNG or WEBP$"):
        load_dataset(f"folder:{tmp_path / 'd'}")


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WEIGHTLAKE_CACHE", str(tmp_path / "file"))
    write_tree(tmp_path / "d", pixels())
    assert len(load_dataset(f"folder:{tmp_path / 'd'}").train) == 42


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([None] * 9, r"row 0 of d\.parquet has no image in it"),
        ([b"GIF89a"] * 9, r"row 0 of d\.parquet cannot be decoded"),
        ([encoded(pixels(1)[0]), encoded(pixels(1, 9)[0])], r"the images are of 2 sizes, e.g. \(8, 8, 3\)"),
        ([encoded(pixels(1)[0])[:-30]] * 9, "row 0 of .* cannot be decoded"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, contents: list[bytes | None], message: str) -> None:
    write_parquet(tmp_path / "d.parquet", contents)
    with pytest.raises(DataError, match=message):
        load_dataset(f"parquet:{tmp_path / 'd.parquet'}")


def test_a_row_is_named_in_the_file_in_which_it_lies(tmp_path: Path) -> None:
    write_parquet(tmp_path / "d" / "train-0.parquet", [encoded(image) for image in pixels(4)])
    write_parquet(tmp_path / "d" / "train-1.parquet", [encoded(pixels(1)[0]), b"x"])
    with pytest.raises(DataError, match=r"row 1 of train-1\.parquet cannot be decoded"):
        load_dataset(f"parquet:{tmp_path / 'd'}")


def test_a_huge_image_is_not_decoded(tmp_path: Path) -> None:
    target = io.BytesIO()
    pictures.new("1", (8000, 4000)).save(target, "PNG")
    write_parquet(tmp_path / "d.parquet", [target.getvalue()])
    with pytest.raises(DataError, match=r"row 0 of d\.parquet is 8000 x 4000, too large to decode"):
        load_dataset(f"parquet:{tmp_path / 'd.parquet'}")


def test_other_tables_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"img": [b"x"], "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"the columns img, label; expected an image \(with bytes\) and a label"):
        load_dataset(f"parquet:{tmp_path / 'a.parquet'}")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load_dataset(f"parquet:{tmp_path / 'b.parquet'}")


def test_links_out_of_the_folder_and_classes_without_training_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path / "d" / "train", pixels())
    write_tree(tmp_path / "d" / "test", pixels(9))
    outside = tmp_path / "secret.png"
    outside.write_bytes(encoded(pixels(1)[0]))
    (tmp_path / "d" / "train" / "class0" / "zzz.png").symlink_to(outside)
    with pytest.raises(DataError, match="is a link that leads out of"):
        load_dataset(f"folder:{tmp_path / 'd'}")
    (tmp_path / "d" / "train" / "class0" / "zzz.png").unlink()
    (tmp_path / "d" / "test" / "other").mkdir()
    with pytest.raises(DataError, match="other is a class that training lacks"):
        load_dataset(f"folder:{tmp_path / 'd'}")


@pytest.mark.parametrize("name", ["folder", "parquet", "text"])
def test_a_path_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"gone.*counts from the current folder"):
        load_dataset(f"{name}:{tmp_path / 'gone'}")


def test_a_text_is_cut_into_samples_with_the_next_token_at_each_place(tmp_path: Path) -> None:
    text = bytes(range(256)) * 20
    (tmp_path / "t.txt").write_bytes(text)
    dataset = load_dataset(f"text:{tmp_path / 't.txt'}")
    assert (dataset.input_shape, dataset.classes) == ((128,), 256)
    parts = [dataset.train, dataset.validation, dataset.test]
    assert [len(part) for part in parts] == [27, 6, 6]
    joined = torch.cat([part.x for part in parts]).flatten().tolist()
    assert bytes(joined) == text[: len(joined)]
    assert all(torch.equal(part.x[:, 1:], part.y[:, :-1]) for part in parts)
    (tmp_path / "t.txt").write_bytes(b"short")
    with pytest.raises(DataError, match="has 5 tokens; expected at least 896"):
        load_dataset(f"text:{tmp_path / 't.txt'}")


@pytest.mark.parametrize("name", ["digits", "convection", "patterns:3x8x8:4", "sequences:16:32"])
def test_facts_are_those_of_the_data(name: str) -> None:
    dataset, known = load_dataset(name), facts(name)
    assert known is not None
    assert known[:2] == (dataset.input_shape, dataset.classes)
    assert known[2] == pytest.approx(len(dataset.train), rel=0.06)


def test_points_of_the_equation_lie_in_its_domain() -> None:
    dataset = load_dataset("convection")
    x = torch.cat([part.x for part in (dataset.train, dataset.validation, dataset.test)])
    assert x.min() >= 0
    assert (x.amax(dim=0) <= torch.tensor([6.2832, 1, 6.2832, 1])).all()
    assert (x.amax(dim=0) >= torch.tensor([6.2, 0.99, 6.2, 0.99])).all()
    assert not torch.equal(dataset.train.x, load_dataset("convection", 1).train.x)


@pytest.mark.parametrize("name", sorted(HUB))
def test_a_dataset_that_is_not_here_says_how_to_get_it_and_what_to_do_instead(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="fetching datasets needs it")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match=rf"cannot be fetched from here; .*: weightlake zoo fetch {name} .*--dataset"):
        load_dataset(name)
    with pytest.raises(OutsideError, match="could not be fetched"):
        fetch_dataset(name)


def test_what_is_not_fetched_lists_what_is() -> None:
    with pytest.raises(UsageError, match=r"'mnist' is none that is fetched: expected one of: .*ylecun/mnist"):
        fetch_dataset("mnist")


@pytest.mark.data
def test_cifar10_from_a_folder_of_jpegs(data_folder: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(data_folder / "images" / "cifar10_jpeg.tar.xz") as archive:
        chosen = [entry for entry in archive if entry.name.endswith(("00.jpg", "01.jpg"))]
        archive.extractall(tmp_path / "cifar", chosen, filter="data")
    (root,) = [path.parent for path in (tmp_path / "cifar").rglob("train")]
    dataset = load_dataset(f"folder:{root}")
    assert (dataset.classes, dataset.input_shape) == (10, (3, 32, 32))
