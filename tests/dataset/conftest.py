"""The small trees, for the tests of this room."""

from tests.dataset.trees import coco, tree  # noqa: F401
