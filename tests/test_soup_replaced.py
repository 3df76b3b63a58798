"""Models whose weights are replaced under their names: nothing that was found of the old ones counts for the new."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from learners import align, compare_soups, greedy_soup, learned_soup, uniform_soup
from schemas import Lake, open_lake
from tests.mined_models import equal, many_models
from zoo import load_weights
from zoo.contents import content_of
from zoo.population import Weights

MINED = "SELECT model_id FROM model WHERE hub = 'local' ORDER BY model_id"


def ruin(file: Path) -> None:
    """Write noise in place of a model's weights."""
    source = torch.Generator().manual_seed(99)
    noise = {name: torch.randn(tensor.shape, generator=source) for name, tensor in load_file(file).items()}
    save_file(noise, file)


@pytest.mark.parametrize("cook", [uniform_soup, greedy_soup, learned_soup])
def test_a_soup_of_replaced_weights_is_that_of_a_fresh_lake(lake: Lake, tmp_path: Path, cook: object) -> None:
    assert callable(cook)
    many_models(lake, tmp_path / "models", 16, 4)
    before = cook(lake, MINED, force=True)
    assert cook(lake, MINED, force=True).model_id == before.model_id
    ruin(tmp_path / "models" / "0" / "model.safetensors")
    after = cook(lake, MINED, force=True)
    fresh = open_lake(tmp_path / "fresh")
    many_models(fresh, tmp_path / "models", 16, 4)  # writes the same weights again
    ruin(tmp_path / "models" / "0" / "model.safetensors")
    wanted = cook(fresh, MINED, force=True)
    assert after.ingredients == wanted.ingredients
    assert after.comparison.equals(wanted.comparison)
    assert equal(load_weights(lake, after.model_id), load_weights(fresh, wanted.model_id))
    assert after.model_id == wanted.model_id
    assert after.model_id != before.model_id
    trials = "SELECT candidate, score FROM trial WHERE search_id = $id ORDER BY number"
    for (search,) in fresh.sql("SELECT DISTINCT search_id FROM trial").iter_rows():
        assert lake.sql(trials, id=search).equals(fresh.sql(trials, id=search))


def test_a_search_over_networks_that_are_run_otherwise_starts_anew(lake: Lake, tmp_path: Path) -> None:
    description = many_models(lake, tmp_path, 16, 3, silent=True)
    greedy_soup(lake, MINED, force=True, description=description)
    greedy_soup(lake, MINED, force=True, description=description.model_copy(update={"activation": "tanh"}))
    assert lake.sql("SELECT count(*) AS n, count(DISTINCT candidate) AS c FROM trial").row(0) == (6, 6)


def test_twins_and_comparisons_of_replaced_weights_have_names_of_their_own(lake: Lake, tmp_path: Path) -> None:
    many_models(lake, tmp_path, 16, 3)
    first, compared = align(lake, MINED), "SELECT DISTINCT comparison_id FROM soup_comparison"
    options: dict[str, object] = {"corruptions": (), "force": True}
    compare_soups(lake, MINED, **options)  # type: ignore[arg-type] # each of its own type
    ruin(tmp_path / "1" / "model.safetensors")
    second = align(lake, MINED)
    compare_soups(lake, MINED, **options)  # type: ignore[arg-type] # each of its own type
    assert lake.sql(compared).height == 2
    assert second.model_ids[1] != first.model_ids[1]
    assert second.model_ids[2] == first.model_ids[2]
    assert align(lake, MINED).model_ids == second.model_ids


def test_weights_of_every_type_are_told_apart() -> None:
    plain: Weights = {"a": torch.ones(2, 3), "b": torch.tensor(1.0), "c": torch.arange(2)}
    others: list[Weights] = [
        {name: plain[name] for name in ("a", "b")},
        plain | {"a": torch.ones(3, 2)},
        plain | {"b": torch.tensor(1.0000001)},
        plain | {"a": torch.ones(2, 3, dtype=torch.bfloat16)},
        plain | {"c": torch.tensor([0, 2])},
    ]
    assert len({content_of(weights) for weights in [plain, *others]}) == 6
    assert content_of(dict(reversed(plain.items()))) == content_of({**plain, "a": torch.ones(3, 2).t()})
