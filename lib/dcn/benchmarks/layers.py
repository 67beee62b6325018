"""``dcn bench layers``: the convolutions of a network one by one, as this engine runs them and, with ``--peers``, in
OpenVINO: MXNet's profiler beside OpenVINO's counters, layers of one kind and size together.

The engine runs one operator after the other here, which costs it nothing: on a CPU there is one of a network at a time.
"""

from __future__ import annotations

import collections
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

from dcn.benchmarks import networks as bench_networks
from dcn.benchmarks import report as bench_report
from dcn.benchmarks.networks import BFLOAT16, CASES, Network
from dcn.benchmarks.rounds import chosen
from dcn.errors import UserError
from dcn.export.runtime import Runtime, runtime_python
from dcn.files import atomic_write
from dcn.formats import symbol_json
from dcn.formats.operators import input_names
from dcn.paths import ROOT
from dcn.rewrite.onednn import FUSED
from dcn.rewrite.winograd import WINDOW, WINOGRAD
from dcn.text import table

WORDS = {
    FUSED: 'direct',
    WINOGRAD: 'Winograd',
    'Convolution': 'direct',
    '_contrib_DeformableConvolution': 'deformable',
    '_contrib_ModulatedDeformableConvolution': 'deformable',
}


class Layer(NamedTuple):
    """A convolution; maps are what it gives. operator: 'direct', 'Winograd' or 'deformable'."""

    operator: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilate: tuple[int, int]
    channels: int
    filters: int
    map: tuple[int, int]


def run(only: str, rounds: int, path: str | None, folder: str | None = None, cases: dict[str, Network] = CASES) -> None:
    """Print a table of the layers of each case whose name contains ``only``, and write them as JSON to ``path``.

    folder: of the environment of OpenVINO, which is left out without it.
    """
    names = chosen(cases, only, rounds)
    names = [name for name in names if not cases[name].training and BFLOAT16 not in cases[name].changes]
    if not names:
        raise UserError(
            f'--only {only}: expected a case that is tested, found training steps or bfloat16 alone; '
            'see dcn bench networks'
        )
    if folder is not None:
        runtime_python('openvino', folder)  # or a sentence that says how to get it
    os.environ.setdefault('OMP_NUM_THREADS', str(len(os.sched_getaffinity(0))))
    machine, found = bench_report.machine(), []
    print(f'{bench_report.where(machine)}; medians of {rounds} runs, milliseconds')
    for name in names:
        print(f'timing {name}', file=sys.stderr, flush=True)
        case = dict(_own(cases[name], rounds), case=name)
        if folder is not None:
            case['openvino'] = _openvino(cases[name], rounds, folder)
        found.append(case)
        print('\n'.join(['', name, *lines(case)]))
    if path:
        with atomic_write(path, 'w') as stream:
            json.dump(dict(machine=machine, runs=rounds, cases=found), stream, indent=1)


def lines(case: dict[str, Any]) -> list[str]:
    """Two tables of {layers {name: (Layer, seconds)}, openvino {layers {name: seconds}} if any}: layers of one kind and
    size, the slowest first; and those of one kind."""
    sizes, kinds = collections.defaultdict(list), collections.defaultdict(list)
    for name, (layer, seconds) in case['layers'].items():
        times = [seconds, *([case['openvino']['layers'].get(name)] if 'openvino' in case else [])]
        sizes[_kind(layer), f'{layer.channels} to {layer.filters}', 'x'.join(map(str, layer.map))].append(times)
        kinds[_kind(layer)].append(times)
    columns = ('layers', 'own', *(('OpenVINO', 'own / OpenVINO') if 'openvino' in case else ()))
    rows = [(*what, *_compared(times)) for what, times in _slowest(sizes)]
    found = table(('kind', 'filters', 'map', *columns), rows, right=(3, 4, 5, 6))
    rows = [(what, *_compared(times)) for what, times in [*_slowest(kinds), ('all', sum(kinds.values(), []))]]
    return [*found, '', *table(('kind', *columns), rows, right=(1, 2, 3, 4))]


def _kind(layer):
    """In words."""
    text = f'{layer.operator} {"x".join(map(str, layer.kernel))}'
    text += f', stride {layer.stride[0]}' * (layer.stride != (1, 1))
    return text + f', dilated {layer.dilate[0]}' * (layer.dilate != (1, 1))


def _slowest(groups):
    return sorted(groups.items(), key=lambda item: -sum(times[0] for times in item[1]))


def _compared(times):
    """Cells for [(own seconds, other's or None, if any), ...]."""
    own, *others = zip(*times)
    cells = [len(times), f'{sum(own) * 1e3:.1f}']
    for other in others:
        known = None not in other
        cells += [f'{sum(other) * 1e3:.1f}', f'{sum(own) / sum(other):.2f}'] if known else ['-', '-']
    return cells


def _own(network, rounds):
    """{layers {name: (Layer, seconds)}}, from a process of its own."""
    done = subprocess.run(
        [sys.executable, '-m', 'dcn.benchmarks.layers', json.dumps([network, rounds])],
        cwd=str(ROOT),
        env=dict(os.environ, MXNET_ENGINE_TYPE='NaiveEngine', MXNET_EXEC_BULK_EXEC_INFERENCE='0'),
        capture_output=True,  # MXNet tells of the engine there
        text=True,
    )
    if done.returncode:
        why = done.stderr.strip() or f'status {done.returncode}'
        raise UserError(f'the process that times the layers ended: {why.splitlines()[-1]}')
    answer = json.loads(done.stdout.splitlines()[-1])
    for name, (layer, seconds) in answer['layers'].items():
        answer['layers'][name] = Layer(*(tuple(x) if isinstance(x, list) else x for x in layer)), seconds
    return answer


def _openvino(network, rounds, folder):
    """{layers {name: seconds}, version} of the exported file."""
    with tempfile.TemporaryDirectory() as scratch:
        path = bench_networks.exported(network, 'openvino', scratch, folder)
        with Runtime(path, folder, int(os.environ['OMP_NUM_THREADS']), counters=True) as runtime:
            photo, samples = {'image': bench_networks.photo_of(network.size)}, []
            for _ in range(rounds + 1):  # the first allocates and compiles
                runtime.run(photo)
                samples.append(runtime.counters)
            layers = {}
            for name, (kind, _) in samples[-1].items():
                if 'Convolution' in kind:
                    seconds = statistics.median(sample[name][1] for sample in samples[1:])
                    layers[name.partition('/')[0]] = seconds
            return dict(layers=layers, version=runtime.about['runtime'])


def measured(network: Network, rounds: int) -> dict[str, Any]:
    """What `_own` reads, in a process whose engine runs one operator after the other."""
    from mxnet import profiler

    def run():
        executor = tester.predictor.start(inputs)
        tester.predictor.collect(executor)
        return executor

    tester = bench_networks.tester(network)
    inputs, _ = tester.inputs(bench_networks.photo_of(network.size))
    run()
    executor = run()
    with tempfile.TemporaryDirectory() as scratch:
        trace = os.path.join(scratch, 'trace.json')
        kinds = ('profile_imperative', 'profile_api', 'profile_memory')
        profiler.set_config(profile_symbolic=True, **dict.fromkeys(kinds, False), filename=trace)
        profiler.set_state('run')
        for _ in range(rounds):
            run()
        profiler.set_state('stop')
        profiler.dump()
        with open(trace, encoding='utf-8') as stream:
            times = _times(json.load(stream)['traceEvents'])
    layers = {}
    for operator, found in _layers(executor, tester.symbol).items():
        samples = times[operator]
        if len(samples) != rounds * len(found):
            raise UserError(f'{operator}: expected {rounds * len(found)} timings, found {len(samples)}')
        for k, (name, layer) in enumerate(found):
            layers[name] = layer, statistics.median(samples[k :: len(found)])
    return dict(layers=layers)


def _times(events):
    """{operator: [seconds, ...]} in the order in which they ran, of a trace: a 'B' where each begins, then its 'E'."""
    begun, calls, found = {}, [], collections.defaultdict(list)
    for event in events:
        if event['ph'] == 'B':
            begun[event['name']] = event['ts']
        elif event['ph'] == 'E':
            calls.append((begun.pop(event['name']), event['ts'], event['name']))
    for start, end, name in sorted(calls, key=lambda call: call[0]):
        found[name].append((end - start) * 1e-6)
    return found


def _layers(executor, published):
    """{operator: [(its name in the ``published`` symbol, Layer), ...]} in the order of the bound graph."""
    names = collections.defaultdict(list)
    for _, name, weight, layer in _convolutions(published, executor):
        names[weight, layer.map].append(name)
    found = collections.defaultdict(list)
    for operator, _, weight, layer in _convolutions(executor._symbol, executor):
        # weights keep their names; layers that share some have maps of different sizes
        found[operator].append((names[weight, layer.map].pop(0), layer))
    return found


def _convolutions(symbol, executor):
    """[(operator, name, name of the weight, Layer), ...] of a symbol, for the input sizes of an executor."""
    graph, internals = symbol_json.loads(symbol.tojson()), symbol.get_internals()
    known = set(symbol.list_arguments())
    given = {name: array.shape for name, array in executor.arg_dict.items() if name in known}
    shape_of = dict(zip(internals.list_outputs(), internals.infer_shape(**given)[1]))
    found = []
    for node in graph.nodes:
        if node.op not in WORDS:
            continue
        inner = next(n for n in node.subgraphs[0].nodes if n.op == 'Convolution') if node.op == FUSED else node
        slots = input_names(inner.op, inner.attrs) or ('data', 'weight')
        data, weight = (graph.nodes[node.inputs[slots.index(slot)][0]].name for slot in ('data', 'weight'))
        window = WINDOW if node.op == WINOGRAD else inner.typed_attrs.window()
        source, result = shape_of.get(f'{data}_output', shape_of.get(data)), shape_of[f'{node.name}_output']
        layer = Layer(WORDS[node.op], window[0], window[1], window[3], source[1], result[1], result[2:])
        found.append((node.op, node.name, weight.partition('_weight')[0], layer))
    return found


if __name__ == '__main__':
    _network, _rounds = json.loads(sys.argv[1])
    print(json.dumps(measured(Network(*_network), _rounds)))
