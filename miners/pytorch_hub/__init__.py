"""PyTorch Hub: pages of models, the entry points that their code loads, and what their tables say of these."""
