"""The commands of training and testing: every family's scripts and ``dcn train`` / ``dcn test`` are one of these.

Each function returns a main function (argv) for a script's ``description``, which is its docstring. The engine is
imported when the command line is understood: it loads MXNet.
"""

from typing import Callable, Optional

from dcn.checkpoint import existing_file
from dcn.cli.arguments import TRAINING, from_argument, parse, test_arguments, train_arguments
from dcn.errors import UserError
from dcn.launch import environment
from dcn.launch.server import serve
from dcn.paths import find

ALTERNATE = """

Four stages: rpn1, rcnn1, rpn2, rcnn2. TRAIN.ALTERNATE gives rpn1_lr, rpn1_lr_step and rpn1_epoch, likewise rfcn1_*,
rpn2_* and rfcn2_* (in every family), RPN_BATCH_IMAGES and RCNN_BATCH_IMAGES; where one is 0 or empty, TRAIN's lr,
lr_step, end_epoch and BATCH_IMAGES hold for that stage. Everything else is as TRAIN says, in each stage.
--from CHECKPOINT takes the place of the ImageNet model, with which rpn1 and rcnn1 begin.
--resume goes on in the stage that was interrupted. The result, final-0000.params, is tested with
--set TRAIN.model_prefix=final TEST.test_epoch=0 TEST.HAS_RPN=true"""

Main = Callable[[Optional[list]], Optional[int]]


def train(description: str) -> Main:
    """Train the network of --cfg."""

    def main(argv=None):
        args, cfg = parse(argv, description, train_arguments, from_argument)
        if not _served():
            _train(cfg, args)

    return main


def test(description: str) -> Main:
    """Test the network of --cfg on its test set."""

    def main(argv=None):
        args, cfg = parse(argv, description, test_arguments, _test_only_arguments)
        if environment.member():
            raise UserError('testing is for one process; start it without dcn launch and without DMLC_ROLE.')
        if args.params is not None:
            args.params = _checkpoint(args.params, args.proposals is not None)
        if args.proposals is None:
            _test(cfg, args)
        else:
            from dcn.engine.tasks.proposals import report_proposals

            report_proposals(cfg, args.proposals or cfg.dataset.test_image_set, args.gpus)

    return main


def train_and_test(description: str, precomputed_proposals: bool = False) -> Main:
    """Train the network of --cfg to its end, then test it; a detector on precomputed proposals, whatever --cfg says."""

    def main(argv=None):
        args, cfg = parse(argv, description, train_arguments, from_argument, test_arguments)
        if _served():
            return
        task = None
        if precomputed_proposals:
            from dcn.engine.tasks.proposals import RoisOnly

            task = RoisOnly(cfg)
        if _train(cfg, args, task):
            _test(cfg, args, task)
        else:
            print(f'not tested: training has not reached its last epoch, {cfg.TRAIN.end_epoch}, yet')

    return main


def train_alternate(description: str) -> Main:
    """Alternate training of the network of --cfg."""

    def main(argv=None):
        args, cfg = parse(argv, description + ALTERNATE, train_arguments, from_argument)
        _train_alternate(cfg, args)

    return main


def train_alternate_and_test(description: str) -> Main:
    """Alternate training of the network of --cfg to its end, then testing."""

    def main(argv=None):
        args, cfg = parse(argv, description + ALTERNATE, train_arguments, from_argument, test_arguments)
        if _train_alternate(cfg, args):
            from dcn.engine.training.alternate import final_config

            _test(final_config(cfg), args)
        else:
            print('not tested: alternate training has not reached its end yet')

    return main


def _test_only_arguments(parser):
    parser.add_argument(
        '--params',
        metavar='FILE',
        help='the checkpoint PREFIX-NNNN.params to test (default: that of TEST.test_epoch, which training with --cfg '
        'wrote)',
    )
    parser.add_argument(
        '--proposals',
        nargs='?',
        const='',
        metavar='SETS',
        help='detectors: write the RPN proposals for the image sets (joined by +; default: the test set) to files that '
        'dataset.proposal "rpn" reads, and print their recall; with TEST.HAS_RPN=false, print the recall of such files',
    )


def _checkpoint(path, proposals):
    """The file that --params names."""
    if proposals:
        raise UserError(
            '--params: not for --proposals, which takes the checkpoint of TRAIN.model_prefix and TEST.test_epoch.'
        )
    return existing_file(find(path))


def _served():
    """True when this process was to be the scheduler or a server of a job, which is over."""
    member = environment.member()
    if member is None or member.role == 'worker':
        return False
    serve(member)
    return True


def _options(args):
    from dcn.engine.training.options import TrainOptions

    return TrainOptions(**{name: getattr(args, name) for name in TRAINING})


def _train(cfg, args, task=None):
    from dcn.engine import train

    return train(cfg, args.gpus, _options(args), task, _start(args.start, args.resume))


def _start(path, resume):
    """The checkpoint of --from, which is read when its turn comes; a run that is resumed does without."""
    if path is None:
        return None
    from dcn.convert import fitting
    from dcn.engine.training.start import Start

    path = find(path) if resume else existing_file(find(path))
    return Start(path, lambda: fitting.prefixed(fitting.read_network(path)[0]))


def _train_alternate(cfg, args):
    from dcn.engine.training.alternate import to_begin_with, train_alternate

    path = args.start or (to_begin_with(cfg) if args.resume else None)
    return train_alternate(cfg, args.gpus, _options(args), _start(path, args.resume))


def _test(cfg, args, task=None):
    from dcn.engine import evaluate
    from dcn.engine.tasks.task import TestOptions

    options = TestOptions(args.thresh, args.ignore_cache, args.vis, args.shuffle)
    return evaluate(cfg, args.gpus, options, getattr(args, 'params', None), task)


dcn_train = train('Train the network of an experiment file.')
dcn_test = test("Test a trained network with its data set's own metric.")
