"""What the caller of a training chooses, beside the configuration."""

from typing import NamedTuple, Optional


class TrainOptions(NamedTuple):
    """How one call of ``train`` runs; none of it changes what is learned."""

    frequent: Optional[int] = None  # a log line every so many batches; None: default.frequent of the configuration
    max_iterations: Optional[int] = None  # stop after so many updates of this call, with a checkpoint
    checkpoint_every: Optional[int] = None  # updates between checkpoints within an epoch
    checkpoint_minutes: Optional[float] = 30  # minutes after which there is a checkpoint within an epoch
    resume: bool = False  # continue from the newest checkpoint
    overwrite: bool = False  # begin anew in a folder that holds a run, whose checkpoints go
    tensorboard: bool = False  # the figures of dcn.history as TensorBoard's event files too
