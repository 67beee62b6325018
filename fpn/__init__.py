"""Feature pyramid networks and their deformable twin. Importing the package activates the project's operators."""

import dcn.operators  # noqa: F401
