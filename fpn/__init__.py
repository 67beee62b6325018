"""Feature pyramid networks and their deformable twin. Importing the package activates the own operators."""

import dcn.operators  # noqa: F401
