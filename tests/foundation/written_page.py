"""What a page of docs/ tells its reader to write, done to the letter: so that the page itself is tested."""

from __future__ import annotations

import re
from pathlib import Path

# A bold path is a whole file; comments say where else the block below them goes.
_STEP = re.compile(
    r"^(?:\*\*`(?P<file>[^`\n]+)`\*\*\n\n|<!-- append (?P<end>\S+) -->\n"
    r"|<!-- in (?P<inside>\S+) (?P<how>after|before|replace): (?P<line>[^\n]+) -->\n)"
    r"```\w*\n(?P<text>.*?)```$",
    re.MULTILINE | re.DOTALL,
)


def follow(page: Path, project: Path) -> list[str]:
    """Write into `project` whatever `page` says; returns the paths, from the project's root, in its order."""
    done = []
    for step in _STEP.finditer(page.read_text(encoding="utf-8")):
        name = step["file"] or step["end"] or step["inside"]
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if step["file"]:
            assert not path.exists(), f"{page.name}: {name} is there already"
            path.write_text(step["text"], encoding="utf-8")
        elif step["end"]:
            path.write_text(path.read_text(encoding="utf-8") + step["text"], encoding="utf-8")
        else:
            _inside(path, step["line"], step["text"], step["how"])
        done.append(name)
    return done


def _inside(path: Path, start: str, text: str, how: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if line.strip().startswith(start)]
    assert len(found) == 1, f"{path.name}: {len(found)} lines begin with {start}"
    old = lines[found[0]]
    lines[found[0]] = {"after": old + text, "before": text + old, "replace": text}[how]
    path.write_text("".join(lines), encoding="utf-8")
