"""Exported files in their own runtimes, each in a process and, where need be, an environment of its own."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from dcn.errors import UserError
from dcn.export import runner
from dcn.files import named, require_room
from dcn.peers import python_of

PACKAGES = {'.onnx': 'onnxruntime', '.xml': 'openvino'}
LONGEST = 600.0  # seconds that loading a file may take


def certificate_paths(path: str) -> Tuple[str, str]:
    """Where the certificate of the file ``path`` is kept: JSON, and text."""
    stem = os.path.splitext(path)[0]
    return f'{stem}.certificate.json', f'{stem}.certificate.txt'


class Runtime:
    """An exported file, loaded: ``run(inputs)`` gives {name: array} and the seconds. Close it, or use ``with``.

    path: a .onnx or .xml file; peers: folder of environments (lib/dcn/peers.py makes them), or None for this Python;
    precision: of OpenVINO, 'f32' or 'bf16'; counters: whether OpenVINO times each of its operators. ``about``: runtime,
    its version, the file's metadata, inputs {name: shape}; ``pid``: its process; ``counters``: {operator's name:
    (type, seconds)} of the last run, where asked for.
    """

    def __init__(
        self,
        path: str,
        peers: Optional[str] = None,
        threads: int = 1,
        precision: str = 'f32',
        counters: bool = False,
    ):
        package = PACKAGES.get(os.path.splitext(path)[1])
        if package is None:
            raise UserError(f'{path}: expected a file .onnx or .xml, as dcn export writes them; name one of those')
        if not os.path.isfile(path):
            raise UserError(f'{path}: no such file; dcn export writes one')
        self.path = path
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [
                str(runtime_python(package, peers)),
                runner.__file__,
                os.path.abspath(path),
                str(threads),
                precision,
                *['--counters'] * counters,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_environment(),
            cwd=self._folder.name,
        )
        self._requests: Any = self._process.stdin
        self._answers: Any = self._process.stdout
        self.pid = self._process.pid
        self.about = self._loaded()
        self.counters: Dict[str, Any] = {}

    def run(self, inputs: Mapping[str, np.ndarray]) -> Tuple[Dict[str, np.ndarray], float]:
        """Outputs {name: array} for ``inputs`` {name: array}, and the seconds that the runtime took."""
        given, found = (os.path.join(self._folder.name, name) for name in ('in.npz', 'out.npz'))
        with named(given):
            np.savez(given, **inputs)
        self._requests.write(json.dumps([given, found]) + '\n')
        self._requests.flush()
        answer = self._answer()
        self.counters, seconds = answer.get('counters', {}), answer['seconds']
        with np.load(found) as arrays:
            return {name: arrays[name] for name in arrays.files}, seconds

    def close(self) -> None:
        """End its process."""
        self._requests.close()
        self._process.wait()
        self._answers.close()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _loaded(self):
        """The first answer, or an error where none comes: a runtime may go on for ever to simplify a graph."""
        limit = threading.Timer(LONGEST, self._process.kill)
        limit.start()
        try:
            return self._answer()
        except UserError:
            if limit.is_alive():
                raise
            raise UserError(
                f'{self.path}: the runtime has not loaded it after {LONGEST:.0f} s; report it, and use '
                'another version of the runtime meanwhile'
            ) from None
        finally:
            limit.cancel()

    def _answer(self):
        line = self._answers.readline()
        answer = json.loads(line) if line else {'error': f'the process ended with status {self._process.wait()}'}
        if 'error' in answer:
            raise UserError(f'{self.path}: the runtime rejects it: {" ".join(answer["error"].split())[:300]}')
        return answer


def to_openvino(model: Any, path: str, half: bool, peers: Optional[str] = None) -> None:
    """Write the ModelProto ``model`` as the OpenVINO file ``path`` (.xml) with its .bin, whole or not at all."""
    python = runtime_python('openvino', peers)
    script = os.path.join(os.path.dirname(runner.__file__), 'to_openvino.py')
    settings = {'metadata': {entry.key: entry.value for entry in model.metadata_props}, 'half': half}
    target = os.path.dirname(os.path.abspath(path))
    os.makedirs(target, exist_ok=True)
    with named(path), tempfile.TemporaryDirectory(dir=target, prefix='.openvino') as folder:
        source, made = (os.path.join(folder, name) for name in ('net.onnx', 'net.xml'))
        with open(source, 'wb') as stream:
            stream.write(model.SerializeToString())
        done = subprocess.run(
            [str(python), script, source, made],
            input=json.dumps(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_environment(),
        )
        lines = done.stdout.strip().splitlines()
        answer = json.loads(lines[-1]) if lines else {'error': f'the process ended with status {done.returncode}'}
        if 'error' in answer:
            require_room(target, 'OUT')  # OpenVINO does not say that a disk is full
            raise UserError(f'{path}: OpenVINO does not take it: {" ".join(answer["error"].split())[:300]}')
        stem = os.path.splitext(path)[0]
        for ending in ('.bin', '.xml'):
            os.replace(os.path.splitext(made)[0] + ending, stem + ending)


def _environment():
    """The environment without this project, which the runtimes must do without."""
    return {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}


def runtime_python(package: str, peers: Optional[str] = None) -> Any:
    """The interpreter that has ``package``, or one sentence that tells how to get one."""
    if peers is None:
        if importlib.util.find_spec(package) is not None:
            return sys.executable
        raise UserError(
            f'{package} is not installed here, and the file cannot be checked without it; make an environment for it, '
            f'python {os.path.join("lib", "dcn", "peers.py")} --make DIR {package}, and add --peers DIR'
        )
    python = python_of(peers, package)
    if not python.is_file():
        raise UserError(
            f'{python}: no such interpreter; make it with: '
            f'python {os.path.join("lib", "dcn", "peers.py")} --make {peers} {package}'
        )
    return python
