"""Table of the radar pipeline: errors and skill by lead, on simulated days and on the real one."""

from __future__ import annotations

from earthsignals.publication.numbers import Results
from earthsignals.publication.sections.superdarn import LEADS, METHODS, SKILLS
from earthsignals.publication.tables.model import Cell, Table, label, number

SIMULATED, REAL = "reports/superdarn/metrics.json", "reports/superdarn/real.json"


def leads(results: Results) -> Table:
    """RMSE along the line of sight in m/s by lead, the network's with its interval; skills below."""
    files = (SIMULATED, REAL)
    known = [lead for lead in LEADS if results.find(SIMULATED, f"skill_vs_damped.{lead}") is not None]
    rows = [
        [label(text), *(_rmse(results, file, name, lead) for file in files for lead in known)]
        for name, text in METHODS.items()
        if results.find(SIMULATED, f"rmse_m_s.{name}") is not None
    ]
    skills = len(rows)
    rows += [
        [
            label(text),
            *(
                number(results, file, f"{key}.{lead}", "fixed 2", bold="**" in text)
                for file in files
                for lead in known
            ),
        ]
        for key, text in SKILLS.items()
    ]
    return Table(
        head=["", *(f"{lead} min" for _ in files for lead in known)],
        rows=rows,
        rules=(skills,),
        groups=(("", 1), ("simulated days", len(known)), ("a real day", len(known))),
    )


def _rmse(results: Results, file: str, name: str, lead: str) -> Cell:
    own = name == "model"
    return number(results, file, f"rmse_m_s.{name}.{lead}", "fixed 0", bold=own, alone=not own)
