"""Which weights of timm are those of another repository's model, unchanged: the names of its weights tell.

The tag behind a name's dot says who trained the weights, on what (`tv`: torchvision's first ones, `fb_swsl_ig1b_ft`:
Facebook's semi-weakly supervised ones, ...); names of before, without a dot, said it in front. Each line was compared
with the addresses that timm 1.0.31 downloads the weights from (`timm/models/*.py`).
"""

VISION = "github.com/pytorch/vision"
SEMI_SUPERVISED = "github.com/facebookresearch/semi-supervised-ImageNet1K-models"
WEAKLY_SUPERVISED = "github.com/facebookresearch/WSL-Images"
BY_TAG = {  # tag -> repository, and the name there, made of the architecture's
    "tv_in1k": (VISION, "{}"),
    "fb_swsl_ig1b_ft_in1k": (SEMI_SUPERVISED, "{}_swsl"),
    "fb_ssl_yfcc100m_ft_in1k": (SEMI_SUPERVISED, "{}_ssl"),
    "fb_wsl_ig1b_ft_in1k": (WEAKLY_SUPERVISED, "{}_wsl"),
}
BY_PREFIX = {
    "tv_": (VISION, "{}"),
    "swsl_": (SEMI_SUPERVISED, "{}_swsl"),
    "ssl_": (SEMI_SUPERVISED, "{}_ssl"),
    "ig_": (WEAKLY_SUPERVISED, "{}_wsl"),
}


def original(architecture: str, weights: str) -> str | None:
    """Give repository and name of the model whose weights these are; None where the name does not tell.

    >>> original("resnet50", "tv_in1k"), original("ig_resnext101_32x8d", ""), original("resnet50", "a1_in1k")
    ('github.com/pytorch/vision#resnet50', 'github.com/facebookresearch/WSL-Images#resnext101_32x8d_wsl', None)
    """
    if weights:
        repository, name = BY_TAG.get(weights, (None, ""))
        return repository and f"{repository}#{name.format(architecture)}"
    for prefix, (repository, name) in BY_PREFIX.items():
        if architecture.startswith(prefix):
            return f"{repository}#{name.format(architecture.removeprefix(prefix))}"
    return None
