"""The commands of training and testing: every family's scripts and ``dcn train`` / ``dcn test`` are one of these.

Each function returns a main function (argv) for a script's ``description``, which is its docstring.
"""

from dcn.cli.arguments import parse, test_arguments, train_arguments
from dcn.engine.tasks.evaluate import evaluate
from dcn.engine.training.run import train as train_network


def train(description):
    """Train the network of --cfg."""

    def main(argv=None):
        args, cfg = parse(argv, description, train_arguments)
        _train(cfg, args)

    return main


def test(description):
    """Test the network of --cfg on its test set."""

    def main(argv=None):
        args, cfg = parse(argv, description, test_arguments, _proposal_argument)
        if args.proposals is None:
            _test(cfg, args)
        else:
            from dcn.engine.tasks.proposals import report_proposals

            report_proposals(cfg, args.proposals or cfg.dataset.test_image_set, args.gpus)

    return main


def train_and_test(description, task=None):
    """Train the network of --cfg to its end, then test it. task: a class, by default what the configuration says."""

    def main(argv=None):
        args, cfg = parse(argv, description, train_arguments, test_arguments)
        chosen = task and task(cfg)
        if _train(cfg, args, chosen):
            _test(cfg, args, chosen)
        else:
            print(f'not tested: the training has not reached its end, epoch {cfg.TRAIN.end_epoch}, yet')

    return main


def _proposal_argument(parser):
    parser.add_argument(
        '--proposals',
        nargs='?',
        const='',
        metavar='SETS',
        help='of a detector: write what its RPN proposes for the image sets (joined by +; default: the '
        'test set) into files that dataset.proposal "rpn" reads, and tell its recall; with '
        'TEST.HAS_RPN false: the recall of the proposals in such files',
    )


def _train(cfg, args, task=None):
    return train_network(cfg, args.gpus, args.frequent, args.max_iterations, args.checkpoint_every, args.resume, task)


def _test(cfg, args, task=None):
    return evaluate(cfg, args.gpus, args.thresh, args.ignore_cache, args.vis, args.shuffle, task=task)


dcn_train = train('Train the network of an experiment file.')
dcn_test = test("Test a trained network with its data set's own metric.")
