"""tdlas-lines: the spectral lines that everything downstream is made from."""

from pathlib import Path

from earthsignals.params import load_section
from earthsignals.stage import run_stage
from earthsignals.storage import write_json
from earthsignals.tdlas.hitran import collect_lines
from earthsignals.tdlas.lines import write_lines
from earthsignals.tdlas.params import LinesParams

OUT = Path("data/tdlas")


def main() -> None:
    params = load_section("tdlas.lines", LinesParams)
    lines = collect_lines(params)
    write_lines(lines, OUT / "lines.csv")
    write_json(
        OUT / "lines.json",
        {
            "source": params.source,
            "edition": lines.edition,
            "lines": len(lines),
            "lines_in_window": len(lines.within(params.window_low, params.window_high)),
            "sha256": lines.sha256(),
            "window_cm-1": [params.window_low, params.window_high],
            "wing_margin_cm-1": params.wing_margin,
        },
    )


if __name__ == "__main__":
    run_stage(main)
