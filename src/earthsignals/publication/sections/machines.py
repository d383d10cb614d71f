"""What README.md says about carrying artifacts between machines."""

from __future__ import annotations

from earthsignals.publication.sections.words import Numbers, measured_on, table, three_digits

WAYS = {"ssh": "ssh", "s3": "S3"}
YARDSTICKS = {"ssh": "rsync", "s3": "rclone"}


def transport(found: Numbers) -> str:
    """DVC's speed beside that of the tool one would use by hand, for every link, way and direction."""
    rows = [row for row in found["rows"] if row["mb"] == found["megabytes"]]
    speed = {(row["link"], row["way"], row["direction"], row["tool"]): row for row in rows}
    shown = [
        [f"{link}, {WAYS[way]}, {direction}{' in the tunnel' if tool != 'dvc' else ''}",
         three_digits(row["mb_per_s"]), f"{three_digits(yardstick['mb_per_s'])} ({YARDSTICKS[way]})",
         f"{row['ratio']:.2f}"]
        for (link, way, direction, tool), row in speed.items()
        if tool.startswith("dvc")
        and (yardstick := speed[link, way, direction, YARDSTICKS[way]])
    ]  # fmt: skip
    files = sorted({row["files"] for row in rows})
    head = [f"{found['megabytes']:,.0f} MB in {files[0]} files", "DVC, MB/s", "by hand, MB/s", "ratio"]
    few, many = _few_and_many(found)
    return "\n".join([
        *table(head, shown), "",
        f"Whole commands, of which DVC's start alone takes {found['dvc_start_s']:.1f} s; what DVC pulls "
        "it hashes. Both ends run on one machine and share its processors; in the tunnel they encrypt "
        f"twice. Few large files matter more than the tool: {few['mb']:.0f} MB go in {few['seconds']:.1f} s "
        f"as {few['files']} files, in {many['seconds']:.1f} s as {many['files']:,}.{measured_on(found)}",
    ])  # fmt: skip


def _few_and_many(found: Numbers) -> list[Numbers]:
    """DVC's pushes of the same small amount in few and in many files."""
    small = [
        row for row in found["rows"]
        if row["mb"] != found["megabytes"] and row["tool"] == "dvc" and row["direction"] == "push"
    ]  # fmt: skip
    return sorted(small, key=lambda row: row["files"])


SECTIONS = {"machines:transport": ("reports/benchmarks/transport.json", transport)}
