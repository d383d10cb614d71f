"""Pictures inside a page: data URIs that need no file beside it."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image


def jpeg_uri(picture: np.ndarray, quality: int = 80) -> str:
    """(h, w, 3) or (h, w) uint8 as a JPEG inside a URI: photographs, by the thousand in small tiles."""
    return _uri(picture, "JPEG", quality=quality)


def webp_uri(picture: np.ndarray, quality: int) -> str:
    """(h, w, 3) uint8 as a WebP inside a URI: drawings and large sheets, smaller than JPEG at equal looks."""
    return _uri(picture, "WEBP", quality=quality, method=4)


def _uri(picture: np.ndarray, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(stream.getvalue()).decode("ascii")
