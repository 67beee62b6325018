"""The commands of training and testing: every family's scripts and ``dcn train`` / ``dcn test`` are one of these.

Each function returns a main function (argv) for a script's ``description``, which is its docstring.
"""
from lib.engine.arguments import parse, test_arguments, train_arguments
from lib.engine.testing import evaluate
from lib.engine.training import train as train_network


def train(description):
    """Train the network of --cfg."""
    def main(argv=None):
        args, cfg = parse(argv, description, train_arguments)
        _train(cfg, args)
    return main


def test(description):
    """Test the network of --cfg on its test set."""
    def main(argv=None):
        args, cfg = parse(argv, description, test_arguments)
        _test(cfg, args)
    return main


def train_and_test(description):
    """Train the network of --cfg to its end, then test it."""
    def main(argv=None):
        args, cfg = parse(argv, description, train_arguments, test_arguments)
        if _train(cfg, args):
            _test(cfg, args)
        else:
            print(f'not tested: the training has not reached its end, epoch {cfg.TRAIN.end_epoch}, yet')
    return main


def _train(cfg, args):
    return train_network(cfg, args.gpus, args.frequent, args.max_iterations, args.checkpoint_every, args.resume)


def _test(cfg, args):
    return evaluate(cfg, args.gpus, args.thresh, args.ignore_cache, args.vis, args.shuffle)


dcn_train = train('Train the network of an experiment file: checkpoints, log and settings go below its output_path.')
dcn_test = test("Test a trained network with its data set's own metric; results go below its output_path.")
