"""Pictures inside a page: as ``data:`` URIs, so that a report is one file."""

from __future__ import annotations

import base64
import io

from PIL import Image

__all__ = ["data_uri", "thumbnail"]


def data_uri(picture: bytes, kind: str = "png") -> str:
    """Return a picture as a ``data:`` URI."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def thumbnail(png: bytes, side: int) -> bytes:
    """Return a PNG at most ``side`` pixels a side; smaller ones are returned as they are."""
    with Image.open(io.BytesIO(png)) as image:
        if max(image.size) <= side:
            return png
        image.thumbnail((side, side), Image.Resampling.BOX)
        stream = io.BytesIO()
        image.save(stream, "PNG")
        return stream.getvalue()
