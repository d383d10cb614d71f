"""Whether bytes are those of an object: what its ETag says about them, and where it says nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earthsignals.remotes.bucket.objects import Object

Told = Callable[..., dict[str, Any]]
_MD5 = re.compile(r"[0-9a-f]{32}")
_PARTS = re.compile(r"[0-9a-f]{32}-(\d{1,5})")


def agrees(item: Object, content: Any, told: Told) -> bool | None:
    """Have the bytes `content` (bytes, or a memory map) the size and checksum of the object?

    told: asks the server for what it tells of the object, of a part where it is given `PartNumber`.
    None: its size, and the server offers no checksum that could be compared (encrypted with a key of its own,
    or put in parts of a size it does not tell).
    """
    if len(content) != item.size:
        return False
    etag = item.etag.lower()
    view = memoryview(content)
    try:
        if (parts := _PARTS.fullmatch(etag)) is not None:
            return _agrees_in_parts(etag, view, int(parts[1]), told)
        if _MD5.fullmatch(etag) is None:
            return None
        if hashlib.md5(view, usedforsecurity=False).hexdigest() == etag:
            return True
        # Encrypted objects have an ETag that looks like an MD5 and is none.
        encryption = str(told().get("ServerSideEncryption", ""))
        return None if encryption.startswith("aws:kms") else False
    finally:
        view.release()  # a memory map that is still looked at cannot be closed


def _agrees_in_parts(etag: str, view: memoryview, parts: int, told: Told) -> bool | None:
    first = told(PartNumber=1) if parts > 1 else {}
    if first.get("PartsCount") == parts:
        return _etag_in_parts(view, first["ContentLength"]) == etag
    # All parts but the last have one size, nearly always of whole mebibytes: few are possible.
    smallest = -(-len(view) // parts)
    largest = (len(view) - 1) // (parts - 1) if parts > 1 else max(len(view), 1)
    step = 1 << 20
    sizes = range(-(-smallest // step) * step, largest + 1, step) if parts > 1 else [largest]
    return True if any(_etag_in_parts(view, size) == etag for size in sizes[:64]) else None


def _etag_in_parts(view: memoryview, size: int) -> str:
    """S3's ETag of an upload in parts of `size` bytes: the MD5 of their MD5s, and their number."""
    digests = [
        hashlib.md5(view[start : start + size], usedforsecurity=False).digest()
        for start in range(0, len(view), size)
    ]
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"
