"""Numbers and text for LaTeX: commands of letters alone, special characters escaped, no packages needed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from earthsignals.storage import EarthSignalsError

_WORDS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#", "_": r"\_",
    "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
# What the numbers, units and labels of the tables hold beyond ASCII; utf8 input knows é and its kin.
_SIGNS = {
    "–": "--", "—": "---", "−": "$-$", "×": r"$\times$", "·": r"$\cdot$", "±": r"$\pm$", "≤": r"$\leq$",
    "≥": r"$\geq$", "…": r"\ldots{}", "\N{NO-BREAK SPACE}": "~", "\N{NARROW NO-BREAK SPACE}": r"\,",
    "°": r"$^\circ$",
    "σ": r"$\sigma$", "χ": r"$\chi$", "μ": r"$\mu$", "Δ": r"$\Delta$", "→": r"$\to$", "↑": r"$\uparrow$",
    "↓": r"$\downarrow$", "√": r"$\surd$",
    "<": "$<$", ">": "$>$", "|": "$|$", "½": r"$\frac12$", "α": r"$\alpha$", "β": r"$\beta$",
    "γ": r"$\gamma$", "λ": r"$\lambda$", "ε": r"$\varepsilon$", "µ": r"$\mu$",
    "∞": r"$\infty$", "≈": r"$\approx$", "’": "'", "“": "``", "”": "''",
}  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))


def latex_text(text: str) -> str:
    """`text` for LaTeX's text mode: `7·10⁻⁸` as `7$\\cdot$10$^{-8}$`, `69 %` as `69~\\%`."""
    escaped = "".join(_SPECIAL.get(sign, _SIGNS.get(sign, sign)) for sign in one_line(text))
    raised = re.sub(f"[{''.join(_RAISED)}]+", lambda m: f"$^{{{_plain(m[0], _RAISED)}}}$", escaped)
    return re.sub(f"[{''.join(_LOWERED)}]+", lambda m: f"$_{{{_plain(m[0], _LOWERED)}}}$", raised)


def one_line(text: str) -> str:
    """`text` without line breaks and control characters: an empty line ends a command's argument in LaTeX."""
    # The no-break spaces of units are no breaks; `str.split` would take them for such.
    printable = "".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in text)
    return re.sub(" {2,}", " ", printable).strip(" ")


def command_name(section: str, name: str) -> str:
    """`tdlas`, `rmse_mid` as `tdlasRmseMid`: letters alone, digits spelt out."""
    words = re.findall(r"[A-Za-z]+|\d", f"{section}_{name}")
    spelt = [_WORDS[int(word)] if word.isdigit() else word[0].upper() + word[1:] for word in words]
    return spelt[0][0].lower() + spelt[0][1:] + "".join(spelt[1:])


def numbers_tex(numbers: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """The text of `numbers.tex`: a command for each number, `…Interval` for its interval, `…Unit` for a unit.

    `numbers` is what `collect` returns. Raises EarthSignalsError where two names would give one command.
    """
    lines = [r"% Written by the stage paper-fragments from files that runs wrote: \input it, edit nothing."]
    seen: set[str] = set()
    for section, entries in numbers.items():
        lines.append(f"% {section}")
        for name, entry in entries.items():
            command = command_name(section, name)
            for end, key in (("", "value"), ("Interval", "interval"), ("Unit", "unit")):
                if not entry.get(key):
                    continue
                if command + end in seen:
                    raise EarthSignalsError(
                        f"reports/paper/numbers.yaml: two numbers would be called \\{command}{end} in "
                        f"LaTeX, by {section}.{name} and an earlier one; rename one of them"
                    )
                seen.add(command + end)
                lines.append(rf"\newcommand{{\{command}{end}}}{{{latex_text(str(entry[key]))}}}")
    return "\n".join(lines) + "\n"


def _plain(text: str, signs: Mapping[str, str]) -> str:
    return "".join(signs[sign] for sign in text)
