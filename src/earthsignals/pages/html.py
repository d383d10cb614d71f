"""A plain page in the house's style, readable by day, by night and on a telephone."""

from __future__ import annotations

import html
from pathlib import Path

from earthsignals.storage import atomic_path

STYLE = """
:root { color-scheme: light dark; }
body { font-family: "DejaVu Sans", Verdana, sans-serif; font-size: 14px; color: #222; background: #fff;
       max-width: 1180px; margin: 1.2em auto; padding: 0 1em; }
h1 { font-size: 1.35em; margin: 0 0 0.4em; }
p { line-height: 1.45; margin: 0.3em 0 0.9em; max-width: 62em; }
a { color: #0072B2; }
li { margin: 0.6em 0; }
.view { overflow-x: auto; background: #fff; color: #222; color-scheme: light; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #16181b; }
  a { color: #6ab7e8; }
  .view { padding: 8px; border-radius: 4px; }
}
"""


def write_html(path: Path, title: str, body: str) -> None:
    """Write a page, atomically; `body` is markup."""
    # An empty icon: browsers ask a server for one otherwise.
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
