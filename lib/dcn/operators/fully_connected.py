"""Fully connected layers, one after the other with relu between them, on NumPy arrays.

``layers``: [weight (outputs, inputs), bias (outputs,), weight, bias, ...]; x: (R, inputs of the first).
"""

from __future__ import annotations

import numpy as np


def forward(layers: list[np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """[x, outputs of the first layer after relu, ..., outputs of the last layer without relu]."""
    values, last = [x], len(layers) - 2
    for i in range(0, len(layers), 2):
        x = x @ layers[i].T + layers[i + 1]
        x = x if i == last else np.maximum(x, 0)
        values.append(x)
    return values


def backward(
    grad: np.ndarray, layers: list[np.ndarray], values: list[np.ndarray], layer_grads: list[np.ndarray]
) -> np.ndarray:
    """Adds to the gradients ``layer_grads`` of ``layers``; returns that of x. ``grad``: of the last outputs; ``values``
    as forward gave them."""
    for i in reversed(range(0, len(layers), 2)):
        inputs = values[i // 2]
        layer_grads[i] += grad.T @ inputs
        layer_grads[i + 1] += grad.sum(axis=0)
        grad = grad @ layers[i]
        if i:
            grad *= inputs > 0
    return grad
