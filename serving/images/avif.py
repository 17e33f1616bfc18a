"""AVIF, its first image: https://aomediacodec.github.io/av1-avif/."""

import io

from PIL import AvifImagePlugin, Image

from serving.images.encoded import EncodedImage
from serving.images.exif import read_orientation

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a decoder's work is its own thread's


def read(content: bytes) -> EncodedImage:
    """Read the boxes; raises what Pillow does where that fails."""
    # Its boxes say how the image is turned; an Exif block, which Pillow would read whole, does not
    # count. By another name it is skipped.
    end = content.find(b"mdat")
    content = content[:end].replace(b"Exif\0", b"Skip\0") + content[end:]
    image = AvifImagePlugin.AvifImageFile(io.BytesIO(content))
    width, height = image.size

    def load(_: bool) -> Image.Image:
        image.load()
        return image

    return EncodedImage(
        width,
        height,
        load,
        orientation=read_orientation(image.info.get("exif", b"")),
        profile=image.info.get("icc_profile"),
    )
