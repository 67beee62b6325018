"""Files on NumPy alone: ``.params`` checkpoints and symbol JSON, read and written without MXNet."""
