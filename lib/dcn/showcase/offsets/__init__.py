"""``dcn offsets``: what the offsets of a network do to where it looks, measured and drawn (the paper's table 2 and
figures 5 to 7, for any checkpoint)."""
