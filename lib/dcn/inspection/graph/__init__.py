"""Graphs: layers, totals, receptive fields, differences."""
