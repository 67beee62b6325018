"""What all tests share: the environment that MXNet reads at import time, the option --full, the operators on demand."""

import collections
import importlib
import os
import sys
from pathlib import Path

import pytest

from dcn import gpu_libraries

# Read by MXNet at import time, which happens in fixtures and tests, after this file.
os.environ.setdefault('OMP_NUM_THREADS', str(len(os.sched_getaffinity(0))))
os.environ.setdefault('MXNET_SUBGRAPH_BACKEND', 'NONE')
# tests that import MXNet before dcn.operators find the CUDA libraries of its GPU build; nothing happens for the other
gpu_libraries.preload()


def pytest_addoption(parser):
    parser.addoption('--full', action='store_true', help="also run the tests marked 'full': real sizes and long runs")


def pytest_collection_modifyitems(config, items):
    if config.getoption('--full'):
        return
    skip = pytest.mark.skip(reason='real sizes and long runs: needs --full')
    for item in items:
        if 'full' in item.keywords:
            item.add_marker(skip)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Logs of tests with hostile names hold halves of surrogates, which no report can carry from worker to worker."""
    outcome = yield
    report = outcome.get_result()
    report.sections = [(title, text.encode('utf-8', 'backslashreplace').decode()) for title, text in report.sections]


def pytest_terminal_summary(terminalreporter):
    """What was skipped and why, one line a reason."""
    reasons = collections.Counter()
    for report in terminalreporter.stats.get('skipped', []):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason[len('Skipped: ') :] if reason.startswith('Skipped: ') else reason] += 1
    if reasons:
        terminalreporter.section('skipped')
    for reason, count in reasons.most_common():
        terminalreporter.line(f'{count:5d}  {reason}')


@pytest.fixture(scope='session')
def operators():
    """The package dcn.operators, with its operators active in MXNet. Tests that do without it run without MXNet."""
    import dcn.operators

    return dcn.operators


@pytest.fixture(scope='session')
def repository():
    """The root folder of the project."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def gluoncv():
    """A function: the module of gluoncv that has this name, 'utils.metrics.segmentation'; skips where there is none."""

    def load(name):
        # gluoncv takes a PyTorch of its own time only, and refuses to load beside a newer one
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, 'torch', None)
            try:
                return importlib.import_module('gluoncv.' + name)
            except ImportError:
                pytest.skip(f'gluoncv.{name} cannot be imported')

    return load
