"""README sections of the superdarn pipeline."""

from __future__ import annotations

from earthsignals.publication.sections.words import Numbers, measured_on, table, three_digits

METHODS = {
    "model": "**network**", "field": "… its field of drift alone", "start": "linear start",
    "damped": "damped persistence", "damped_anomaly": "damped anomaly", "persistence": "persistence",
    "climatology": "climatology", "zero": "zero",
}  # fmt: skip
SKILLS = {
    "skill_vs_damped": "**skill over damped persistence**", "skill_vs_persistence": "skill over persistence",
    "skill_vs_climatology": "skill over climatology",
}  # fmt: skip
LEADS = ("2", "10", "30", "60")
"""Minutes ahead that get a column, where they were judged."""


def results(metrics: Numbers) -> str:
    """Skill and RMSE of every method by lead, on test days of the simulation."""
    lead = _longest(metrics)
    return "\n".join([
        f"{metrics['vectors'][lead]:,} vectors {lead} minutes after {metrics['issues']:,} times of issue, on "
        f"simulated days that training never saw. {_seen(metrics)}Every method is judged on these vectors. "
        "RMSE along the line of sight in m/s, with 95 % intervals over "
        f"{metrics['blocks']} blocks of time:",
        "", *_by_lead(metrics), "",
        _weather(metrics),
    ])  # fmt: skip


def real(found: Numbers) -> str:
    """The same on real days: trained further on the first half of each, judged on the second."""
    days = found["days"]
    told = "; ".join(
        f"{day['day']}, {day['hemisphere']}: {day['radars']} radars, {day['grid_vectors']:,} vectors"
        for day in days
    )
    lead, refused = _longest(found), len(found["ingest"]["refused"])
    return "\n".join([
        f"Real radars ({told}; {found['ingest']['files']} files read, {refused} refused). The network of the "
        "simulated days is trained further on the first twelve hours and judged on the last twelve: "
        f"{found['vectors'][lead]:,} vectors {lead} minutes after {found['issues']:,} times of issue. RMSE "
        f"along the line of sight in m/s, with 95 % intervals over {found['blocks']} blocks of time:",
        "", *_by_lead(found), "",
        " ".join([_against_damped(found), _weather(found)]).strip(),
    ])  # fmt: skip


def potential(found: Numbers) -> str:
    """How fast the potential of map files is worked out, and how exactly."""
    return (
        f"Potential and drift of map files: {three_digits(found['speedup_vs_pydarn'])} × as fast as pydarn "
        f"on the same points, at most {found['max_rel_error']:.1g} of the largest value from it."
        f"{measured_on(found)}"
    )


def _by_lead(numbers: Numbers) -> list[str]:
    """A column for each lead: RMSE of every method, then skill and anomaly correlation of the network."""
    leads = [lead for lead in LEADS if lead in numbers["skill_vs_damped"]]
    rmse = numbers["rmse_m_s"]
    rows = [
        [label, *(_rmse(numbers, name, lead) for lead in leads)]
        for name, label in METHODS.items()
        if name in rmse
    ]
    rows += [
        [label, *(_around(numbers, key, lead) for lead in leads)]
        for key, label in SKILLS.items()
        if key in numbers
    ]
    if "model" in numbers.get("acc", {}):
        ends = {f"acc{end}": numbers.get(f"acc{end}", {}).get("model", {}) for end in ("", "_low", "_high")}
        rows.append(["anomaly correlation", *(_around(ends, "acc", lead) for lead in leads)])
    return table(["", *(f"{lead} min" for lead in leads)], rows)


def _rmse(numbers: Numbers, method: str, lead: str) -> str:
    """The network's with its interval; a baseline's by itself, for room."""
    value = numbers["rmse_m_s"][method].get(lead)
    if value is None:
        return "–"
    low, high = (numbers.get(f"rmse_m_s{end}", {}).get(method, {}).get(lead) for end in ("_low", "_high"))
    if method != "model" or low is None or high is None:
        return f"{value:.0f}"
    return f"**{value:.0f}** ({low:.0f}–{high:.0f})"


def _weather(numbers: Numbers) -> str:
    """Skill over damped persistence in quiet and stormy hours, half an hour ahead."""
    told = []
    for name in ("quiet", "storm"):
        part = numbers.get(name, {})
        if part.get("skill_vs_damped", {}).get("30") is not None:
            told.append(f"{_around(part, 'skill_vs_damped', '30')} in {name} hours")
    return f"30 minutes ahead, skill over damped persistence is {' and '.join(told)}." if told else ""


def _against_damped(numbers: Numbers) -> str:
    """At which leads the network is above damped persistence beyond doubt, and where that cannot be told."""
    groups: dict[str, list[str]] = {"above": [], "below": [], "not to be told from": []}
    skill, low, high = (numbers.get(f"skill_vs_damped{end}", {}) for end in ("", "_low", "_high"))
    for lead, value in sorted(skill.items(), key=lambda item: int(item[0])):
        if value is None or low.get(lead) is None or high.get(lead) is None:
            continue
        kind = "above" if low[lead] > 0 else "below" if high[lead] < 0 else "not to be told from"
        groups[kind].append(lead)
    told = [f"{kind} damped persistence at {_list(leads)} minutes" for kind, leads in groups.items() if leads]
    return f"By these intervals the network is {'; '.join(told)}." if told else ""


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _seen(numbers: Numbers) -> str:
    """How little of the ionosphere the radars see."""
    if numbers.get("coverage") is None:
        return ""
    share = 100 * numbers["coverage"]
    return f"{numbers['radars']} radars see {share:.1f} % of the cells every two minutes. "


def _longest(numbers: Numbers) -> str:
    return max((lead for lead in numbers["vectors"]), key=int)


def _around(numbers: Numbers, key: str, lead: str) -> str:
    value = numbers[key].get(lead)
    if value is None:
        return "–"
    low, high = (numbers.get(f"{key}{end}", {}).get(lead) for end in ("_low", "_high"))
    text = f"{value:.2f}".replace("-", "−")
    if low is None or high is None:
        return text
    return f"{text} ({low:.2f} to {high:.2f})".replace("-", "−")


SECTIONS = {
    "superdarn:results": ("reports/superdarn/metrics.json", results),
    "superdarn:real": ("reports/superdarn/real.json", real),
    "superdarn:potential": ("reports/benchmarks/superdarn_potential.json", potential),
}
