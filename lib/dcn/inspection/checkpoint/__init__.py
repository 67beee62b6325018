"""Checkpoints: tensors, which network they are of, what is wrong with them, differences."""
