"""`earthsignals scale`: how big an experiment `params.yaml` describes."""

from __future__ import annotations

import typer

from earthsignals.params import Change, apply_scale, scale_changes, scale_names
from earthsignals.storage import find_project_root


def scale(
    name: str = typer.Argument(None, metavar="NAME", help="smoke, laptop or paper."),
) -> None:
    """Write a scale's concrete values into params.yaml, or show where it stands.

    Scales are sets of values in scales.yaml. Applying one changes those keys of params.yaml and
    nothing else; comments stay. `dvc repro` then runs what depends on them, and
    `dvc exp run -S KEY=VALUE` still overrides single values.

    Examples:

    \b
      earthsignals scale             which scale params.yaml is at, what others would change
      earthsignals scale smoke       a minute or two per pipeline
      earthsignals scale laptop      back to the default: about ten minutes per pipeline
    """
    root = find_project_root()
    params, scales = root / "params.yaml", root / "scales.yaml"
    if name is not None:
        changes = apply_scale(name, params, scales)
        print(f"params.yaml is at scale {name}" + (" already" if not changes else ":"))
        _show(changes)
        if changes:
            print("next: dvc repro")
        return
    differences = {each: scale_changes(each, params, scales) for each in scale_names(scales)}
    current = [each for each, changes in differences.items() if not changes]
    print(f"params.yaml is at scale {current[0]}" if current else "params.yaml is at none of them")
    for each, changes in differences.items():
        if changes:
            print(f"\nearthsignals scale {each} would change:")
            _show(changes)


def _show(changes: list[Change]) -> None:
    width = max((len(change.key) for change in changes), default=0)
    for key, old, new in changes:
        print(f"  {key:<{width}}  {old} → {new}")
