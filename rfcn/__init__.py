"""R-FCN and Deformable R-FCN. Importing the package activates the project's operators."""

import dcn.operators  # noqa: F401
