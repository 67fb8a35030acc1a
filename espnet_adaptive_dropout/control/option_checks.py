"""Checks of the options of ``adaptive_dropout_conf``: types, choices and ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

OPTIONS = "adaptive_dropout_conf"


def checked(name: str, value: Any, annotation: str) -> Any:
    """The value of an option in its type.

    A number that YAML read as text, as it does with ``5e-3``, becomes a number.

    Args:
        name: name of the option.
        value: value in the YAML file.
        annotation: type of the option in :class:`AdaptiveDropoutConfig`.

    Raises:
        ValueError: the value is of another type, or not finite; the message names
            the option.
    """
    if name == "locations":
        return _locations(value)
    if annotation.endswith(" | None"):
        if value is None:
            return None
        annotation = annotation[: -len(" | None")]
    if annotation == "list[float]":
        return _numbers(name, value)
    if annotation == "float":
        return _number(name, value)
    if annotation == "int":
        return _whole_number(name, value)
    kind, called = (bool, "true or false") if annotation == "bool" else (str, "text")
    if not isinstance(value, kind):
        raise _refusal(name, value, called)
    return value


def _number(name: str, value: Any) -> int | float:
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            raise _refusal(name, value, "a number") from None
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise _refusal(name, value, "a number")
    if not math.isfinite(number):
        raise _refusal(name, value, "a finite number")
    return number


def _whole_number(name: str, value: Any) -> int:
    number = _number(name, value)
    if number != int(number):
        raise _refusal(name, value, "a whole number")
    return int(number)


def _numbers(name: str, value: Any) -> list[int | float]:
    if not isinstance(value, (list, tuple)):
        raise _refusal(name, value, "a list of numbers")
    return [_number(name, item) for item in value]


def _locations(value: Any) -> Any:
    if value is None or value == "all":
        return value
    is_list = isinstance(value, (list, tuple))
    if not is_list or not all(isinstance(item, str) for item in value):
        raise _refusal("locations", value, "a list of locations, nor 'all'")
    return value


def _refusal(name: str, value: Any, kind: str) -> ValueError:
    return ValueError(f"{OPTIONS}.{name}={value!r} is not {kind}")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices, with a ValueError."""
    if value not in choices:
        raise ValueError(
            f"{OPTIONS}.{name}={value!r} is not one of {', '.join(choices)}"
        )


def check_positive(name: str, value: float | None) -> None:
    """Refuse a value of 0 or less, with a ValueError; None is allowed."""
    if value is not None and not value > 0:
        raise ValueError(f"{OPTIONS}.{name} must be positive: {value}")


def check_between(
    name: str, value: float, low: float = 0.0, high: float = 1.0, closed: bool = False
) -> None:
    """Refuse a value outside an open or closed interval, with a ValueError."""
    if not (low <= value <= high if closed else low < value < high):
        raise ValueError(f"{OPTIONS}.{name}={value} is not between {low} and {high}")
