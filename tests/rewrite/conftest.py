"""The networks of the tests of graphs."""

from tests.graphs.conftest import network  # noqa: F401
