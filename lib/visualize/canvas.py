"""Drawing on BGR uint8 images: enlarge, label, arrange, write."""
import os

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lib.files import atomic_write

INK = (32, 32, 32)
PAPER = (250, 250, 250)


def font(size):
    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), size)


def palette(index):
    """A BGR colour for a class: hues a golden angle apart, so that neighbours in the list never look alike."""
    hue = int(index * 180 * 0.618034) % 180
    hsv = np.uint8([[[hue, 200, 235 if index % 2 else 200]]])
    return tuple(int(v) for v in cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0])


def enlarge(image, shortest=420):
    """Scale an image (H, W, 3) up so that its short side has at least ``shortest`` pixels; returns (image, factor)."""
    factor = max(1.0, shortest / min(image.shape[:2]))
    if factor == 1.0:
        return image.copy(), factor
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), factor


def write_text(image, text, position, size=15, colour=PAPER, background=None):
    """Draw one line of text with its top left corner at ``position`` (x, y), on a filled box where ``background`` is given."""
    picture = Image.fromarray(image[:, :, ::-1])
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font(size))
    width, height = right - left + 8, bottom - top + 6
    x = int(np.clip(position[0], 0, max(0, image.shape[1] - width)))
    y = int(np.clip(position[1], 0, max(0, image.shape[0] - height)))
    if background is not None:
        draw.rectangle((x, y, x + width, y + height), fill=tuple(background[::-1]))
    draw.text((x + 4 - left, y + 3 - top), text, font=font(size), fill=tuple(colour[::-1]))
    image[:] = np.asarray(picture)[:, :, ::-1]
    return image


def text_height(size=15):
    top, bottom = font(size).getbbox('Ag')[1::2]
    return bottom - top + 6


def sheet(rows, captions=(), gap=10, size=15):
    """Arrange images in rows (list of lists, equal sizes within a row) on white paper, a caption (str) above each row that has one."""
    width = max(sum(image.shape[1] + gap for image in row) for row in rows) + gap
    strips = []
    for index, row in enumerate(rows):
        caption = captions[index] if index < len(captions) else ''
        if caption:
            strip = np.full((text_height(size) + gap, width, 3), 255, np.uint8)
            strips.append(write_text(strip, caption, (gap - 4, gap), size, INK))
        strip = np.full((max(image.shape[0] for image in row) + gap, width, 3), 255, np.uint8)
        x = gap
        for image in row:
            strip[gap:gap + image.shape[0], x:x + image.shape[1]] = image
            x += image.shape[1] + gap
        strips.append(strip)
    strips.append(np.full((gap, width, 3), 255, np.uint8))
    return np.concatenate(strips)


def save(path, image):
    """Write a BGR image as PNG or JPEG by the path's extension; the file appears whole or not at all. Returns the path."""
    done, data = cv2.imencode(os.path.splitext(path)[1] or '.png', image)
    assert done, path
    with atomic_write(path) as stream:
        stream.write(data.tobytes())
    return path
