"""The published results: their rows, the experiments behind them, and how a finished run compares."""
