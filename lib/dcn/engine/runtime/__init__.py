"""Devices, executors, the folder of a run, progress."""
