"""Datasets: shapes and scales, the fixed split, and what is no dataset."""

import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from schemas.errors import DataError, UsageError
from tests.mined_models import Bomb
from tests.tiny_population import write_images
from zoo.datasets import Dataset, load_dataset


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def test_digits_are_images_from_0_to_1(digits: Dataset) -> None:
    assert digits.input_shape == (1, 8, 8)
    assert digits.classes == 10
    assert digits.train.x.dtype == torch.float32
    assert digits.train.y.dtype == torch.int64
    assert (float(digits.train.x.min()), float(digits.train.x.max())) == (0.0, 1.0)


def test_every_digit_is_in_exactly_one_part(digits: Dataset) -> None:
    from sklearn.datasets import load_digits  # type: ignore[import-untyped] # scikit-learn ships no types

    parts = [digits.train, digits.validation, digits.test]
    assert sum(map(len, parts)) == 1797
    found = torch.cat([torch.cat([part.x.flatten(1) * 16, part.y[:, None].float()], dim=1) for part in parts])
    bunch = load_digits()
    expected = np.concatenate([bunch.data, bunch.target[:, None]], axis=1)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected.tolist()))


def test_each_class_is_split_by_the_same_shares(digits: Dataset) -> None:
    for part, share in ((digits.validation, 0.15), (digits.test, 0.15)):
        whole = sum(torch.bincount(each.y, minlength=10) for each in (digits.train, digits.validation, digits.test))
        assert (torch.bincount(part.y, minlength=10) - share * whole).abs().max() <= 0.5


def test_the_split_hangs_on_its_seed_alone(digits: Dataset) -> None:
    assert torch.equal(digits.test.x, load_dataset("digits", 0).test.x)
    other = load_dataset("digits", 1)
    assert not torch.equal(digits.test.x, other.test.x)
    assert digits.sha256 == other.sha256


def test_the_split_does_not_change_between_versions(digits: Dataset) -> None:
    assert digits.sha256[:16] == "1d0738c768bb8852"
    assert digits.test.y[:12].tolist() == [4, 3, 0, 8, 7, 0, 0, 1, 6, 3, 3, 5]


def test_parts_have_names(digits: Dataset) -> None:
    assert digits.part("validation") is digits.validation
    with pytest.raises(UsageError, match=r"'vaildation' is no part .* did you mean 'validation'"):
        digits.part("vaildation")


def images(*shape: int, dtype: type = np.uint8) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)


LABELS = np.arange(60) % 3


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((60, 8, 8), (1, 8, 8)),
        ((60, 8, 9, 3), (3, 8, 9)),
        ((60, 3, 8, 9), (3, 8, 9)),
        ((60, 1, 8, 8), (1, 8, 8)),
        ((60, 12), (1, 1, 12)),
    ],
)
def test_npz_files_of_every_usual_shape(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    np.savez(tmp_path / "d.npz", x=images(*shape), y=LABELS)
    dataset = load_dataset(f"npz:{tmp_path / 'd.npz'}")
    assert dataset.input_shape == expected
    assert dataset.classes == 3
    assert [len(dataset.part(part)) for part in ("train", "validation", "test")] == [42, 9, 9]


def test_channels_last_become_channels_first(tmp_path: Path) -> None:
    x = images(60, 5, 6, 3)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=LABELS, x_test=x[:7], y_test=LABELS[:7])
    dataset = load_dataset(f"npz:{tmp_path / 'd.npz'}")
    np.testing.assert_array_equal(dataset.test.x.numpy(), (x[:7].astype(np.float32) / 255).transpose(0, 3, 1, 2))


def test_test_arrays_of_the_file_stay_the_test(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((60, 4, 4))
    np.savez(tmp_path / "d.npz", x_train=x, y_train=LABELS, x_test=x[:7] + 1, y_test=LABELS[:7, None])
    dataset = load_dataset(f"npz:{tmp_path / 'd.npz'}")
    assert [len(dataset.part(part)) for part in ("train", "validation", "test")] == [51, 9, 7]
    np.testing.assert_array_equal(dataset.test.x.numpy()[:, 0], (x[:7] + 1).astype(np.float32))
    assert dataset.test.y.tolist() == LABELS[:7].tolist()


def test_the_home_folder_may_be_written_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_images(tmp_path / "a.npz")
    assert load_dataset("npz:~/a.npz").sha256 == load_dataset(f"npz:{tmp_path / 'a.npz'}").sha256
    with pytest.raises(UsageError, match=r"dataset ~nobody-here/a\.npz does not exist"):
        load_dataset("npz:~nobody-here/a.npz")


def test_a_changed_file_has_another_hash(tmp_path: Path) -> None:
    first = load_dataset(f"npz:{write_images(tmp_path / 'a.npz', seed=0)}")
    again = load_dataset(f"npz:{write_images(tmp_path / 'b.npz', seed=0)}")
    other = load_dataset(f"npz:{write_images(tmp_path / 'c.npz', seed=1)}")
    assert first.sha256 == again.sha256 != other.sha256


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": images(60, 8, 8), "y": LABELS}, "holds images, y; expected x_train and y_train, or x and y"),
        ({"x": images(60, 8, 8), "y": LABELS[:59]}, r"\[60, 8, 8\] samples and \[59\] classes; expected one for each"),
        ({"x": images(60, 8, 8), "y": LABELS / 2}, "the classes are float64; expected whole numbers from 0"),
        (
            {"x": images(60, 8, 8), "y": LABELS - 1},
            "-1 is no class: the classes are int64; expected whole numbers from 0",
        ),
        (
            {"x": images(60, 8, 8), "y": np.where(LABELS == 0, 2**64 - 1, LABELS).astype("u8")},
            f"{2**64 - 1} is no class",
        ),
        ({"x": images(60, 8, 8), "y": np.where(LABELS == 2, 10**7, LABELS)}, "10000000 and no training .* of class 2;"),
        ({"x": images(60, 8, 8), "y": LABELS + 1}, "the largest class is 3 and no training sample is of class 0;"),
        (
            {"x_train": images(60, 8, 8), "y_train": LABELS, "x_test": images(6, 8, 8), "y_test": LABELS[:6] + 3},
            "the largest class is 5 and no training sample is of class 3; number the classes 0, 1, 2",
        ),
        ({"x": images(60, 8, 8, dtype=np.int64), "y": LABELS}, "the samples are int64; expected uint8 or floating"),
        ({"x": np.full((60, 8), np.nan), "y": LABELS}, "some samples are not finite"),
        ({"x": np.full((60, 8), 1e300), "y": LABELS}, "some samples are not finite"),
        ({"x": images(60, 0), "y": LABELS}, r"the samples have shape \[60, 0\]; expected at least one value in each"),
        ({"x": images(60, 2, 2, 2, 2), "y": LABELS}, "expected 2 to 4 axes, samples first"),
        ({"x": images(3, 8, 8), "y": LABELS[:3]}, "too few samples"),
        ({"x": images(0, 8, 8), "y": LABELS[:0]}, "expected one for each"),
        (
            {"x_train": images(60, 8, 8), "y_train": LABELS, "x_test": images(6, 9, 9), "y_test": LABELS[:6]},
            "different shapes",
        ),
    ],
)
def test_what_is_no_dataset_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]], message: str
) -> None:
    np.savez(tmp_path / "d.npz", **arrays)  # type: ignore[arg-type] # its stub takes the names for its own option
    with pytest.raises(DataError, match=message) as refused:
        load_dataset(f"npz:{tmp_path / 'd.npz'}")
    assert "\n" not in str(refused.value)


def test_a_hundred_thousand_classes_are_split_in_seconds(tmp_path: Path) -> None:
    y = np.random.default_rng(0).permutation(np.arange(400_000) % 100_000)
    np.savez(tmp_path / "d.npz", x=y[:, None].astype(np.float32), y=y)
    begun = time.process_time()
    dataset = load_dataset(f"npz:{tmp_path / 'd.npz'}")
    assert time.process_time() - begun < 20  # it takes two; class by class over all samples it took minutes
    for part, each in (("train", 2), ("validation", 1), ("test", 1)):
        samples = dataset.part(part)
        assert (torch.bincount(samples.y) == each).all()
        assert torch.equal(samples.x.flatten().long(), samples.y)


def _pickled_array(path: Path) -> None:
    np.savez(path, x=np.array([Bomb(path.with_name("ran"))] * 60, dtype=object), y=LABELS)


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(path.with_name("ran"))))


def _cut_short(path: Path) -> None:
    write_images(path)
    path.write_bytes(path.read_bytes()[:-500])


def _damaged(path: Path) -> None:
    content = bytearray(write_images(path).read_bytes())
    content[300:400] = bytes(100)
    path.write_bytes(content)


def _single_array(path: Path) -> None:
    np.save(path.with_suffix(".npy"), LABELS)
    path.with_suffix(".npy").rename(path)


NO_NPZ = r"is damaged or no \.npz file; expected one that numpy\.savez wrote"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_pickled_array, "holds an array of Python objects, which runs code when it is read"),
        (_pickle, NO_NPZ),
        (_cut_short, NO_NPZ),
        (_damaged, NO_NPZ),
        (_single_array, "is a single array"),
        (Path.touch, NO_NPZ),
        (Path.mkdir, "cannot be read: Is a directory"),
    ],
)
def test_a_spoiled_file_is_refused_and_never_unpickled(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "d.npz"
    spoil(path)
    with pytest.raises(DataError, match=rf"dataset .*d\.npz {message}"):
        load_dataset(f"npz:{path}")
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.npz does not exist; npz:PATH counts from the current folder"):
        load_dataset(f"npz:{tmp_path / 'gone.npz'}")


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(UsageError, match=r"'mnist' is unknown: expected one of: .*, npz:PATH, .*, ylecun/mnist"):
        load_dataset("mnist")


@pytest.mark.data
def test_mnist_as_keras_ships_it(data_folder: Path) -> None:
    dataset = load_dataset(f"npz:{data_folder / 'images' / 'mnist.npz'}")
    assert dataset.input_shape == (1, 28, 28)
    assert [len(dataset.part(part)) for part in ("train", "validation", "test")] == [51000, 9000, 10000]
    assert dataset.classes == 10
