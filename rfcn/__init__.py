"""R-FCN and Deformable R-FCN. Importing the package activates the own operators before any graph is built."""

import dcn.operators  # noqa: F401
