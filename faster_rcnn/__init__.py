"""Faster R-CNN and its deformable twin. Importing the package activates the own operators before any graph is built."""

import dcn.operators  # noqa: F401
