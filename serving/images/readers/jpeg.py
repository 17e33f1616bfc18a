"""JPEG: ITU-T T.81.

Pillow gets only what it needs to decode the first image in the file: it mistakes an index of
several images for another format, and rejects files without an end marker.
"""

import io
import re
from dataclasses import dataclass

from PIL import Image, ImageChops, JpegImagePlugin

from serving.images.exif import read_orientation
from serving.images.readers.encoded import EncodedImage, UnreadVariantError

_THUMBNAIL = (128, 128)  # pixels at least; the resampling drops finer detail
# Any marker except those that restart the coder within a scan.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_TABLES = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}  # DHT, DAC, DQT, DNL, DRI
_PROGRESSIVE = {0xC2, 0xCA}
_FRAMES = {0xC0, 0xC1, 0xC9} | _PROGRESSIVE
_UNREAD_FRAMES = {
    **dict.fromkeys((0xC3, 0xCB), "a lossless JPEG file"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE), "a hierarchical JPEG file"),
    0xF7: "a JPEG-LS file",
}
_COLOR_SEGMENTS = {_APP0: (b"JFIF\0", 14), _APP14: (b"Adobe", 12)}
_COEFFICIENTS = 64  # of a block
# After a scan that is cut off, different filler bits give different pixels.
_OTHER_BITS = b"\x55\xaa" * 2048


@dataclass
class _Segment:
    marker: int
    content: bytes  # after its length
    coded: bytes = b""  # for a scan, the coded data after it

    def pack(self) -> bytes:
        length = len(self.content) + 2
        return bytes((0xFF, self.marker)) + length.to_bytes(2) + self.content + self.coded


def read(content: bytes) -> EncodedImage:
    """Walk the segments up to the end of the first image.

    Raises:
        ValueError, IndexError: a segment is missing or broken.
        UnreadVariantError: it has 12 bits, is lossless or hierarchical, or has no height.
    """
    segments, ended = _walk(content)
    exif = [s.content for s in segments if s.marker == _APP1 and s.content.startswith(b"Exif\0\0")]
    profile = [
        s.content[12:]
        for s in segments
        if s.marker == _APP2 and s.content.startswith(b"ICC_PROFILE\0")
    ]
    (frame,) = [s.content for s in segments if s.marker in _FRAMES]
    height = int.from_bytes(frame[1:3])
    if not height:
        raise UnreadVariantError("a JPEG file with its height after its pixels (DNL)")
    stripped = b"\xff\xd8" + b"".join(
        s.pack() for s in segments if not _is_aside(s.marker) or _tells_colors(s)
    )

    def load(thumbnail: bool) -> Image.Image:
        image = _decode(stripped, thumbnail)
        if not ended:
            other = _decode(stripped + _OTHER_BITS, thumbnail)
            if ImageChops.difference(image, other).getbbox(alpha_only=False):
                raise ValueError("the last scan is cut off")
        return image

    return EncodedImage(
        width=int.from_bytes(frame[3:5]),
        height=height,
        load=load,
        orientation=read_orientation(exif[0]) if exif else 1,
        # Each part begins with its number and how many there are.
        color=b"".join(part[2:] for part in sorted(profile)) or None,
        scans=sum(s.marker == _SOS for s in segments),
    )


def _walk(content: bytes) -> tuple[list[_Segment], bool]:
    """Return the segments of the first image, and whether its end is marked."""
    segments: list[_Segment] = []
    scans = 0
    progressive = False
    missing: dict[int, int] = {}  # by component, a bit for each incomplete coefficient
    position = 2
    while found := _MARKER.search(content, position):
        marker = content[found.end() - 1]
        if segments and segments[-1].marker == _SOS:
            segments[-1].coded = content[position : found.start()]
        if marker == _EOI:
            return segments, True
        length = int.from_bytes(content[found.end() : found.end() + 2])
        position = found.end() + max(length, 2)
        whole = length >= 2 and position <= len(content)
        known = marker in _TABLES or marker == _SOS or _is_aside(marker)
        if scans and (not known or not (progressive or any(missing.values()))):
            break  # what follows is not part of the image
        if not whole:
            raise ValueError("a segment is cut off")
        segment = _Segment(marker, content[found.end() + 2 : position])
        segments.append(segment)
        if marker in _UNREAD_FRAMES:
            raise UnreadVariantError(_UNREAD_FRAMES[marker])
        if marker in _FRAMES:
            if segment.content[0] != 8:
                raise UnreadVariantError(f"a JPEG file with {segment.content[0]} bits per sample")
            if missing:
                raise ValueError("there are two frames")
            progressive = marker in _PROGRESSIVE
            components = segment.content[6 : 6 + 3 * segment.content[5] : 3]
            missing = dict.fromkeys(components, (1 << _COEFFICIENTS) - 1)
        elif marker == _SOS:
            scans += 1
            _complete(missing, segment.content)
    if not scans or any(missing.values()):
        raise ValueError("scans are missing")
    if not found and segments[-1].marker == _SOS:
        segments[-1].coded = content[position:].rstrip(b"\xff")
    return segments, False


def _complete(missing: dict[int, int], header: bytes) -> None:
    """Clear the bits of the coefficients that a scan completes."""
    count = header[0]
    first, last, bits = header[1 + 2 * count : 4 + 2 * count]
    last = min(last, _COEFFICIENTS - 1)
    if bits & 15 or first > last:
        return
    for component in header[1 : 1 + 2 * count : 2]:
        if component in missing:
            missing[component] &= ~((2 << last) - (1 << first))


def _is_aside(marker: int) -> bool:
    return _APP0 <= marker <= _APP15 or marker == _COM


def _tells_colors(segment: _Segment) -> bool:
    """Return whether a segment tells what the components are; libjpeg ignores shorter ones."""
    name, length = _COLOR_SEGMENTS.get(segment.marker, (b"", 0))
    return bool(name) and segment.content.startswith(name) and len(segment.content) >= length


def _decode(stripped: bytes, thumbnail: bool) -> Image.Image:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(stripped + b"\xff\xd9"))
    if thumbnail:
        image.draft(None, _THUMBNAIL)
    image.load()
    return image
