"""Settings of a comparison, and training configs of its runs.

Every config is derived from that of the stock model.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import yaml

from benchmarks.compare.runs import PARTS
from benchmarks.files import write_yaml

Config = dict[str, Any]

SETTINGS_FILE = "settings.yaml"

CHECKPOINTS_AVERAGED = 3
# One of ESPnet's own statistics that only grows: the last checkpoints are the best.
LAST = ["train", "total_count", "max"]


@dataclasses.dataclass
class Settings:
    """What all runs of a comparison share; kept in its directory.

    Args:
        exp: directory of the comparison.
        recipe_dir: recipe whose stages 1 to 10 have prepared the data.
        max_epoch: passes through the training data, for every row alike.
        batches: training batches in a pass.
        target: share of the encoder's parameters to remove.
        dense_config: training config of the stock model.
        train_args: added to every training command, for example "--ngpu 1".
        utterances: number of training utterances to use; None: all.
    """

    exp: Path
    recipe_dir: Path
    max_epoch: float
    batches: int
    target: float
    dense_config: str
    train_args: list[str] = dataclasses.field(default_factory=list)
    utterances: int | None = None

    @property
    def steps_per_part(self) -> int:
        """Training steps between two checkpoints."""
        return max(round(self.max_epoch * self.batches / PARTS), 1)

    @property
    def steps(self) -> int:
        """Training steps of every row in all."""
        return self.steps_per_part * PARTS

    def to_dict(self) -> dict[str, Any]:
        """All that results must have in common to be comparable, for YAML."""
        shared = dataclasses.asdict(self)
        del shared["exp"]
        return {**shared, "recipe_dir": str(self.recipe_dir), "steps": self.steps}

    def keep(self) -> None:
        """Write into the directory, or check against what is there.

        Raises:
            ValueError: the directory holds a comparison of another kind.
        """
        path = self.exp / SETTINGS_FILE
        mine = self.to_dict()
        if not path.exists():
            write_yaml(path, mine)
            return
        theirs = yaml.safe_load(path.read_text(encoding="utf-8"))
        changed = [name for name in mine if mine[name] != theirs.get(name)]
        if changed:
            name = changed[0]
            raise ValueError(
                f"{self.exp} holds runs with {name}={theirs.get(name)!r}, not "
                f"{mine[name]!r}; give another --exp, or the same options"
            )


def dense_config(settings: Settings, seed: int) -> Config:
    """The recipe's config at the comparison's length, without plots.

    The warm-up keeps its share of the training.

    Raises:
        ValueError: the recipe's config is not that of a stock Conformer.
    """
    path = settings.recipe_dir / settings.dense_config
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"--dense_config {path}: {error.strerror}") from None
    if not isinstance(config, dict) or config.get("encoder") != "conformer":
        raise ValueError(f"--dense_config {path}: must have 'encoder: conformer'")
    warmup = (config.get("scheduler_conf") or {}).get("warmup_steps")
    if warmup:
        share = settings.max_epoch / config["max_epoch"]
        config["scheduler_conf"]["warmup_steps"] = max(round(warmup * share), 1)
    config.update(
        seed=seed,
        max_epoch=PARTS,
        num_iters_per_epoch=settings.steps_per_part,
        keep_nbest_models=CHECKPOINTS_AVERAGED,
        num_att_plot=0,
        use_matplotlib=False,
        use_tensorboard=False,
        patience=None,
    )
    config.setdefault("best_model_criterion", [["valid", "loss", "min"]])
    return config


def gated_config(dense: Config, target: float, options: Config) -> Config:
    """The same training with adaptive dropout; ``options`` of adaptive_dropout_conf."""
    config = copy.deepcopy(dense)
    config["encoder"] = "adaptive_dropout_conformer"
    config["encoder_conf"]["adaptive_dropout_conf"] = {
        "target_reduction": round(target, 4),
        **options,
    }
    if prunes_decoder(options):
        config["decoder"] = "adaptive_dropout_transformer"
        config["decoder_conf"]["adaptive_dropout_conf"] = {"of": options["of"]}
    config["model"] = "adaptive_dropout"
    config["best_model_criterion"] = [
        [phase, f"final_{name}", mode]
        for phase, name, mode in dense["best_model_criterion"]
    ]
    if options.get("freeze_at", 0.0) >= 1.0:
        # Nothing is final before the end, and earlier checkpoints are larger models.
        config["best_model_criterion"] = [LAST]
    return config


def prunes_decoder(options: Config) -> bool:
    """Whether ``adaptive_dropout_conf`` is one target for encoder and decoder."""
    return options.get("of") == "model"


def has_decoder(config: Config) -> bool:
    """Whether a model has an attention decoder that is trained and decoded with."""
    ctc_alone = (config.get("model_conf") or {}).get("ctc_weight") == 1.0
    return bool(config.get("decoder")) and not ctc_alone


def small_config(dense: Config, target: float) -> tuple[Config, str]:
    """A narrower stock Conformer with as many parameters as the pruned one.

    Of all widths divisible by the number of heads, each with the feed-forward width
    that comes nearest to the size, the one with the dense model's proportions.

    Returns:
        The config and one line that says what was chosen.

    Raises:
        ValueError: no such model exists.
    """
    conf = dense["encoder_conf"]
    wanted = (1.0 - target) * encoder_parameters(dense)
    ratio = conf["linear_units"] / conf["output_size"]
    found: list[tuple[float, Config, int]] = []
    for size in range(conf["attention_heads"], conf["output_size"], 1):
        if size % (2 * conf["attention_heads"]):
            continue
        one, two = (
            encoder_parameters(_resized(dense, size, units)) for units in (1, 2)
        )
        units = round((wanted - one) / (two - one)) + 1
        if units < 1:
            continue
        error = abs(one + (units - 1) * (two - one) - wanted) / wanted
        if error < 0.005:
            shape = _resized(dense, size, units)
            found.append((abs(units / size - ratio), shape, size))
    if not found:
        raise ValueError(f"no small dense model has {wanted:,.0f} encoder parameters")
    chosen = min(found, key=lambda item: item[0])[1]
    parameters = encoder_parameters(chosen)
    line = (
        f"small dense model: output_size {chosen['encoder_conf']['output_size']}, "
        f"linear_units {chosen['encoder_conf']['linear_units']}: {parameters:,} "
        f"encoder parameters, {parameters / wanted - 1:+.2%} of what pruning leaves"
    )
    return chosen, line


def _resized(dense: Config, size: int, units: int) -> Config:
    return changed(dense, dict(output_size=size, linear_units=units))


def changed(dense: Config, options: Config) -> Config:
    """The same training with other values in its ``encoder_conf``."""
    config = copy.deepcopy(dense)
    config["encoder_conf"].update(options)
    return config


def build_encoder(config: Config):
    """The stock encoder of a training config, newly initialised."""
    from espnet_adaptive_dropout.compat import ConformerEncoder, stock_options

    features = (config.get("frontend_conf") or {}).get("n_mels", 80)
    return ConformerEncoder(features, **stock_options(config["encoder_conf"]))


def encoder_parameters(config: Config) -> int:
    """Parameters of the stock encoder of a config."""
    return sum(p.numel() for p in build_encoder(config).parameters())


def bounds(config: Config, locations: list[str]) -> float:
    """The most that the locations together can give, as a share of the encoder."""
    from espnet_adaptive_dropout.units.table import UnitTable

    return UnitTable(build_encoder(config)).bounds(locations)["all"]


def best_checkpoint(config: Config) -> str:
    """File name of the averaged model that ESPnet leaves."""
    phase, name, _ = config["best_model_criterion"][0]
    return f"{phase}.{name}.ave.pth"


def write_config(path: Path, config: Config) -> None:
    """Keep a run's config; one that is there already must be the same.

    Raises:
        ValueError: the run was made with another config.
    """
    if path.exists() and yaml.safe_load(path.read_text(encoding="utf-8")) != config:
        raise ValueError(
            f"{path.parent} was made with another config; remove that directory to "
            f"run it again, or give another --exp"
        )
    if not path.exists():
        write_yaml(path, config)
