"""timm's published results: accuracy of its models on ImageNet and variants of it, and how fast architectures run."""
