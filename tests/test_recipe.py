"""Recipes: what is accepted, what is refused and how, and what makes a population the same one."""

from pathlib import Path

import pytest

from schemas.errors import UsageError
from zoo.recipe import Recipe, load_recipe, parse_recipe, recipe_names

GOOD = """
name = "small"
architecture = "mlp"
dataset = "digits"
epochs = 5

[grid]
width = [8, 4]
batch_size = 32
seeds = 2
learning_rate = [0.1, 1]
"""


def good(**changes: str) -> Recipe:
    return parse_recipe(changed(**changes).encode(), "small.toml")


def changed(text: str = GOOD, **changes: str) -> str:
    """The good recipe with some lines replaced; keys that it lacks are added above its grid."""
    for key, value in changes.items():
        lines = [f"{key} = {value}" if line.startswith(f"{key} =") else line for line in text.splitlines()]
        text = "\n".join(lines)
        if f"{key} = {value}" not in text:
            text = f"{key} = {value}\n{text}"
    return text


def test_a_recipe_is_a_grid_of_groups_and_members() -> None:
    groups = good().groups()
    assert [group.name for group in groups] == ["w4-b32", "w8-b32"]
    assert [member.name for member in groups[0].members] == [
        "w4-b32-s0-lr0.1",
        "w4-b32-s1-lr0.1",
        "w4-b32-s0-lr1.0",
        "w4-b32-s1-lr1.0",
    ]
    assert [member.learning_rate for member in groups[0].members] == [0.1, 0.1, 1.0, 1.0]
    assert good().members == 8


def test_axes_of_one_value_are_not_part_of_the_name() -> None:
    recipe = good(learning_rate="0.1")
    assert [member.name for member in recipe.groups()[0].members] == ["w4-b32-s0", "w4-b32-s1"]


def test_every_member_has_a_name_of_its_own() -> None:
    text = GOOD + "weight_decay = [0.0, 1e-4, 0.0001000001]\nlabel_noise = [0, 0.25]\n"
    names = [member.name for group in parse_recipe(text.encode(), "f").groups() for member in group.members]
    assert len(set(names)) == len(names) == 2 * 2 * 2 * 3 * 2
    assert "w4-b32-s0-lr0.1-wd0.0001-ln0.25" in names


def test_a_number_of_seeds_counts_from_0_and_a_list_names_them() -> None:
    assert good(seeds="3").grid.seeds == (0, 1, 2)
    assert good(seeds="[7, 3]").grid.seeds == (3, 7)


def test_each_member_starts_from_its_seed_unless_all_share_one() -> None:
    assert [member.init_seed for member in good(learning_rate="1").groups()[0].members] == [0, 1]
    assert [member.init_seed for member in good(learning_rate="1", init_seed="9").groups()[0].members] == [9, 9]


def test_identity_is_everything_that_changes_the_weights() -> None:
    same = [
        good(name='"other"'),
        good(width="[4, 8]"),
        good(batch_size="[32]"),
        good(optimizer='"sgd"'),
        good(momentum="0.9"),
        good(learning_rate="[1.0, 0.1]"),
        good(seeds="[0, 1]"),
    ]
    different = [
        good(epochs="6"),
        good(seeds="3"),
        good(schedule='"cosine"'),
        good(momentum="0.5"),
        good(init_seed="0"),
        good(split_seed="1"),
        good(architecture='"cnn"'),
        good(checkpoint_epochs="[1]"),
        good(optimizer='"adamw"'),
    ]
    assert {recipe.sha256 for recipe in same} == {good().sha256}
    assert len({recipe.sha256 for recipe in [good(), *different]}) == len(different) + 1


def test_the_identity_does_not_change_between_versions() -> None:
    assert good().population_id == "small-" + good().sha256[:8]
    assert good().sha256[:8] == "2c6f779a"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": '"cnm"'}, "architecture = 'cnm': expected one of: cnn, gpt2, mlp, pinn, resnet18, "),
        ({"dataset": '"digit"'}, "npz:PATH, parquet:PATH, text:PATH, "),
        ({"optimizer": '"sgdd"'}, "optimizer = 'sgdd': expected one of: adam, adamw, sgd; did you mean 'sgd'?"),
        (
            {"schedule": '"cosin"'},
            "schedule = 'cosin': expected one of: constant, cosine, onecycle, step; did you mean",
        ),
        (
            {"epohcs": "3"},
            "epohcs is no key: expected one of: architecture, augmentation, checkpoint_epochs, dataset, epochs, ",
        ),
        ({"epohcs": "3"}, "; did you mean 'epochs'?"),
        ({"name": '"../x"'}, "name = '../x': expected at most 64 small letters"),
        ({"epochs": "0"}, "epochs = 0: expected at least 1"),
        ({"epochs": '"5"'}, "epochs = '5': expected a whole number"),
        ({"epochs": "true"}, "epochs = true: expected a whole number"),
        ({"width": "[]"}, "grid.width is empty: expected at least one value"),
        ({"width": "[8, 8]"}, "grid.width = [8, 8]: expected each value once"),
        ({"width": "[8, 0]"}, "grid.width = 0: expected at least 1"),
        ({"width": "65537"}, "grid.width = 65537: expected at most 65536"),
        ({"width": "8.0"}, "grid.width = 8.0: expected a whole number"),
        ({"batch_size": "-1"}, "grid.batch_size = -1: expected at least 1"),
        ({"seeds": "0"}, "grid.seeds = 0: expected a number of seeds from 1 to 100,000 or a list of seeds"),
        ({"seeds": "1000000000000"}, "expected a number of seeds from 1 to 100,000"),
        ({"seeds": "[-1]"}, "grid.seeds = -1: expected at least 0"),
        ({"learning_rate": "nan"}, "grid.learning_rate = nan: expected"),
        ({"learning_rate": "inf"}, "grid.learning_rate = inf: expected a finite number"),
        ({"learning_rate": "[0.1, 0]"}, "grid.learning_rate = 0: expected more than 0"),
        ({"learning_rate": '["fast"]'}, "grid.learning_rate = 'fast': expected a number"),
        ({"momentum": "1.0"}, "momentum = 1.0: expected less than 1"),
        ({"checkpoint_epochs": "[0, 6]"}, "checkpoint_epochs = 6: expected epochs from 0 to 5, the last one"),
        (
            {"architecture": '"pinn"', "dataset": '"convection"', "seeds": "2\nlabel_noise = [0.0, 0.1]"},
            "grid.label_noise = [0.0, 0.1]: points have no labels; leave it out",
        ),
        ({"init_seed": "4294967296"}, "init_seed = 4294967296: expected less than 4294967296"),
    ],
)
def test_impossible_values_are_refused_in_one_line(changes: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        good(**changes)
    text = str(refused.value)
    assert text.startswith("recipe small.toml: ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("width = [8, 4]\n", ""), "grid.width is missing"),
        (GOOD.replace("width", "widht"), "grid.widht is no key: expected one of: activation, batch_size, convection, "),
        (GOOD.replace("width", "widht"), "did you mean 'width'?"),
        (GOOD.partition("[grid]")[0] + "grid = 4", "grid = 4: expected a table with keys: width, batch_size, seeds"),
        (GOOD.partition("[grid]")[0], "grid is missing"),
        (changed(momentum="0.5", optimizer='"adamw"'), "momentum = 0.5: adamw has none; leave it out"),
        ("name = ", "small.toml is no TOML: "),
        ("", "name is missing"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_recipe(text.encode(), "small.toml")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UsageError, match=r"small\.toml is no TOML"):
        parse_recipe(b"\xff\xfe", "small.toml")


def test_recipes_come_by_name_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(GOOD)
    assert load_recipe(tmp_path / "small.toml") == load_recipe(str(tmp_path / "small.toml")) == good()
    assert load_recipe("digits-tiny").name == "digits-tiny"


def test_an_unknown_name_lists_the_recipes() -> None:
    with pytest.raises(UsageError, match=r"'digits-dmo' is no \.toml file: .*; did you mean 'digits-demo'\?"):
        load_recipe("digits-dmo")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.toml cannot be read: No such file"):
        load_recipe(tmp_path / "gone.toml")


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_named_after_their_files(name: str) -> None:
    assert load_recipe(name).name == name


def test_the_demo_has_four_widths_three_batch_sizes_and_four_seeds() -> None:
    grid = load_recipe("digits-demo").grid
    assert (len(grid.width), len(grid.batch_size), len(grid.seeds)) == (4, 3, 4)


def test_the_shared_recipe_starts_all_members_alike() -> None:
    (group,) = load_recipe("digits-shared").groups()
    assert len(group.members) == 8
    assert len({member.init_seed for member in group.members}) == 1


@pytest.mark.parametrize("parents", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "b"}])
def test_parents_that_go_in_a_circle_are_named(
    parents: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, parent in parents.items():
        Path(f"{name}.toml").write_text(changed(name=f'"{name}"', parent=f'"{parent}.toml"'))
    recipe, small = load_recipe("a.toml"), load_recipe("a.toml@tiny")
    for of in (lambda: recipe.sha256, lambda: recipe.members, small.groups):
        with pytest.raises(UsageError, match=r"recipe a.*: its parents go in a circle, (\S+ <- )+\S+; expected one"):
            of()
