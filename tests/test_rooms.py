"""The rooms of the library and the arrows between them, drawn from the import statements (those within functions too).

An arrow may point to the same row or to a lower one; no two modules import each other around a circle; nothing outside
tests imports tests. Beside them one habit of all rooms: public functions have type hints.
"""

import ast

import pytest

ROWS = (
    # what everybody may use
    (
        'errors',
        'files',
        'rng',
        'text',
        'paths',
        'peers',
        'gpu_libraries',
        'compiled',
        'world',
        'optimizer',
        'ledger',
        'history',
        'webpage',
    ),
    ('bbox', 'nms', 'config', 'formats', 'launch'),
    ('symbols', 'rewrite', 'inspection'),
    ('torch', 'loader', 'evaluation', 'dataset', 'networks', 'operators', 'checkpoint', 'visualize'),
    ('engine',),
    ('cli', 'showcase', 'paper', 'export', 'convert', 'benchmarks'),
    ('rfcn', 'faster_rcnn', 'fpn', 'deeplab'),
)
HEIGHT = {room: height for height, row in enumerate(ROWS) for room in row}
FAMILIES = ROWS[-1]

# What is still to be mended: nothing may be added, and what is mended leaves these lists.
ROOM_CIRCLES = set()
UPWARD = set()


def modules(repository):
    """{dotted name, for the library without 'dcn.': path} of the library and the family packages."""
    found = {}
    for source, package in (('lib', 'dcn'), *(('', family) for family in FAMILIES)):
        for path in sorted((repository / source / package).rglob('*.py')):
            parts = path.relative_to(repository / source).with_suffix('').parts
            name = '.'.join(part for part in parts if part != '__init__')
            found[name[len('dcn.') :] if package == 'dcn' else name] = path
    return found


def imported(path):
    """Dotted names that a file imports: modules, and names within modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


@pytest.fixture(scope='module')
def arrows(repository):
    """{module: modules of the library and of the families that it imports}."""
    known = modules(repository)
    found = {}
    for name, path in known.items():
        targets = set()
        for target in imported(path):
            if room(target) not in ('dcn', *FAMILIES):
                continue  # others' packages, some of which have a room's name
            target = target[len('dcn.') :] if target.startswith('dcn.') else target
            while target not in known and '.' in target:
                target = target.rpartition('.')[0]
            if target in known:
                targets.add(target)
        found[name] = targets - {name}
    return found


def room(module):
    return module.partition('.')[0]


def circles(graph):
    """The names from which a way leads back to themselves."""
    return sorted(name for name in graph if name in reached(graph, name))


def reached(graph, start):
    """All that can be reached from a name, which is among them only where a way leads back."""
    found, waiting = set(), [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def test_every_room_has_its_row(repository):
    assert {room(name) for name in modules(repository)} - {'dcn', ''} <= set(HEIGHT)


def test_no_arrow_points_upward(arrows):
    upward = {
        (name, room(target))
        for name, targets in arrows.items()
        for target in targets
        if HEIGHT.get(room(target), 0) > HEIGHT.get(room(name), 0)
    }
    assert upward <= UPWARD


def test_no_modules_import_each_other_in_a_circle(arrows):
    assert circles(arrows) == []


def test_no_rooms_import_each_other_in_a_circle(arrows):
    rooms = {}
    for name, targets in arrows.items():
        rooms.setdefault(room(name), set()).update(room(target) for target in targets if room(target) != room(name))
    assert set(circles(rooms)) <= ROOM_CIRCLES


def test_inspection_finds_first_and_says_last(arrows):
    """graph and checkpoint know nothing of render."""
    found = {name for name in arrows if name.startswith(('inspection.graph', 'inspection.checkpoint'))}
    assert found and not any(target.startswith('inspection.render') for name in found for target in arrows[name])


def test_circles_are_seen():
    graph = {'a': {'b'}, 'b': {'c'}, 'c': {'b', 'd'}, 'd': set(), 'e': {'a'}}
    assert circles(graph) == ['b', 'c']
    assert circles({'a': {'b'}, 'b': set()}) == []


def test_nothing_outside_tests_imports_tests(repository):
    """tools/ runs them in processes of their own."""
    folders = ('lib', *FAMILIES, 'experiments', 'operator_cxx', 'tools')
    paths = [path for folder in folders for path in (repository / folder).rglob('*.py')]
    assert paths
    assert [str(path) for path in paths if any(room(name) == 'tests' for name in imported(path))] == []


def without_hints(body, owner=''):
    """Names of the public functions and methods among the statements ``body`` that lack the hint of an argument or of
    the result, which an __init__ needs only where it has no arguments."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
            yield from without_hints(node.body, f'{node.name}.')
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.name.startswith('_') and node.name not in ('__init__', '__call__'):
                continue
            given, static = node.args, any(getattr(each, 'id', '') == 'staticmethod' for each in node.decorator_list)
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs][bool(owner) and not static :]
            hints = [each.annotation for each in (*arguments, given.vararg, given.kwarg) if each]
            if None in hints or (node.returns is None and not (node.name == '__init__' and hints)):
                yield owner + node.name


def test_public_functions_have_type_hints(repository):
    missing, paths = [], []
    for folder in ('lib/dcn', *FAMILIES, 'operator_cxx', 'tools'):
        paths += (path.relative_to(repository) for path in (repository / folder).rglob('*.py'))
    for path in paths:
        if 'build' not in path.parts:  # where others' packages may lie
            body = ast.parse((repository / path).read_text(encoding='utf-8')).body
            missing += [f'{path}: {name}' for name in without_hints(body)]
    assert paths and missing == []


def test_missing_hints_are_seen():
    source = """
def a(x): pass
def b(x: int) -> int: pass
def _c(x): pass
class D:
    def __init__(self): pass
    def e(self, *x: int): pass
    @staticmethod
    def f(x) -> int: pass
    def g(self, x: int) -> int: pass
class H:
    def __init__(self, x: int): pass
    def __call__(self, **x) -> int: pass
"""
    assert list(without_hints(ast.parse(source).body)) == ['a', 'D.__init__', 'D.e', 'D.f', 'H.__call__']


def test_contributing_names_every_room(repository):
    page = (repository / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    rooms = {room(name) for name in modules(repository)} - {'dcn', ''}
    assert [name for name in sorted(rooms) if f'`{name}`' not in page and f'`{name}.py`' not in page] == []
