"""Counts the training forward passes of an epoch of ESPnet2.

With the sampler that ESPnet itself will use, on the same shape files, so that the
length of a training is known before it begins.
"""

from __future__ import annotations

import argparse
import os


def steps_per_epoch(args: argparse.Namespace) -> int:
    """Number of training forward passes in an epoch, by ESPnet's own sampler.

    Raises:
        ValueError: the batches depend on more than the shape files.
    """
    from espnet2.samplers.build_batch_sampler import build_batch_sampler

    if args.num_iters_per_epoch is not None:
        return args.num_iters_per_epoch
    if args.iterator_type != "sequence" or not args.train_shape_file:
        raise ValueError(
            f"the number of training steps cannot be worked out for "
            f"iterator_type={args.iterator_type}; set num_iters_per_epoch or "
            f"encoder_conf.adaptive_dropout_conf.total_steps"
        )
    sampler = dict(
        type=args.batch_type,
        fold_lengths=args.fold_length,
        batch_size=args.batch_size,
        batch_bins=args.batch_bins,
        sort_in_batch=args.sort_in_batch,
        sort_batch=args.sort_batch,
        drop_last=args.drop_last_iter,
        min_batch_size=_smallest_batch(args),
        utt2category_file=_utt2category_file(args),
    )
    batches = 0
    for shape_files in _split_shape_files(args):
        for path in shape_files:
            if not os.path.exists(path):
                raise ValueError(
                    f"{path} (--train_shape_file) does not exist; run the stage that "
                    f"collects statistics (10) first"
                )
        batches += len(list(build_batch_sampler(shape_files=shape_files, **sampler)))
    return batches


def _smallest_batch(args: argparse.Namespace) -> int:
    """An utterance for each process of a distributed training, or as configured."""
    processes = process_count(args)
    return processes if processes > 1 else getattr(args, "min_batch_size", 1)


def process_count(args: argparse.Namespace) -> int:
    """Number of processes that share every batch.

    ESPnet's own rules: ``--dist_world_size``, else what the launcher (Slurm, MPI) or
    torchrun left in the environment. With ``--multiprocessing_distributed`` that is
    the number of nodes, each with a process for every GPU.

    Raises:
        ValueError: the launcher's environment is not there.
    """
    from espnet2.train.distributed_utils import get_num_nodes, get_world_size

    launcher = (args.dist_world_size, args.dist_launcher)
    try:
        if args.multiprocessing_distributed:
            return get_num_nodes(*launcher) * max(args.ngpu, 1)
        return get_world_size(*launcher)
    except (RuntimeError, ImportError) as error:
        raise ValueError(f"--dist_launcher {args.dist_launcher}: {error}") from None


def _utt2category_file(args: argparse.Namespace) -> str | None:
    """Beside the first data file; ESPnet keeps its categories in separate batches."""
    first = args.train_data_path_and_name_and_type[:1]
    path = os.path.join(os.path.dirname(first[0][0]), "utt2category") if first else ""
    return path if os.path.exists(path) else None


def _split_shape_files(args: argparse.Namespace) -> list[list[str]]:
    """The shape files of every split of the training data (usually one)."""
    if not args.multiple_iterator:
        return [list(args.train_shape_file)]
    path = os.path.join(args.train_shape_file[0], "num_splits")
    try:
        with open(path) as file:
            splits = int(file.read())
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}; with multiple_iterator=true, "
            f"--train_shape_file names directories that espnet2.bin.split_scps wrote"
        ) from None
    return [
        [os.path.join(path, f"split.{i}") for path in args.train_shape_file]
        for i in range(splits)
    ]
