"""Reads the first frame of GIF files: https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

import io

from PIL import GifImagePlugin, Image

from serving.images.readers.encoded import EncodedImage, drawn_within


class _FirstFrame(GifImagePlugin.GifImageFile):
    """Skips preparing the next frame: Pillow would fill as many pixels as that frame declares."""

    @property
    def disposal_method(self) -> int:
        return 0

    @disposal_method.setter
    def disposal_method(self, _: int) -> None:
        pass


def read(content: bytes) -> EncodedImage:
    """Read up to the first frame; on failure, raises whatever Pillow raises."""
    image = _FirstFrame(io.BytesIO(content))
    width, height = image.size
    extents = image.tile[0][1]

    def load(_: bool) -> Image.Image:
        transparent = "transparency" in image.info
        frame = image.convert("RGBA" if transparent else "RGB")
        if transparent or extents is None or extents == (0, 0, width, height):
            return frame
        return drawn_within(extents, frame)

    return EncodedImage(width, height, load)
