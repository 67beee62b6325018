"""What the families' symbol classes share: a configuration taken apart into plain arguments of dcn.symbols."""
