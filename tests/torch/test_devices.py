"""The memory of the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('torch')
LARGE_PAGES = Path('/sys/kernel/mm/transparent_hugepage/enabled')
# page faults of a map of 128 MB
CODE = """
import resource
import dcn.torch
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(32 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    not LARGE_PAGES.exists() or '[never]' in LARGE_PAGES.read_text(), reason='this system has no large pages'
)
def test_large_maps_lie_in_large_pages():
    done = subprocess.run([sys.executable, '-c', CODE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 128 << 20 >> 12 >> 2, 'a quarter of what pages of 4 KB take'
