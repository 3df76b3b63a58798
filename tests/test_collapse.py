"""Neural collapse against its exact solution, a simplex, and against sums written down one by one."""

import numpy as np
import pytest
import torch
from torch import Tensor

from learners.landscape.collapse import Collapse, collapse, with_errors


def simplex(classes: int, width: int) -> Tensor:
    """An equiangular tight frame of `classes` vectors, turned at random into `width` dimensions, `[classes, width]`."""
    frame = torch.eye(classes, dtype=torch.float64) - 1 / classes
    source = torch.Generator().manual_seed(classes)
    turned, _ = torch.linalg.qr(torch.randn(width, width, generator=source, dtype=torch.float64))
    vectors: Tensor = frame @ turned[:classes]
    return vectors


def some(models: int = 2, samples: int = 90, classes: int = 3, width: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(9)
    y = torch.arange(samples) % classes
    means = torch.randn(models, classes, width, generator=source, dtype=torch.float64)
    features = means[:, y] + 0.5 * torch.randn(models, samples, width, generator=source, dtype=torch.float64)
    classifier = torch.randn(models, classes, width, generator=source, dtype=torch.float64)
    return features, y, classifier, features @ classifier.mT


@pytest.mark.parametrize(("classes", "width"), [(2, 2), (3, 3), (4, 7), (10, 12)])
def test_a_simplex_has_collapsed_completely(classes: int, width: int) -> None:
    means, y = simplex(classes, width), torch.arange(5 * classes) % classes
    features = (3 * means[y] + 7)[None]
    found = collapse(features, y, 2 * means[None], (features - 7) @ means[None].mT)
    torch.testing.assert_close(found.stacked(), torch.zeros(5, 1, dtype=torch.float64), atol=1e-10, rtol=0)


def test_the_figures_are_the_sums_that_the_paper_writes_down() -> None:
    features, y, classifier, logits = some()
    found = collapse(features, y, classifier, logits)
    for model in range(2):
        h, w, classes = features[model].numpy(), classifier[model].numpy(), 3
        means = np.stack([h[y.numpy() == c].mean(axis=0) for c in range(classes)])
        centred = means - means.mean(axis=0)
        within = np.mean([np.outer(x - means[c], x - means[c]) for x, c in zip(h, y, strict=True)], axis=0)
        between = np.mean([np.outer(m, m) for m in centred], axis=0)
        assert found.variability[model].item() == pytest.approx(np.trace(within @ np.linalg.pinv(between)) / classes)
        norms = np.linalg.norm(centred, axis=1)
        assert found.norms[model].item() == pytest.approx(norms.std() / norms.mean())
        cosines = [
            centred[i] @ centred[j] / norms[i] / norms[j] for i in range(classes) for j in range(classes) if i != j
        ]
        assert found.angles[model].item() == pytest.approx(np.mean([abs(c + 1 / 2) for c in cosines]))
        dual = w / np.linalg.norm(w) - centred / np.linalg.norm(centred)
        assert found.duality[model].item() == pytest.approx((dual**2).sum())
        nearest = np.array([np.argmin([np.linalg.norm(x - m) for m in means]) for x in h])
        assert found.nearest[model].item() == pytest.approx((nearest != logits[model].numpy().argmax(axis=1)).mean())


def test_outputs_without_a_class_change_what_is_said_of_the_classifier_alone() -> None:
    features, y, classifier, logits = some()
    more = torch.cat([classifier, torch.zeros(2, 4, 5, dtype=torch.float64)], dim=1)
    never = torch.full((2, len(y), 4), -1e9, dtype=torch.float64)
    found, errors = with_errors(features, y, more, torch.cat([logits, never], dim=2))
    wanted, spread = with_errors(features, y, classifier, logits)
    others = [0, 1, 2, 4]
    torch.testing.assert_close(found[others], wanted[others])
    torch.testing.assert_close(errors[others], spread[others])
    assert found[3].isnan().all()
    always = torch.cat(
        [logits, -never], dim=2
    )  # the prediction is no class that occurs, so that it is never the nearest
    assert collapse(features, y, more, always).nearest.tolist() == [1.0, 1.0]


def test_what_is_not_defined_is_no_number() -> None:
    _, y, classifier, logits = some()
    same = torch.ones(2, len(y), 5, dtype=torch.float64)
    found = collapse(same, y, torch.zeros_like(classifier), logits)
    for name in ("variability", "norms", "angles", "duality"):
        assert getattr(found, name).isnan().all(), name
    assert isinstance(found, Collapse)


def test_errors_are_the_spread_over_samples() -> None:
    source, values, errors = torch.Generator().manual_seed(1), [], []
    means = torch.randn(3, 5, generator=source, dtype=torch.float64)
    classifier, y = means[None], torch.arange(120) % 3
    for _ in range(80):
        features = (means[y] + torch.randn(120, 5, generator=source, dtype=torch.float64))[None]
        value, error = with_errors(features, y, classifier, features @ classifier.mT)
        values.append(value.flatten().tolist())
        errors.append(error.flatten().tolist())
    spread, claimed = np.std(values, axis=0), np.mean(errors, axis=0)
    np.testing.assert_allclose(claimed[[0, 1, 3, 4]], spread[[0, 1, 3, 4]], rtol=0.4)
    few = with_errors(features[:, :3], y[:3], classifier, (features @ classifier.mT)[:, :3])[1]
    assert few.isnan().all()
