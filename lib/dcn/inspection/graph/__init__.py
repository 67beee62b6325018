"""Graphs: layers, totals, receptive fields, pairs of nodes."""
