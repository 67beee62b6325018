"""Draws boxes, classes of pixels, sampling points and parts on images, and nothing else."""

PICTURES = 200  # of a data set's first images, at most, where a command draws them
