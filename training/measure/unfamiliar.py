"""Images outside CIFAR-10's classes: generated, or cropped from scikit-image's photographs."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import skimage
import sklearn
from PIL import Image, ImageDraw, ImageFont

from models.record import IMAGE_SIZE
from training.data import Images

COUNT = 300  # images of each kind
_DRAWN = 4 * IMAGE_SIZE  # pixels; drawn larger and scaled down for smooth edges
# Public-domain or freely licensed, and without any of CIFAR-10's animals or vehicles.
_PHOTOGRAPHS = [
    *(
        Path(skimage.__file__).parent / "data" / name
        for name in (
            *("astronaut.png", "brick.png", "camera.png", "cell.png", "coffee.png", "coins.png"),
            *("grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png"),
            *("page.png", "retina.jpg", "text.png"),
        )
    ),
    *(Path(sklearn.__file__).parent / "datasets/images" / n for n in ("china.jpg", "flower.jpg")),
]

Make = Callable[[np.random.Generator], Image.Image]


def unfamiliar_images(seed: int = 0) -> Mapping[str, Images]:
    """Return `COUNT` images of each kind, uint8 [COUNT, 32, 32, 3] RGB, fixed by the seed."""
    random = np.random.default_rng(seed)
    return {
        kind: np.stack([np.asarray(make(random)) for _ in range(COUNT)])
        for kind, make in _KINDS.items()
    }


def _noise(random: np.random.Generator) -> Image.Image:
    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    return Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))


def _solid_color(random: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), _color(random))


def _gradient(random: np.random.Generator) -> Image.Image:
    start, end = np.array(_color(random)), np.array(_color(random))
    angle = random.uniform(0, 2 * np.pi)
    place = np.linspace(0, 1, IMAGE_SIZE)
    slope = np.cos(angle) * place[None, :] + np.sin(angle) * place[:, None]
    share = (slope - slope.min()) / np.ptp(slope)
    return Image.fromarray((start + (end - start) * share[..., None]).astype(np.uint8))


def _text(random: np.random.Generator) -> Image.Image:
    image = _solid_color(random)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(int(random.integers(8, 22)))
    for top in range(0, IMAGE_SIZE, int(random.integers(8, 20))):
        line = "".join(chr(code) for code in random.integers(ord("!"), ord("~"), 8))
        draw.text((int(random.integers(-4, 4)), top), line, fill=_color(random), font=font)
    return image


def _drawing(random: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (_DRAWN, _DRAWN), _color(random))
    draw = ImageDraw.Draw(image)
    for _ in range(random.integers(2, 7)):
        left, right = sorted(random.integers(0, _DRAWN, 2).tolist())
        top, bottom = sorted(random.integers(0, _DRAWN, 2).tolist())
        box, fill = (left, top, right, bottom), _color(random)
        match random.integers(4):
            case 0:
                draw.ellipse(box, fill=fill)
            case 1:
                draw.rectangle(box, fill=fill)
            case 2:
                draw.line(box, fill=fill, width=int(random.integers(2, 10)))
            case _:
                draw.polygon(random.integers(0, _DRAWN, 6).tolist(), fill=fill)
    return image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)


def _photograph(random: np.random.Generator) -> Image.Image:
    path = _PHOTOGRAPHS[random.integers(len(_PHOTOGRAPHS))]
    with Image.open(path) as photograph:
        size = int(random.integers(min(photograph.size) // 3, min(photograph.size) + 1))
        left, top = (int(random.integers(side - size + 1)) for side in photograph.size)
        square = photograph.convert("RGB").crop((left, top, left + size, top + size))
    return square.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)


def _color(random: np.random.Generator) -> tuple[int, ...]:
    return tuple(random.integers(0, 256, 3).tolist())


_KINDS: Mapping[str, Make] = {
    "noise": _noise,
    "solid colors": _solid_color,
    "gradients": _gradient,
    "text": _text,
    "drawings": _drawing,
    "photographs": _photograph,
}
