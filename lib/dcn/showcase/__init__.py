"""Runs networks to make pictures and pages of what they do."""
