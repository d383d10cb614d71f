"""paper: the paper as PDF."""

from earthsignals.publication.provenance import as_input
from earthsignals.publication.typeset import typeset
from earthsignals.stage import run_stage


def main() -> None:
    typeset(
        "reports/paper/paper.typ", "reports/paper/paper.pdf", root=".",
        inputs={"provenance": as_input("data/paper/figures")},
    )  # fmt: skip


if __name__ == "__main__":
    run_stage(main)
