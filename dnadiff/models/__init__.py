"""Networks in plain PyTorch: attention patterns, the one transformer, and its key-value cache."""
