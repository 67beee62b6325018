"""Experiments as YAML files: loading, checks, and the table from symbol names to network families."""

from dcn.config.families import SYMBOLS, symbol_class  # noqa: F401
from dcn.config.loading import difference_from_default, load_config, output_folder  # noqa: F401
