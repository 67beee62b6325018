"""From an experiment to checkpoints: the run, the loop, one step, schedule and metrics."""
