"""Widths of a compact encoder, as they are written in a config."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Callable

import torch

from espnet_adaptive_dropout.units.group import UnitGroup
from espnet_adaptive_dropout.units.table import UnitTable


@dataclasses.dataclass
class BlockWidths:
    """Number of units of each location in one block.

    Args:
        ffn: hidden units of the feed-forward module.
        ffn_macaron: hidden units of the macaron feed-forward module; None without
            one.
        query: query units of every head.
        value: value units of every head.
        conv_input: the input dimensions of the convolution module that are read,
            as ranges, for example "0-3,7"; None without a convolution module.
        conv_channel: channels of the convolution module; None without one, or to
            keep them all.
    """

    ffn: int
    query: list[int]
    value: list[int]
    ffn_macaron: int | None = None
    conv_input: str | None = None
    conv_channel: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """For YAML; leaves out what the block does not have."""
        options = dataclasses.asdict(self)
        return {key: value for key, value in options.items() if value is not None}


def parse_widths(
    widths: Sequence[dict[str, Any]],
    num_blocks: int,
    heads: int,
    macaron_style: bool,
    use_cnn_module: bool,
) -> list[BlockWidths]:
    """Check ``encoder_conf.widths`` against the architecture.

    Raises:
        ValueError: the list is of the wrong length, or an entry does not fit; the
            message names the block and the key.
    """
    wanted = {"ffn", "query", "value"}
    wanted |= {"ffn_macaron"} if macaron_style else set()
    wanted |= {"conv_input"} if use_cnn_module else set()
    optional = {"conv_channel"} if use_cnn_module else set()
    blocks = []
    option = "encoder_conf.widths"
    for where, options in entries(option, widths, num_blocks, wanted, optional):
        _check_entry(where, options, heads)
        blocks.append(BlockWidths(**options))
    return blocks


def entries(
    option: str,
    widths: Any,
    num_blocks: int,
    wanted: set[str],
    optional: Collection[str] = (),
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the mapping of every block of a ``widths`` option.

    Args:
        option: name of the option, for messages.
        widths: value of the option.
        num_blocks: number of blocks.
        wanted: keys that every mapping must have.
        optional: keys that it may have.

    Raises:
        ValueError: ``widths`` is not a list of that many mappings with these keys.
    """
    if not isinstance(widths, (list, tuple)):
        raise ValueError(f"{option}={widths!r} must be a list")
    if len(widths) != num_blocks:
        raise ValueError(
            f"{option} has {len(widths)} entries but num_blocks is "
            f"{num_blocks}; give one entry a block"
        )
    for index, options in enumerate(widths):
        where = f"{option}[{index}]"
        if not isinstance(options, dict):
            raise ValueError(f"{where}={options!r} must be a mapping of widths")
        if set(options) - set(optional) != wanted:
            raise ValueError(
                f"{where} has {', '.join(sorted(options))} but this architecture "
                f"needs {', '.join(sorted(wanted))}"
            )
        yield where, options


def _check_entry(where: str, options: dict[str, Any], heads: int) -> None:
    """Refuse values of one block that are no widths, with a ValueError."""
    for name, value in options.items():
        if name == "conv_input":
            try:
                parse_indices(value)
            except ValueError as error:
                raise ValueError(f"{where}.{name}: {error}") from None
        elif name not in ("query", "value"):
            check_width(f"{where}.{name}", value)
        else:
            check_head_widths(f"{where}.{name}", value, heads)


def check_head_widths(where: str, value: Any, heads: int) -> None:
    """Refuse what is not a list of widths, one for every head, with a ValueError."""
    if not isinstance(value, (list, tuple)) or len(value) != heads:
        raise ValueError(
            f"{where}={value!r} must be a list of {heads} widths, one for "
            f"each of attention_heads"
        )
    for width in value:
        check_width(where, width)


def check_width(where: str, value: Any) -> None:
    """Refuse what is not a number of units, with a ValueError that begins so."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{where}={value!r} must be a number of units, 0 or more")


def format_indices(indices: Sequence[int]) -> str:
    """Write ascending indices as ranges: [0, 1, 2, 7] -> "0-2,7"."""
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def parse_indices(text: str) -> list[int]:
    """Read what :func:`format_indices` writes.

    Raises:
        ValueError: the text is not ascending ranges of integers.
    """
    indices: list[int] = []
    for part in filter(None, str(text).split(",")):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a list of index ranges such as '0-3,7'")
        first, last = match.groups()
        if int(last or first) < int(first):
            raise ValueError(f"index range {part.strip()!r} runs backwards")
        indices.extend(range(int(first), int(last or first) + 1))
    if any(a >= b for a, b in zip(indices, indices[1:])):
        raise ValueError(f"index ranges {text!r} are not ascending")
    return indices


def compact_options(table: UnitTable, keep: torch.Tensor) -> dict[str, Any]:
    """Return the options that a compact encoder has beside those of the stock encoder.

    These are ``widths``, and ``subsampling`` if the input layer loses channels.

    Args:
        table: unit table of the full-width encoder.
        keep: which units stay, without unused ones, bool (units,).
    """
    input_layer, *blocks = describe_groups(table, lambda group: width_of(group, keep))
    options: dict[str, Any] = {
        "widths": [BlockWidths(**block).to_dict() for block in blocks]
    }
    if not all(keep[g.span].all() for g in table.groups if g.block is None):
        options["subsampling"] = list(input_layer.values())
    return options


def width_of(group: UnitGroup, keep: torch.Tensor) -> Any:
    """Return the width of a group as a config has it.

    Args:
        group: units of one location in one block.
        keep: which units stay, bool (units,).

    Returns:
        Number of units, those of every head, or for ``conv_input`` ranges.
    """
    kept = keep[group.span]
    if group.location == "conv_input":
        return kept_ranges(group, keep)
    if group.location_spec.per_head:
        return kept.view(group.heads, -1).sum(dim=1).tolist()
    return int(kept.sum())


def describe_groups(
    table: UnitTable, describe: Callable[[UnitGroup], Any]
) -> list[dict[str, Any]]:
    """Map names to descriptions, for the input layer and then each block or layer.

    Args:
        table: unit table of an encoder or of a decoder, which has no input layer.
        describe: function of a group.
    """
    owners: dict[int | None, dict[str, Any]] = {None: {}}
    for group in table.groups:
        entry = owners.setdefault(group.block, {})
        entry[group.location_spec.width_name] = describe(group)
    return list(owners.values())


def kept_ranges(group: UnitGroup, keep: torch.Tensor) -> str:
    """Return the kept unit indices of a group as ranges, for example "0-3,7"."""
    return format_indices(keep[group.span].nonzero().flatten().tolist())
