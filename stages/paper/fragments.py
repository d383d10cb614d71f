"""paper-fragments: the paper's numbers and tables, from the files that runs wrote."""

from earthsignals.publication.fragments import write_fragments
from earthsignals.stage import run_stage


def main() -> None:
    absent = write_fragments(".", "reports/paper/numbers")
    if absent:
        print(
            f"{len(absent)} numbers of the paper are not measured at this scale and stand as dashes: "
            f"{', '.join(absent)}; `earthsignals scale laptop` and `dvc repro` fill them"
        )


if __name__ == "__main__":
    run_stage(main)
