"""The notebook docs/first-look.ipynb: its code cells, one after the other, as a program in a folder of its own."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest


@pytest.fixture
def notebook(repository):
    return json.loads((repository / 'docs' / 'first-look.ipynb').read_text(encoding='utf-8'))


def test_every_cell_runs(notebook, repository, tmp_path):
    cells = [''.join(cell['source']) for cell in notebook['cells'] if cell['cell_type'] == 'code']
    # what a cell ends with is shown by the notebook; here it must be a picture where it is meant to be one
    shown = [cell.rpartition('\n')[2] for cell in cells if cell.rpartition('\n')[2].startswith('picture(')]
    assert len(shown) == 4
    for number, cell in enumerate(cells):
        body, _, last = cell.rpartition('\n')
        if last.startswith('picture('):
            cells[number] = f'{body}\nshown = {last}\nshown.save("{number}.png")'
    program = tmp_path / 'cells.py'
    program.write_text('\n\n'.join(cells), encoding='utf-8')
    paths = [str(repository / 'lib'), str(repository)]
    process = subprocess.run(
        [sys.executable, str(program)],
        cwd=str(tmp_path),
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(paths)),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    for path in tmp_path.glob('*.png'):
        assert len(np.unique(cv2.imread(str(path)).reshape(-1, 3), axis=0)) > 100
    assert len(list(tmp_path.glob('*.png'))) == 4
    assert ' points' in process.stdout and 'largest difference' in process.stdout


def test_the_notebook_is_kept_without_outputs(notebook):
    """Outputs change with every run; they would hide what a commit changes."""
    assert notebook['nbformat'] == 4
    for cell in notebook['cells']:
        assert cell['cell_type'] == 'markdown' or cell['outputs'] == [] and cell['execution_count'] is None
