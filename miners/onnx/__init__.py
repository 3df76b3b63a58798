"""The ONNX Model Zoo: a manifest with pages of the validated models, and statistics of the exported ones."""
