"""paper-claims: verdicts on every claim of reports/claims.yaml and reports/expected.yaml."""

from pathlib import Path

from earthsignals.publication.claims import JUDGED, judge_all, scales_now, write
from earthsignals.stage import run_stage


def main() -> None:
    root = Path()
    judged = judge_all(root)
    write(root / JUDGED, judged, scales_now(root))
    for row in judged:
        if row.regression:
            print(f"{row.id}: {row.verdict}, promised {row.promised}")


if __name__ == "__main__":
    run_stage(main)
