"""What a pipeline may lack at a small scale: a dash stands for it, where at larger ones it would be a fault.

`earthsignals scale smoke` makes metrics without some keys, and `dvc repro` then makes paper and report, too.
The scale of each pipeline is what `reports/claims.json` noted when claims were judged.
"""

from __future__ import annotations

import re
from typing import Any

DASH = "–"
PROMISED = ("laptop", "paper")
"""At these scales every number of the paper and of the cards is there."""


def may_lack(claims: Any, file: str) -> bool:
    """Whether numbers may be missing in `file`: the metrics of a pipeline that is at no promised scale.

    Args:
        claims: content of `reports/claims.json`, or None.
        file: path from the project's root.
    """
    metrics = re.fullmatch(r"reports/(\w+)/metrics\.json", file)
    scales = claims.get("scales") if isinstance(claims, dict) else None
    if metrics is None or not isinstance(scales, dict) or metrics[1] not in scales:
        return False
    return scales[metrics[1]] not in PROMISED
