"""How numbers are written: `fixed 2`, `digits 3`, `percent 0`, `power`, … each a word and its digits.

| format | of | is written |
|---|---|---|
| `integer` | 28798.5 | 28,799 |
| `fixed 2` | 1.0175 | 1.02 |
| `signed 2` | -0.13 | −0.13, and +0.13 |
| `digits 3` | 3.64004 | 3.64 |
| `percent 1` | 0.694 | 69.4 % |
| `change 0` | 0.117 | +12 % |
| `power` | 7.45e-8 | 7·10⁻⁸ |
| `thousandths 2` | 0.00424 | 4.24 |
| `minutes 1`, `hours 1` | 5400 | 90.0, 1.5 |
| `text` | a word | as it stands |
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from earthsignals.params import ParamsError
from earthsignals.storage import EarthSignalsError

MINUS = "\N{MINUS SIGN}"
PERCENT = "\N{NO-BREAK SPACE}%"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def _digits(value: float, digits: int) -> str:
    """So many significant digits, without an exponent: `3.64`, `11.9`, `1,600`."""
    if value == 0:
        return f"{value:.{digits - 1}f}"
    after = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, after)
    after = digits - 1 - math.floor(math.log10(abs(rounded)))  # 9.999 became 10.0
    return f"{rounded:,.{max(after, 0)}f}"


def _power(value: float, _: int) -> str:
    """One digit and a power of ten."""
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}·10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


_WRITERS: dict[str, Callable[[float, int], str]] = {
    "integer": lambda value, _: f"{value:,.0f}",
    "fixed": lambda value, digits: f"{value:,.{digits}f}",
    "signed": lambda value, digits: f"{value:+,.{digits}f}",
    "digits": _digits,
    "percent": lambda value, digits: f"{100 * value:,.{digits}f}{PERCENT}",
    "change": lambda value, digits: f"{100 * value:+,.{digits}f}{PERCENT}",
    "power": _power,
    "thousandths": lambda value, digits: f"{1000 * value:,.{digits}f}",
    "minutes": lambda value, digits: f"{value / 60:,.{digits}f}",
    "hours": lambda value, digits: f"{value / 3600:,.{digits}f}",
}
_WITHOUT_DIGITS = {"integer", "power", "text"}


def check_format(style: str, *, where: str) -> None:
    """Raises ParamsError naming `where` unless `style` is a known word with its digits."""
    word, _, digits = style.partition(" ")
    known = word == "text" or word in _WRITERS
    if known and (digits == "" if word in _WITHOUT_DIGITS else re.fullmatch(r"\d", digits)):
        return
    words = ", ".join([*(w if w in _WITHOUT_DIGITS else f"{w} 2" for w in _WRITERS), "text"])
    raise ParamsError(f"{where} is `{style}`, expected one of: {words}")


def formatted(value: Any, style: str) -> str:
    """`value` in this format, minus signs as minus signs, and no minus before a zero.

    Raises EarthSignalsError where a number is asked for and `value` is none or not finite, or a text and it
    holds more than one value.
    """
    word, _, digits = style.partition(" ")
    if word == "text":
        if isinstance(value, (dict, list)):
            raise EarthSignalsError(f"`{value!s:.60}` cannot be written as `text`, which needs one value")
        return str(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise EarthSignalsError(
            f"`{value!s:.60}` cannot be written as `{style}`, which needs a finite number"
        )
    text = _WRITERS[word](float(value), int(digits or 0))
    if text.startswith("-") and not re.search(r"[1-9]", text):
        text = text[1:]
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def interval(low: str, high: str) -> str:
    """Two formatted ends as one range; the unit stands once, and no dash meets a minus."""
    if low.endswith(PERCENT) and high.endswith(PERCENT):
        low = low.removesuffix(PERCENT)
    signed = any(text[0] in (MINUS, "+") for text in (low, high))
    return f"{low} to {high}" if signed else f"{low}–{high}"
