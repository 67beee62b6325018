"""Faster R-CNN and its deformable twin. Importing the package activates the project's operators."""

import dcn.operators  # noqa: F401
