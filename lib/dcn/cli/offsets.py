"""``dcn offsets``: where the deformable layers of a checkpoint look, measured by the objects there, as a web page."""

import argparse
import json
import os
import shlex
import sys
from typing import Optional

from easydict import EasyDict

from dcn.cli.arguments import network_arguments, score
from dcn.cli.detect import RELEASED, SHIPPED
from dcn.cli.photos import chosen_network
from dcn.config import load_config
from dcn.config.overriding import engine_arguments, graph_argument, override_argument
from dcn.files import Inputs, atomic_write
from dcn.loader.photos import find_photos
from dcn.paths import find
from dcn.text import Parser, printable


def main(argv: Optional[list] = None) -> None:
    args = parser().parse_args(argv)
    cfg, params = chosen_network(args, SHIPPED)
    out = args.out or os.path.join('output', 'offsets', f'{cfg.name}.html')
    read = Inputs([params, args.cfg, *find_photos(args.images), *(args.beside or [])])
    for name, path in (('--out', out), ('--json', args.json)):
        if path:
            read.output(path, name)
    if not args.images:
        generate_test_images(cfg)

    from dcn.engine import contexts
    from dcn.showcase.offsets.page import page
    from dcn.showcase.offsets.report import lines, values
    from dcn.showcase.offsets.study import Beside, Options, study
    from dcn.webpage.document import write

    beside = None
    if args.beside:
        from dcn.checkpoint import existing_file

        beside = Beside(load_config(args.beside[0]), existing_file(find(args.beside[1])))
    options = Options(args.count, args.sizes, args.threshold, args.trees, args.fields, args.group)
    found = study(cfg, params, args.images, options, beside, contexts(cfg, args.gpus)[0])
    command = ' '.join(map(shlex.quote, ['dcn', 'offsets', *(sys.argv[1:] if argv is None else argv)]))
    write(out, page(found, command))
    if args.json:
        with atomic_write(args.json, 'w') as stream:
            json.dump(values(found), stream, indent=1)
    print('\n'.join(map(printable, lines(found))))
    print(f'\n{out}: open it in a browser')


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog='dcn offsets',
        description="Where the deformable layers of a network look: the paper's effective dilation by object size "
        '(table 2), sampling trees (figure 6), effective receptive fields (figure 5), parts of RoI pooling (figure 7). '
        "Prints the table and writes a web page. Without photos it looks at the experiment's test set.",
        epilog=f'examples: dcn offsets\n          dcn offsets --params {RELEASED.params} photo.jpg',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add('images', nargs='*', metavar='PHOTO', help="image files, or folders of them (default: the file's test set)")
    network_arguments(made)
    add('--out', metavar='PAGE.html', help='the page (default output/offsets/NAME.html)')
    add('--json', metavar='FILE', help='write the numbers, too')
    add(
        '--count',
        type=count,
        default=200,
        metavar='N',
        help='images of the test set, at equal distances; 0: all (default %(default)s)',
    )
    add(
        '--sizes',
        default='auto',
        metavar='RULE',
        help='small, medium, large by the area of the box: paper (96 and 224 pixels squared), coco (32 and 96), thirds '
        '(as many objects each), or two sides such as 40,80; default: paper, or thirds where a size would be empty',
    )
    add('--trees', type=count, default=2, metavar='N', help='sampling trees for each size (default %(default)s)')
    add(
        '--fields',
        type=count,
        default=8,
        metavar='N',
        help='places for each size whose receptive fields are averaged; 0: no receptive fields (default %(default)s)',
    )
    add('--group', type=count, default=0, metavar='G', help='deformable group that trees follow (default %(default)s)')
    add(
        '--beside',
        nargs=2,
        metavar=('YAML', 'PARAMS'),
        help='a plain network whose receptive fields are shown beside',
    )
    add(
        '--threshold',
        type=score,
        default=0.5,
        metavar='S',
        help='photos: score from which a detection counts as an object (default %(default)s)',
    )
    add('--gpus', metavar='LIST', help="GPU numbers, or 'cpu' (default: gpus in the experiment file)")
    override_argument(made)
    graph_argument(made)
    engine_arguments(made)
    return made


def count(text: str) -> int:
    """A number, 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f'expected 0 or more, found {text}')
    return value


def generate_test_images(cfg: EasyDict) -> None:
    """Of the generated data set, if it is not there yet, the test images alone."""
    if cfg.dataset.dataset.startswith('shapes'):
        from dcn.cli.demo import without_training_images

        without_training_images([cfg], os.path.join('output', 'offsets'))
