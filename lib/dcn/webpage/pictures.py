"""Images within a page."""

from __future__ import annotations

import cv2
import numpy as np

from dcn.webpage.document import Html, data_uri, escaped


def picture(image: np.ndarray, text: str, quality: int | None = 85, pixelated: bool = False) -> Html:
    """An image (H, W, 3) uint8 BGR; ``text`` says what it shows to those who cannot see it.

    quality: of a JPEG, 1 to 100; None: a PNG. pixelated: enlarged without smoothing.
    """
    ending, kind, options = (
        ('.png', 'image/png', [cv2.IMWRITE_PNG_COMPRESSION, 9])
        if quality is None
        else ('.jpg', 'image/jpeg', [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    )
    done, content = cv2.imencode(ending, image, options)
    assert done, text
    source = data_uri(content.tobytes(), kind)
    height, width = image.shape[:2]
    kind = ' class="pixelated"' if pixelated else ''
    return Html(f'<img{kind} src="{source}" width="{width}" height="{height}" alt="{escaped(text)}">')
