"""Write scikit-learn's handwritten digits as image files, one folder for each digit.

    uv run --group training examples/digits.py digits

1,797 images of 8×8 pixels (E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository), which
scikit-learn has with it: nothing is downloaded. They are an example of images of one's own.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write_digits(folder: Path) -> None:
    """Write `folder`/<digit>/<number>.png, white on black."""
    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)  # 0 to 16, as they are
    for number, (image, digit) in enumerate(zip(images, digits.target, strict=True)):
        path = folder / str(digit) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


if __name__ == "__main__":
    write_digits(Path(sys.argv[1] if len(sys.argv) > 1 else "digits"))
