"""The zoo builder: recipe in, trained population out, as rows and weights; and loading of any model's weights."""

from typing import TYPE_CHECKING

from schemas.doors import lazily

if TYPE_CHECKING:
    from zoo.building import build, plan
    from zoo.catalogue import populations, recipes, recipes_in_brief
    from zoo.datasets import Dataset, fetch_dataset
    from zoo.datasets.dataset import from_arrays
    from zoo.describe import Description, read_description
    from zoo.exchange.exporting import export_population
    from zoo.exchange.importing import import_population
    from zoo.load import Population, load_population, load_populations, load_weights
    from zoo.publishing.mined import publish_tables
    from zoo.publishing.population import publish_population
    from zoo.publishing.repositories import publish_repositories
    from zoo.watching import status

__all__ = [
    "Dataset",
    "Description",
    "Population",
    "build",
    "export_population",
    "fetch_dataset",
    "from_arrays",
    "import_population",
    "load_population",
    "load_populations",
    "load_weights",
    "plan",
    "populations",
    "publish_population",
    "publish_repositories",
    "publish_tables",
    "read_description",
    "recipes",
    "recipes_in_brief",
    "status",
]

__getattr__ = lazily(
    __name__,
    {
        **dict.fromkeys(["build", "plan"], "zoo.building"),
        **dict.fromkeys(["populations", "recipes", "recipes_in_brief"], "zoo.catalogue"),
        **dict.fromkeys(["Dataset", "fetch_dataset"], "zoo.datasets"),
        "from_arrays": "zoo.datasets.dataset",
        **dict.fromkeys(["Description", "read_description"], "zoo.describe"),
        "export_population": "zoo.exchange.exporting",
        "import_population": "zoo.exchange.importing",
        **dict.fromkeys(["Population", "load_population", "load_populations", "load_weights"], "zoo.load"),
        "publish_population": "zoo.publishing.population",
        "publish_tables": "zoo.publishing.mined",
        "publish_repositories": "zoo.publishing.repositories",
        "status": "zoo.watching",
    },
)
