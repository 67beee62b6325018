"""Where the project's own files lie; the only place that knows how the folders are laid out."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / 'experiments'
OPERATOR_CXX = ROOT / 'operator_cxx'
