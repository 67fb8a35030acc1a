"""Writes a pruned experiment, and certifies the files as they were written."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import torch

from espnet_adaptive_dropout.experiments.checkpoint import write_weights
from espnet_adaptive_dropout.experiments.encoder_entry import main_encoder
from espnet_adaptive_dropout.experiments.experiment import load_state, open_model
from espnet_adaptive_dropout.experiments.features import data_inputs
from espnet_adaptive_dropout.experiments.files import write_json, write_text, write_yaml
from espnet_adaptive_dropout.experiments.sizes import fixed_parts, sizes
from espnet_adaptive_dropout.pruning.certificate.certificate import Certificate, certify
from espnet_adaptive_dropout.pruning.certificate.decoder import certify_decoder
from espnet_adaptive_dropout.pruning.options import PruneOptions
from espnet_adaptive_dropout.pruning.plan import PruningPlan
from espnet_adaptive_dropout.pruning.prune import cut
from espnet_adaptive_dropout.pruning.repair.trained import repair_trained
from espnet_adaptive_dropout.pruning.report import make_report, to_markdown
from espnet_adaptive_dropout.pruning.trained import Trained, set_masks

PLAN = "plan.yaml"
# Patterns of the files that releases without a manifest wrote
FORMER = (
    *("config.yaml", PLAN, "certificate.json", "report.json", "report.md"),
    *("*.pth", "images", "made_from.json"),
)


def write_experiment(
    trained: Trained,
    keep: torch.Tensor,
    plan: PruningPlan,
    options: PruneOptions,
    directory: Path,
    output_dir: Path,
) -> dict[str, Any]:
    """Fill ``directory`` with config, model, plan, certificate and report.

    The certificate compares what is masked with the files as they were written; a
    repair of the weights comes afterwards.

    Args:
        trained: experiment to prune.
        keep: which units stay, without unused ones, bool (units,).
        plan: description of ``keep``.
        options: options of pruning.
        directory: empty directory.
        output_dir: later name of ``directory``, for the config.

    Returns:
        The report, see ``report.make_report``.

    Raises:
        ValueError: the data cannot be read or are none to repair on, or the compact
            encoder or decoder differs from the masked one by more than the tolerance.
        OSError: the directory cannot be written.
    """
    # All of these weights will be in memory, until they are written.
    config, state = cut(trained, keep, load_state(trained.model_file))
    if options.compact_decoder and trained.part("decoder") is None:
        config = trained.encoder_entry.with_compact_decoder(config)
    config_file = directory / "config.yaml"
    model_file = directory / trained.model_file.name
    write_yaml(config_file, {**config, "output_dir": str(output_dir)})
    write_weights(state, model_file)
    del state  # the compact model is read from the file
    set_masks(trained.table, keep)
    masked = trained.model
    _, compact = open_model(trained.task, config_file, model_file)
    certificate = _certify(trained, masked, compact, options)
    report = make_report(
        trained.table, keep, plan, certificate, sizes(masked), sizes(compact)
    )
    report["fixed"] = fixed_parts(compact)
    _check_removed(report)
    if options.repair:
        del compact  # of the file, what the certificate has read leaves the memory
        _, compact = open_model(trained.task, config_file, model_file)
        repaired = repair_trained(trained, keep, compact, options)
        report["repair"] = {kind: one.to_dict() for kind, one in repaired.items()}
        if any(one.used for one in repaired.values()):
            write_weights(compact.state_dict(), model_file)
            del compact  # whose memory the next one needs
            open_model(trained.task, config_file, model_file)
            plan = dataclasses.replace(plan, repaired=True)
            report["certificate"]["repaired_afterwards"] = True
    write_yaml(directory / PLAN, plan.to_dict())
    write_json(directory / "certificate.json", report["certificate"])
    write_json(directory / "report.json", report)
    write_text(directory / "report.md", to_markdown(report))
    return report


def _certify(
    trained: Trained,
    masked: torch.nn.Module,
    compact: torch.nn.Module,
    options: PruneOptions,
) -> Certificate:
    """Compare the models on real data; raise a ValueError if they differ."""
    inputs = data_inputs(
        trained.task, masked, trained.config, options.utterances, options.data
    )
    certificate = certify(
        main_encoder(masked), main_encoder(compact), inputs, options.tolerance
    )
    if not certificate.holds:
        raise ValueError(
            f"the compact encoder differs from the masked one by {certificate}: more "
            f"than --tolerance {options.tolerance:.0e} or than rounding; nothing was "
            f"written"
        )
    is_cut = trained.part("decoder") is not None
    if options.compact_decoder or is_cut:
        decoder = certify_decoder(masked, compact, inputs, options.tolerance)
        if not decoder.holds:
            original = "the masked one" if is_cut else "ESPnet's"
            raise ValueError(
                f"the compact decoder differs from {original}: {decoder}; nothing was "
                f"written"
            )
        certificate.decoder = decoder.to_dict()
    return certificate


def _check_removed(report: dict[str, Any]) -> None:
    before, after = report["before"], report["after"]
    removed = before["total_params"] - after["total_params"]
    if removed != report["removed_parameters"]:
        raise ValueError(
            f"internal error: the plan removes {report['removed_parameters']} "
            f"parameters but the compact model lacks {removed}; nothing was written"
        )


def share_images(trained: Path, compact: Path) -> None:
    """Copy the ``images`` of the training, without which asr.sh fails to pack.

    Args:
        trained: experiment directory of the training.
        compact: experiment directory of the compact model.
    """
    if (trained / "images").is_dir():
        shutil.copytree(trained / "images", compact / "images")
    else:
        (compact / "images").mkdir()
