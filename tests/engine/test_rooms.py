"""Arrows between the rooms of the engine point one way, and none leads up and out of it."""

import ast

import pytest

from dcn.paths import ROOT

ROOMS = ('runtime', 'inference', 'tasks', 'training')  # each may import those before it
ENGINE = ROOT / 'lib' / 'dcn' / 'engine'


def imported(path):
    """Names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_imports_only_those_before_it(room):
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for path in (ENGINE / room).glob('*.py'):
        for module in imported(path):
            parts = module.split('.')
            if parts[:2] == ['dcn', 'engine']:
                assert len(parts) > 2 and parts[2] in allowed, f'{path.name} imports {module}'
            assert parts[:2] not in (['dcn', 'cli'], ['dcn', 'showcase']), f'{path.name} imports {module}'


def test_drawing_and_loading_know_no_engine():
    for folder in ('visualize', 'loader'):
        for path in (ROOT / 'lib' / 'dcn' / folder).glob('*.py'):
            above = [name for name in imported(path) if name.startswith(('dcn.engine', 'dcn.showcase', 'dcn.cli'))]
            assert not above, f'{path.name} imports {above}'
