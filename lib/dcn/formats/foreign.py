"""What a file is that was taken for an MXNet file: a word for the error sentence, found by its first bytes."""

import codecs
import re

RAW = 'a raw photo, as the camera stored it'
LFS = 'a Git LFS pointer, not the file itself'
_SIGNATURES = (
    (b'PK\x03\x04', 'a zip archive (.npz, a PyTorch file, or a packed download)'),
    (b'PK\x05\x06', 'an empty zip archive'),
    (b'\x1f\x8b', 'a gzip archive'),
    (b'BZh', 'a bzip2 archive'),
    (b'\xfd7zXZ', 'an xz archive'),
    (b'7z\xbc\xaf', 'a 7z archive'),
    (b'Rar!', 'a rar archive'),
    (b'\x93NUMPY', 'a NumPy .npy array'),
    (b'\x89HDF', 'an HDF5 file (Keras)'),
    (b'\x89PNG', 'a PNG image'),
    (b'\xff\xd8\xff', 'a JPEG image'),
    (b'GIF8', 'a GIF image'),
    (b'8BPS', 'a Photoshop file'),
    (b'%PDF', 'a PDF document'),
    (b'\x7fELF', 'a program or library'),
    (b'GGUF', 'a GGUF model'),
    (b'\x0a\x23\xd7\xce', 'a RecordIO file of images'),
    (b'OggS', 'an Ogg film or sound'),
    (b'\x1aE\xdf\xa3', 'a WebM or Matroska film'),
    (b'\xff\x0a', 'a JPEG XL image'),
    (b'\0\0\0\x0cJXL ', 'a JPEG XL image'),
    (b'\x76\x2f\x31\x01', 'an OpenEXR image'),
    (b'qoif', 'a QOI image'),
    (b'\0\0\1\0', 'an icon (.ico)'),
    (b'FUJIFILMCCD-RAW', RAW),
    (b'IIRO', RAW),
    (b'IIRS', RAW),
    (b'IIU\0', RAW),
    (b'%!PS', 'a PostScript file'),
    (b'\0\5\x16\7', 'what macOS keeps about another file (its name begins with ._)'),
    (b'/annex/objects/', 'a git-annex pointer, not the file itself'),
    (b'../.git/annex/', 'a git-annex pointer, not the file itself'),
    (b'.git/annex/', 'a git-annex pointer, not the file itself'),
)
TORCH_MAGIC = b'\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'  # behind the protocol of the pickle, in a file before 1.6
_PICKLE = re.compile(rb'\x80[\x02-\x05]')
_LFS = re.compile(rb'version https?://(git-lfs|hawser|git-media)')
_HTML = re.compile(rb'\s*<(!doctype|html|head|body|meta|title|script|\?xml|!--)', re.IGNORECASE)
_SVG = re.compile(rb'\s*(<\?xml[^>]*>|<!--.*?-->|<!doctype\s+svg[^>]*>|\s)*<svg[\s>]', re.IGNORECASE | re.DOTALL)
# brands of the container that phones use for photos and films
_BRANDS = {
    b'heic': 'a HEIC photo, as iPhones write them',
    b'heix': 'a HEIC photo, as iPhones write them',
    b'mif1': 'a HEIC photo, as iPhones write them',
    b'msf1': 'a HEIC photo, as iPhones write them',
    b'hevc': 'a HEIC photo, as iPhones write them',
    b'hevx': 'a HEIC photo, as iPhones write them',
    b'heim': 'a HEIC photo, as iPhones write them',
    b'heis': 'a HEIC photo, as iPhones write them',
    b'hevm': 'a HEIC photo, as iPhones write them',
    b'hevs': 'a HEIC photo, as iPhones write them',
    b'crx ': RAW,
    b'avif': 'an AVIF image',
    b'avis': 'an AVIF image',
    b'qt  ': 'a QuickTime film',
}
_RIFF = {b'WEBP': 'a WebP image', b'AVI ': 'an AVI film', b'WAVE': 'a WAV sound'}
_PARAMS = b'\x12\x01' + bytes(6)


def code(head: bytes) -> str:
    """'zip', 'safetensors', 'torch' (PyTorch's of before 1.6) or 'pickle' for the files that others of this project
    read or refuse by name; '' for anything else."""
    if head.startswith(b'PK\x03\x04'):
        return 'zip'
    if head[8:9] == b'{' and not any(head[4:8]):
        return 'safetensors'
    if _PICKLE.match(head):
        return 'torch' if TORCH_MAGIC in head[:32] else 'pickle'
    return ''


def kind(head: bytes) -> str:
    """A noun phrase for the file that begins with ``head`` (its first bytes, 512 are plenty)."""
    return _known(head) or _text(head)


def is_known(head: bytes) -> bool:
    """Whether kind() tells by more than its letters what begins with ``head``."""
    return _known(head) is not None


def _known(head):
    if not head:
        return 'an empty file'
    for signature, word in _SIGNATURES:
        if head.startswith(signature):
            return word
    if head.startswith((b'II*\0', b'MM\0*')):
        return RAW if head[8:10] == b'CR' else 'a TIFF image'
    if head.startswith((b'II+\0', b'MM\0+')):
        return 'a BigTIFF image'
    if head.startswith(b'RIFF'):
        return _RIFF.get(head[8:12], 'a RIFF file')
    if _LFS.match(head):
        return LFS
    if head[4:8] == b'ftyp':
        return _BRANDS.get(head[8:12], 'an MP4 film')
    if head.startswith(_PARAMS):
        return 'an MXNet checkpoint (.params)'
    if code(head) == 'torch':
        return 'a PyTorch file'
    if _PICKLE.match(head):
        return 'a Python pickle (never opened: it could run code)'
    text = _as_utf8(head)
    if _SVG.match(text):
        return 'an SVG drawing'
    if _HTML.match(text):
        return 'a web page (HTML or XML), as servers send it in place of a download'
    if code(head) == 'safetensors':
        return 'a safetensors file'
    if head[257:262] == b'ustar':
        return 'a tar archive'
    if not any(head):
        return 'a file that begins with zeros (a download that stopped?)'
    return None


def _as_utf8(head):
    """Text with a byte order mark without it, UTF-16 as UTF-8; anything else as it is."""
    for mark, encoding in ((codecs.BOM_UTF8, 'utf-8'), (codecs.BOM_UTF16_LE, 'utf-16-le'), (b'\xfe\xff', 'utf-16-be')):
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, 'ignore').encode()
    return head


def _text(head):
    try:
        text = head.decode('utf-8', errors='strict' if len(head) < 64 else 'ignore')
    except UnicodeDecodeError:
        text = ''
    printable = sum(c.isprintable() or c.isspace() for c in text)
    if printable < len(text) or printable * 4 < len(head):
        return 'bytes ' + ' '.join(f'{b:02x}' for b in head[:8])
    if text.lstrip()[:1] in ('{', '['):
        return 'a JSON text'
    return f'a text that begins with {text.strip()[:24]!r}'
