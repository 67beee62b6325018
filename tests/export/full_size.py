"""The work of tools/export_check.py: full-size networks on filled parameters, exported and compared."""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

from dcn.config import load_config
from dcn.engine import task_of
from dcn.export import certificate
from dcn.export.model import Options, onnx_model, options_for
from dcn.export.runtime import PACKAGES, Runtime, to_openvino
from dcn.export.trained import open_trained
from dcn.formats import params
from dcn.paths import in_project
from dcn.text import markdown_table
from tests.graphs.filling import parameter

FILES = {
    'rfcn': 'rfcn/cfgs/resnet_v1_101_{}_rfcn{}_end2end_ohem.yaml',
    'rcnn': 'faster_rcnn/cfgs/resnet_v1_101_{}_rcnn{}_end2end.yaml',
    # the other two files are the same networks, tested at six scales and with soft-NMS
    'fpn': 'fpn/cfgs/resnet_v1_101_{}_fpn{}_end2end_ohem.single_scale.yaml',
    'deeplab': 'deeplab/cfgs/deeplab_resnet_v1_101_{}_segmentation_{}.yaml',
}
DATA = {
    'rfcn': ('voc0712', 'coco_trainval'),
    'rcnn': ('voc0712', 'coco_trainval'),
    'fpn': ('coco_trainval',),
    'deeplab': ('voc12', 'cityscapes'),
}
KINDS = {'rfcn': ('', '_dcn'), 'rcnn': ('', '_dcn'), 'fpn': ('', '_dcn'), 'deeplab': ('base', 'dcn')}
# name -> YAML file
NETWORKS = {
    f'{family}-{data.split("_")[0]}{"-dcn" if "dcn" in kind else ""}': FILES[family].format(data, kind)
    for family in FILES
    for data in DATA[family]
    for kind in KINDS[family]
}
ENDINGS = {'onnx': '.onnx', 'openvino': '.xml'}
COMMAND = 'import sys; from dcn.cli import main; sys.exit(main())'
POLL = 0.2  # seconds


class Remembering(certificate.Engine):
    """The engine, which runs each image once for all files."""

    def __init__(self, *args):
        super().__init__(*args)
        self._found = {}

    def run(self, inputs):
        key = hashlib.sha256(inputs['data'].tobytes()).digest()
        if key not in self._found:
            self._found[key] = super().run(inputs)
        return self._found[key]


def main(argv=None):
    parser = argparse.ArgumentParser(prog='export_check.py', description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'networks (default all): {", ".join(NETWORKS)}')
    parser.add_argument('--peers', metavar='DIR', help='folder of environments for the runtimes')
    parser.add_argument('--to', nargs='+', choices=sorted(ENDINGS), default=sorted(ENDINGS), help='formats')
    parser.add_argument('--images', type=int, default=3, metavar='N', help='images of each network (default 3)')
    parser.add_argument('--scale', nargs=2, type=int, metavar=('SHORT', 'LONG'), help="instead of the file's own")
    parser.add_argument('--measure', action='store_true', help='make the files by dcn export; its time and memory')
    parser.add_argument('--json', metavar='FILE', help='add a line for each network and format')
    args = parser.parse_args(argv)
    unknown = set(args.names) - set(NETWORKS)
    if unknown:
        parser.error(f'unknown network {", ".join(sorted(unknown))}; there are {", ".join(NETWORKS)}')
    rows = []
    for name in args.names or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            for found in check(name, folder, args):
                rows.append(found)
                print(json.dumps({key: value for key, value in found.items() if key != 'left'}), flush=True)
                if args.json:
                    with open(args.json, 'a') as stream:
                        stream.write(json.dumps(found) + '\n')
    print('\n'.join(markdown_table(HEAD, [row_of(found) for found in rows])))
    return 0 if all(found['equal'] for found in rows) else 1


def check(name, folder, args):
    """What there is to say of each file of the network ``name``, as dicts."""
    cfg_path, path = in_project(f'experiments/{NETWORKS[name]}'), os.path.join(folder, 'net-0000.params')
    # segmentation is tested at the size that it is trained at
    key = 'SCALES=[{},{}]' if name.startswith('deeplab') else 'TEST_SCALES=[[{},{}]]'
    settings = [key.format(*args.scale)] if args.scale else []
    cfg = load_config(cfg_path, settings)
    fill(cfg, path)
    trained = open_trained(cfg_path, path, settings)
    options = dict(stage='boxes', preprocessing=True)
    engine = Remembering(cfg, path, Options().threshold)
    for to in args.to:
        target = os.path.join(folder, 'net' + ENDINGS[to])
        made = export(cfg_path, path, settings, to, target, args.peers) if args.measure else {}
        if not made:
            model = onnx_model(trained, options_for(PACKAGES[ENDINGS[to]], **options))
            if to == 'openvino':
                to_openvino(model, target, False, args.peers)
            else:
                with open(target, 'wb') as stream:
                    stream.write(model.SerializeToString())
            del model
        with Runtime(target, args.peers) as runtime:
            found = certificate.compare(runtime, trained, path, args.images, log=lambda line: None, engine=engine)
        yield {'network': name, 'to': to, 'scale': args.scale, **made, **summary(found)}


def fill(cfg, path):
    """A checkpoint of the test network of ``cfg``, each value by a rule of its parameter's name."""
    graph = task_of(cfg, is_train=False).test_graph()
    shapes, _, state_shapes = graph.symbol.infer_shape(**graph.inputs)
    named = zip(graph.symbol.list_arguments(), shapes), zip(graph.symbol.list_auxiliary_states(), state_shapes)
    arrays = {
        f'{prefix}:{key}': parameter(key, shape)
        for prefix, group in zip(('arg', 'aux'), named)
        for key, shape in group
        if key not in graph.inputs and not key.endswith('label')
    }
    params.write(path, arrays)


def export(cfg, path, settings, to, target, peers):
    """Seconds and bytes that ``dcn export`` takes, with the certificate of one image: of the file alone as it says
    itself, of the whole command, and the most that all its processes held at once."""
    command = [sys.executable, '-c', COMMAND, 'export', '--cfg', cfg, '--params', path, '--to', to]
    command += ['--preprocessing', 'inside', '--images', '1', '--force', target]
    command += [*(['--peers', peers] if peers else []), *(['--set', *settings] if settings else [])]
    start = time.time()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peaks = [0]
    watcher = threading.Thread(target=watch, args=(process, peaks))
    watcher.start()
    text, _ = process.communicate()
    watcher.join()
    if process.returncode:
        raise SystemExit(f'dcn {" ".join(command[3:])}: status {process.returncode}')
    (megabytes, seconds) = re.search(r': ([\d.]+) MB, in ([\d.]+) s', text).groups()
    return {
        'megabytes': float(megabytes),
        'export_seconds': float(seconds),
        'command_seconds': round(time.time() - start, 1),
        'peak_gb': round(max(peaks) / 1e9, 2),
    }


def watch(process, peaks):
    """Add to ``peaks`` what a process and those that it started hold together, until it ends."""
    while process.poll() is None:
        peaks.append(sum(map(resident, tree(process.pid))))
        time.sleep(POLL)


def tree(pid):
    found = [pid]
    for process in found:
        try:
            with open(f'/proc/{process}/task/{process}/children') as stream:
                found += map(int, stream.read().split())
        except OSError:
            pass
    return found


def resident(pid):
    """Bytes of memory that a process has; libraries that several share count for each."""
    try:
        with open(f'/proc/{pid}/statm') as stream:
            return os.sysconf('SC_PAGE_SIZE') * int(stream.read().split()[1])
    except OSError:
        return 0


def summary(found):
    keys = ('images', 'equal', 'boxes', 'same_pixels', 'milliseconds')
    result = {key: found[key] for key in keys if key in found}
    result['left'] = [dict(box, image=row['image']) for row in found['rows'] for box in row.get('left', ())]
    if 'same_pixels' in found:
        result['different_pixels'] = sum(
            round((1 - row['same_pixels']) * row['size'][0] * row['size'][1]) for row in found['rows']
        )
    return result


HEAD = ('network', 'file', 'images', 'boxes', 'the same', 'corners', 'scores', 'MB', 'export, s', 'peak, GB')


def row_of(found):
    if 'boxes' in found:
        boxes = found['boxes']
        what = [boxes['engine'], boxes['matched']]
        what += [f'{boxes["largest_error_pixels"]:.2g}', f'{boxes["largest_error_score"]:.2g}']
    else:
        what = ['', f'all but {found["different_pixels"]} pixels', '', '']
    sizes = [found.get(key, '') for key in ('megabytes', 'export_seconds', 'peak_gb')]
    return (found['network'], found['to'], found['images'], *what, *sizes)


if __name__ == '__main__':
    sys.exit(main())
