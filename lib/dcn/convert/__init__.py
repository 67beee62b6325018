"""Checkpoints of other frameworks and of related networks, turned into what these networks load. NumPy alone."""
