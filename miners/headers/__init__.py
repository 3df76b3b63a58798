"""Headers of weight files -> tensors and facts, read in a few small pieces; weights are never loaded."""
