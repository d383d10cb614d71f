"""Reading of .safetensors: named tensors and nothing that could run.

The format (github.com/huggingface/safetensors, "Format"): eight bytes with the length of the header, little
endian; the header, JSON, from a name to dtype, shape and the span of its bytes; then all tensors' bytes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from earthsignals.storage import EarthSignalsError

LONGEST_HEADER = 100_000_000  # bytes, by the format
TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a file by name, on the CPU.

    Raises EarthSignalsError: missing, truncated, damaged, or of a type that torch's CPU lacks.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 or not 2 <= length <= min(LONGEST_HEADER, len(content) - 8):
            raise ValueError("its header is longer than the file")
        header = json.loads(content[8 : 8 + length])
        data = memoryview(bytearray(content))[8 + length :]
        return {
            str(name): _tensor(described, data)
            for name, described in header.items()
            if name != "__metadata__"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EarthSignalsError(
            f"{path} cannot be read as .safetensors ({str(error)[:120]}): fetch the file again, or name one "
            "of that format"
        ) from None


def _tensor(described: dict[str, Any], data: memoryview) -> Tensor:
    kind = TYPES[described["dtype"]]
    shape = [int(size) for size in described["shape"]]
    start, stop = described["data_offsets"]
    count = math.prod(shape)
    fits = 0 <= start <= stop <= len(data) and stop - start == count * kind.itemsize
    if not fits or min(shape, default=0) < 0:
        raise ValueError(f"{count} numbers at bytes {start} to {stop} of {len(data)}")
    if count == 0:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(data[start:stop], dtype=kind).clone().view(shape)
