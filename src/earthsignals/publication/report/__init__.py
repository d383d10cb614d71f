"""The report: an overview and one page per pipeline, each a single file that opens from a disk, offline.

    write_report(Path("."), Path("reports"))

Prose stands in `reports/cards`, looks in `templates`, `style.css` and `page.js`; numbers come from what runs
wrote, figures from the bundle with their lineage, views from the pipelines' pages.
"""

from __future__ import annotations

from earthsignals.publication.report.build import PAGES, write_report

__all__ = ["PAGES", "write_report"]
