"""Detects the format of a file by its first bytes.

No library detects all of these: people send Git LFS pointers, base64 and HTML by mistake.
"""

import codecs
import re

BASE64 = "base64 text"

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"II*\x00", "TIFF"),  # as are DNG, NEF and most other raw formats
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"FUJIFILMCCD-RAW", "raw camera"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"\x8aMNG", "MNG"),
    (b"BPG\xfb", "BPG"),
    (b"gimp xcf", "GIMP"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"\x01\x00\x00\x00\x58\x00\x00\x00", "EMF"),
    (b"%PDF-", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"PK\x03\x04", "ZIP"),  # as are office documents
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (b"ID3", "MP3"),
    (b"OggS", "Ogg"),
    (b"\x93NUMPY", "NumPy"),
    (b"version https://git-lfs.github.com/", "Git LFS pointer"),
)
_BRANDS = (  # of files made of boxes: ISO/IEC 14496-12
    (rb"avi[fs]", "AVIF"),
    (rb"hei[cxms]|hev[cxms]|mif[12]|msf1", "HEIC"),
    (rb"crx ", "raw camera"),
    (rb"qt  ", "QuickTime video"),
    (rb"jp2 |jpx ", "JPEG 2000"),
)
_RIFF = {b"WEBP": "WebP", b"AVI ": "AVI video", b"WAVE": "WAV"}
_PORTABLE = re.compile(rb"P[1-7fF]\s")
_MARKUP = re.compile(rb"<(?:!doctype\s+|\w+:)?(html|svg)\b", re.IGNORECASE)
TEXT = 2**16  # bytes; enough to tell whether a file is text
_AS_TEXT = ("\x89PNG", "\u2030PNG", "ÿØÿ")  # PNG and JPEG, read as Latin-1 or Windows-1252
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a]")  # characters that text does not have
_DATA_URL = re.compile(rb"\s*data:[\w/+.-]*[;,]")
# Excludes what follows the brackets of other texts, such as [section] or {{ name }}.
_JSON = re.compile(
    rb"""\{\s*+(?:["}]|$) | \[\s*+(?:[]["{\d-]|(?:true|false|null)\b|$)""", re.VERBOSE
)
_JAVASCRIPT = re.compile(rb"\[object \w+\]")
# Possessive: otherwise the time for a text of newlines grows with the cube of its length.
_BASE64 = re.compile(rb"\s*+[A-Za-z0-9+/\r\n]{16,}+={0,2}\s*+")


def name_format(content: bytes) -> str | None:
    """Return the format's name, supported or not; None if it is unknown."""
    for magic, name in _MAGIC:
        if content.startswith(magic):
            return name
    if content.startswith(b"BM") and content[15:18] == bytes(3):  # the header's size, under 256
        return "BMP"
    if content.startswith(b"RIFF"):
        return _RIFF.get(content[8:12])
    if content[4:8] == b"ftyp":
        return _name_boxes(content)
    if _PORTABLE.match(content):
        return "PNM"
    return _name_text(content[:4096])


def find_damage(content: bytes) -> str | None:
    """Return how a file was damaged in transit, if its bytes show it."""
    if found := _JAVASCRIPT.match(content):
        return (
            f"is the text {found[0].decode()!r}: JavaScript converted an object to a string. "
            "Send the file's bytes: a Blob, a File or an ArrayBuffer."
        )
    try:
        # A binary file is not valid UTF-8. The last character may be cut off.
        text, _ = codecs.utf_8_decode(content[:TEXT], "strict", False)
    except UnicodeDecodeError:
        return None
    if text.startswith(_AS_TEXT) or ("\ufffd" in text and _CONTROL.search(text)):
        return (
            "was converted to text in transit, which changed its bytes. Send it as binary data: "
            "open the file in binary mode, and configure gateways to treat images as binary."
        )
    return None


def _name_boxes(content: bytes) -> str:
    size = int.from_bytes(content[:4])
    brands = [content[8:12], *(content[i : i + 4] for i in range(16, min(size, 256), 4))]
    # An AVIF image may lead with a brand that it shares with HEIC, and name its own later.
    if brands[0] in {b"mif1", b"msf1"}:
        brands = [*brands[1:], brands[0]]
    for brand in brands:
        for pattern, name in _BRANDS:
            if re.fullmatch(pattern, brand):
                return name
    return "MP4 video"


def _name_text(start: bytes) -> str | None:
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<") and (found := _MARKUP.search(text)):
        return found[1].decode().upper()
    if text.startswith(b"<?xml"):
        return "XML"
    if text.startswith(b"{\\rtf"):
        return "RTF"
    if _JSON.match(text):
        return "JSON"
    if _DATA_URL.match(text) or _BASE64.fullmatch(start):
        return BASE64
    return None
