"""README section of the claims: how many of them hold, by whose claims they are."""

from __future__ import annotations

from earthsignals.publication.claims import VERDICTS
from earthsignals.publication.sections.words import Numbers, table

SEEDS = {
    "tdlas": "the course on laser absorption",
    "plume": "the saliency of plumes, its two runtime tables included",
    "seismic": "the autoencoder of spectrograms", "clouds": "the triplets of cloud tiles",
    "superdarn": "the drift forecast's configuration and weights",
}


def results(judged: Numbers) -> str:
    """Verdicts counted, of the seeds' claims by pipeline and of ours; and which of ours do not hold."""
    rows = judged["claims"]
    groups = {
        f"{pipeline}: {label}": [row for row in rows if row["pipeline"] == pipeline and not row["ours"]]
        for pipeline, label in SEEDS.items()
    }
    groups["our own: bars, limits and headline figures"] = [row for row in rows if row["ours"]]
    counted = [
        [name, *(str(sum(row["verdict"] == verdict for row in group)) for verdict in VERDICTS)]
        for name, group in groups.items()
        if group
    ]
    missed = [row for row in rows if row["ours"] and row["verdict"] == "not reproduced"]
    lines = table(["claims of", *VERDICTS], counted)
    if missed:
        told = "; ".join(f"{row['claim']} ({_missed(row)})" for row in missed)
        lines += ["", f"Of our own these do not hold: {told}."]
    return "\n".join(lines)


def _missed(row: Numbers) -> str:
    return f"{row['measured']:.3g}, claimed {row['expected']} {row['unit']}".rstrip()


SECTIONS = {"claims:results": ("reports/claims.json", results)}
