"""Runs an exported file in a Python that has its runtime, and NumPy, but needs nothing of this project.

    python runner.py MODEL THREADS PRECISION [--counters]

loads the model, prints a line of JSON about it, and then answers each line ``IN.npz OUT.npz`` on its standard input:
the arrays of the first are the inputs, those of the second become the outputs, and a line with the seconds is printed,
with --counters also with those of each operator, which OpenVINO alone can tell.
"""

import json
import os
import sys
import time
from typing import Any, Dict

import numpy as np


class OnnxRuntime:
    """An ONNX file in ONNX Runtime."""

    def __init__(self, path: str, threads: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
        self.version = f'onnxruntime {onnxruntime.__version__}'
        self.metadata = self._session.get_modelmeta().custom_metadata_map
        self.inputs = {item.name: item.shape for item in self._session.get_inputs()}
        self._names = [item.name for item in self._session.get_outputs()]

    def run(self, inputs: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        return dict(zip(self._names, self._session.run(None, inputs)))


class OpenVino:
    """An OpenVINO file, .xml with its .bin, in OpenVINO; precision: 'f32' or 'bf16', where the processor has it."""

    def __init__(self, path: str, threads: int, precision: str, counters: bool = False):
        import openvino

        core = openvino.Core()
        model = core.read_model(path)
        settings = {'INFERENCE_PRECISION_HINT': precision, 'INFERENCE_NUM_THREADS': threads, 'PERF_COUNT': counters}
        self._request = core.compile_model(model, 'CPU', settings).create_infer_request()
        self.version = f'openvino {openvino.__version__}'
        about = model.get_rt_info('dcn').value if model.has_rt_info('dcn') else {}
        self.metadata = {key: str(getattr(value, 'value', value)) for key, value in about.items()}
        self.inputs = {item.any_name: _shape(item.partial_shape) for item in model.inputs}
        self._names = [item.any_name for item in model.outputs]

    def run(self, inputs: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        results = self._request.infer(inputs)
        return {name: results[name] for name in self._names}

    def counters(self) -> Dict[str, Any]:
        """{operator's name: (type, seconds)} of the last run."""
        found = self._request.profiling_info
        return {entry.node_name: (entry.node_type, entry.real_time.total_seconds()) for entry in found}


def _shape(partial):
    return [item.get_length() if item.is_static else None for item in partial]


def main(path: str, threads: str, precision: str, counters: str = '') -> None:
    """The program, with its arguments."""
    runtime: Any
    try:
        if path.endswith('.xml'):
            runtime = OpenVino(path, int(threads), precision, bool(counters))
        else:
            runtime = OnnxRuntime(path, int(threads))
    except Exception as error:
        print(json.dumps({'error': f'{type(error).__name__}: {error}'}), flush=True)
        return
    about = {'runtime': runtime.version, 'metadata': runtime.metadata, 'inputs': runtime.inputs}
    print(json.dumps(dict(about, python=sys.version.split()[0], numpy=np.__version__)), flush=True)
    for line in sys.stdin:
        given, found = json.loads(line)
        with np.load(given) as arrays:
            inputs = {name: arrays[name] for name in runtime.inputs}
        start = time.perf_counter()
        try:
            outputs = runtime.run(inputs)
        except Exception as error:
            print(json.dumps({'error': f'{type(error).__name__}: {error}'}), flush=True)
            continue
        seconds = time.perf_counter() - start
        np.savez(found, **outputs)
        answer = {'seconds': seconds, **({'counters': runtime.counters()} if counters else {})}
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', sys.argv[2])
    main(*sys.argv[1:])
