"""What must run in a process of its own: bad inputs (they may crash it), other environments, other numbers of threads.

python -m tests.operators.worker bad [NAME]      bad inputs, from NAME on; a line of JSON before and after each
python -m tests.operators.worker results FILE    saves outputs and gradients of all operators, to be compared bit
                                                 for bit
python -m tests.operators.worker together        keeps several operators busy at once, and prints 'done'
python -m tests.operators.worker json            which operators are active, and the JSON of graphs that use them
python -m tests.operators.worker isa             the instruction set of the project's operators
"""

import json
import os
import subprocess
import sys
import threading

import numpy as np

import dcn.operators
from dcn.operators import pooling
from tests.operators import bad_inputs, cases

TIMEOUT = 120  # seconds; a worker needs 3 to 10, and one that hangs needs for ever


def start(repository, *arguments, **environment):
    """Run the worker; the finished process, with text output. Raises subprocess.TimeoutExpired if it hangs."""
    command = [sys.executable, '-m', 'tests.operators.worker'] + list(arguments)
    return subprocess.run(
        command,
        cwd=str(repository),
        env=dict(os.environ, **environment),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


# ---- bad inputs ----


def verdicts(repository):
    """{name: verdict} of all bad inputs. A process that dies is a verdict for the case it was at; the next one goes on
    behind it."""
    found, names = {}, list(bad_inputs.REFUSED) + list(bad_inputs.SURVIVED)
    while len(found) < len(names):
        name = names[len(found)]
        process = start(repository, 'bad', name)
        lines = [json.loads(line) for line in process.stdout.splitlines() if line.startswith('{')]
        found.update((line['name'], line['verdict']) for line in lines if 'verdict' in line)
        if len(found) < len(names):
            found[names[len(found)]] = f'the process ended with status {process.returncode}: {process.stderr[-300:]}'
    return found


def run_bad_inputs(first=None):
    import mxnet as mx

    table = dict(bad_inputs.REFUSED, **bad_inputs.SURVIVED)
    names = list(table)
    for name in names[names.index(first) if first else 0 :]:
        print(json.dumps({'name': name}), flush=True)
        try:
            verdict = table[name]()
        except mx.base.MXNetError as error:
            verdict = f'refused: {error}'
        print(json.dumps({'name': name, 'verdict': verdict}), flush=True)


# ---- bit equality, work at the same time, JSON ----


def every_case():
    """Cases of all of the project's operators: the grid, and one of each at a size that several threads share."""
    for name in list(cases.CONVOLUTIONS) + ['large']:
        for boundary in ('v1', 'v2'):
            yield f'DeformableConvolution, {name}, {boundary}', cases.convolution(name), {'boundary': boundary}
        yield f'ModulatedDeformableConvolution, {name}', cases.convolution(name, modulated=True), {}
    for name in list(cases.POOLINGS) + ['large']:
        yield f'DeformablePSROIPooling, {name}', cases.deformable_pooling(name), {}
        yield f'DeformablePSROIPooling, {name}, no trans', cases.deformable_pooling(name, no_trans=True), {}
        yield f'PSROIPooling, {name}', cases.pooling(name), {}
        yield f'ROIPooling, {name}', cases.integer_pooling(name), {}


def save_results(path):
    results = {}
    for name, case, attributes in every_case():
        out, grads = cases.run(case, **attributes)
        results[f'{name}: output'] = out
        results.update((f'{name}: gradient of {key}', value) for key, value in grads.items())
    np.savez(path, **results)


def run_together():
    """Independent executors whose operators the engine runs at the same time, nobody waits before the end; beside them
    a Python thread calls the C interface."""
    import mxnet as mx

    executors, beside = [], threading.Thread(target=pool_through_the_c_interface)
    for case in [cases.convolution('large')] * 4 + [cases.deformable_pooling('large'), cases.pooling('large')]:
        arrays = {name: mx.nd.array(array) for name, array in case.inputs.items()}
        held = {name: mx.nd.zeros(array.shape) for name, array in case.inputs.items()}
        executors.append((cases.symbol(case).bind(mx.cpu(), arrays, args_grad=held), mx.nd.array(case.out_grad)))
    beside.start()
    for _ in range(5):
        for executor, out_grad in executors:
            executor.forward(is_train=True)
            executor.backward([out_grad])
    mx.nd.waitall()
    beside.join()
    print('done')


def pool_through_the_c_interface():
    """Forward and backward again and again, with threads of their own, while the engine's workers are busy."""
    inputs = cases.integer_pooling('large').inputs
    kernel = pooling.RoiPooling(7, 1 / 16)
    for _ in range(20):
        out = kernel.forward(inputs['data'], inputs['rois'])
        kernel.backward(out, inputs['data'], inputs['rois'], np.zeros_like(inputs['data']))


def graphs():
    """{name: JSON} of graphs of one operator each."""
    drawn = {f'DeformableConvolution, {name}': cases.convolution(name) for name in cases.CONVOLUTIONS}
    drawn.update(
        (f'ModulatedDeformableConvolution, {name}', cases.convolution(name, modulated=True))
        for name in cases.CONVOLUTIONS
    )
    for name in cases.POOLINGS:
        drawn[f'DeformablePSROIPooling, {name}'] = cases.deformable_pooling(name)
        drawn[f'DeformablePSROIPooling, {name}, no trans'] = cases.deformable_pooling(name, no_trans=True)
        drawn[f'PSROIPooling, {name}'] = cases.pooling(name)
    return {name: cases.symbol(case).tojson() for name, case in drawn.items()}


def print_graphs():
    print(json.dumps({'status': dcn.operators.status(), 'graphs': graphs()}))


def print_instruction_set():
    print(dcn.operators.native.instruction_set())


if __name__ == '__main__':
    tasks = {
        'bad': run_bad_inputs,
        'results': save_results,
        'together': run_together,
        'json': print_graphs,
        'isa': print_instruction_set,
    }
    tasks[sys.argv[1]](*sys.argv[2:])
