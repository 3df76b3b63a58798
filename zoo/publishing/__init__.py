"""Publishing: models as repositories, populations and tables as datasets, in folders or on a hub, and reading them."""
