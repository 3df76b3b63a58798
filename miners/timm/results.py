"""timm's results on ImageNet and its variants, and what its models were pretrained on."""

from miners.catalogue import Described, Files
from miners.package import Lost, Package, Score
from miners.timm.origins import original
from miners.timm.tables import Line, figure, lines

DECIMALS = 2  # that timm rounds millions of parameters to
LIBRARY, TASK = "timm", "image-classification"
METADATA = "model_metadata-"
RESULTS = "results-"
PERCENT = 100
METRICS = ("top1", "top5")
DATASETS = {  # by results/README.md: dataset, split or part
    "imagenet": ("ImageNet-1k", "validation"),
    "imagenet-real": ("ImageNet-ReaL", "validation"),
    "imagenetv2-matched-frequency": ("ImageNetV2", "matched frequency"),
    "sketch": ("ImageNet-Sketch", "test"),
    "imagenet-a": ("ImageNet-A", "test"),
    "imagenet-a-clean": ("ImageNet-1k", "validation, the 200 classes of ImageNet-A"),
    "imagenet-r": ("ImageNet-R", "test"),
    "imagenet-r-clean": ("ImageNet-1k", "validation, the 200 classes of ImageNet-R"),
}


def add_results(files: Files, found: Described) -> None:
    """Add a package for each model that a table has rows of; every row is one of its records."""
    packages: dict[str, Package] = {}
    for path, body in sorted(files.items()):
        table = path.rpartition("/")[2]
        if not table.startswith((RESULTS, METADATA)):
            continue
        read = lines(path, body, ["model", *METRICS] if table.startswith(RESULTS) else ["model", "pretrain"])
        if isinstance(read, Lost):
            found.unread.append(read)
            continue
        for line in read:
            if isinstance(line, Lost):
                found.lost.append(line)
            elif table.startswith(RESULTS):
                _add_scores(packages, line, found, path)
            else:
                _package(packages, line).tag([line.values["pretrain"]], "pretrain")
    found.packages += packages.values()


def _package(packages: dict[str, Package], line: Line) -> Package:
    name = line.values["model"]
    if name in packages:
        packages[name].records += 1
        return packages[name]
    package = Package(name, library=LIBRARY, task=TASK)
    package.architecture, _, weights = name.partition(".")
    package.tag([weights], "pretrained")
    package.link("known_as", f"{LIBRARY}#{name}")
    package.link("known_as", original(package.architecture, weights))
    if weights:  # names of today; older ones are of architectures
        package.link("home", f"https://huggingface.co/timm/{name}")
        package.link("model", f"huggingface:timm/{name}")
        package.link("architecture", f"{LIBRARY}#{package.architecture}")
    packages[name] = package
    return package


def _add_scores(packages: dict[str, Package], line: Line, found: Described, path: str) -> None:
    numbers = {metric: figure(line.values[metric]) for metric in METRICS}
    if None in numbers.values():
        found.lost.append(Lost(line.place, f"{line.values['top1']!r}, {line.values['top5']!r}: no accuracies"))
        return
    package = _package(packages, line)
    name = line.table.removeprefix(RESULTS).removesuffix(".csv")
    dataset, split = DATASETS.get(name, (name, None))
    config = _config(line)
    for metric, value in numbers.items():
        if value is not None and not 0 <= value <= PERCENT:
            package.problems.append(f"{metric} is {value:g} in {line.place}, expected 0 to {PERCENT}")
            continue
        package.scores.append(Score(TASK, dataset, config, split, metric, line.values[metric], value, path))
    _count_parameters(package, line, path)


def _config(line: Line) -> str:
    """Say how the images were prepared: `448 px, crop 1.000, bicubic`."""
    size, crop, interpolation = (line.values.get(name) for name in ("img_size", "crop_pct", "interpolation"))
    return ", ".join(part for part in (size and f"{size} px", crop and f"crop {crop}", interpolation) if part)


def _count_parameters(package: Package, line: Line, path: str) -> None:
    count = figure(line.values.get("param_count"))
    known = package.parameters is not None
    if count is not None:
        package.count_millions(count, DECIMALS)
    if package.parameters is None:
        shown = repr(line.values.get("param_count"))[:80]
        package.problems.append(f"param_count is {shown} in {line.place}, expected millions")
    elif not known:
        package.say("million_parameters", count, path)
