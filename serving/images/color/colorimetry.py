"""Color spaces that a few numbers describe: CICP (ITU-T H.273), or PNG's chunks.

The results match those of browsers, which also map HDR to the range of an ordinary display.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Chromaticities = tuple[float, ...]  # x and y of white, red, green and blue

_D65 = (0.3127, 0.329)
_C = (0.31, 0.316)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_PEAK = 1000 / 203  # cd/m²: the brightest still distinct from white, over BT.2408's white


@dataclass(frozen=True)
class Colorimetry:
    """The meaning of an RGB image's samples.

    `linearize` turns samples [..., 3], 0 to 1, into linear light, where 1 is the display's white.
    """

    chromaticities: Chromaticities
    linearize: Callable[[Floats], Floats]


def describe_cicp(primaries: int, transfer: int) -> Colorimetry | None:
    """Return the color space of two H.273 code points, or None if they are not supported."""
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        return None
    return Colorimetry(_PRIMARIES[primaries], _TRANSFERS[transfer])


def describe_gamma(chromaticities: Chromaticities | None, gamma: float) -> Colorimetry:
    """Return the color space of PNG's values; `gamma` is the exponent from light to samples."""
    # Writers use 1/2.2 for sRGB's curve, which gAMA cannot express exactly.
    linearize = _srgb if abs(gamma * 2.2 - 1) < 0.05 else _power(1 / gamma)
    return Colorimetry(chromaticities or SRGB.chromaticities, linearize)


def convert(samples: npt.NDArray[np.uint8], source: Colorimetry) -> npt.NDArray[np.uint8]:
    """Convert samples [..., 3] to sRGB, clipping out-of-gamut colors.

    Raises:
        ValueError: the primaries are on a line, or do not enclose white.
    """
    to_xyz = _matrix(source.chromaticities)
    light: Floats = source.linearize(samples / 255) @ (np.linalg.inv(_TO_XYZ) @ to_xyz).T
    light = light.clip(0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    converted: npt.NDArray[np.uint8] = np.rint(255 * curve).astype(np.uint8)
    return converted


def _matrix(chromaticities: Chromaticities) -> Floats:
    """Return the matrix from light of these primaries to XYZ, adapted to D65."""
    xy = np.reshape(chromaticities, (4, 2))
    xyz = np.column_stack([xy, 1 - xy.sum(axis=1)])
    primaries = xyz[1:].T
    strengths = np.linalg.solve(primaries, xyz[0])
    cones = _BRADFORD @ xyz[0]
    if min(xyz[0, 1], *strengths, *cones) <= 0:
        raise ValueError("white is not between the primaries")
    d65 = np.array([*_D65, 1 - sum(_D65)]) / _D65[1]
    adapted = np.diag(_BRADFORD @ d65 / cones)
    matrix: Floats = np.linalg.inv(_BRADFORD) @ adapted @ _BRADFORD @ (primaries * strengths)
    return matrix


def _srgb(samples: Floats) -> Floats:
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


def _power(exponent: float) -> Callable[[Floats], Floats]:
    return lambda samples: samples**exponent


def _smpte_240m(samples: Floats) -> Floats:
    return np.where(samples < 0.0912, samples / 4, ((samples + 0.1115) / 1.1115) ** (1 / 0.45))


def _pq(samples: Floats) -> Floats:
    root = samples ** (1 / 78.84375)
    light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578)
    return _tone_map(light * 10_000 / 203)


def _hlg(samples: Floats) -> Floats:
    bright = (np.exp((samples - 0.55991073) / 0.17883277) + 0.28466892) / 12
    scene = np.where(samples <= 0.5, samples**2 / 3, bright)
    luminance = scene @ (0.2627, 0.678, 0.0593)
    return _tone_map(scene * luminance[..., None] ** 0.2 * _PEAK)


def _tone_map(light: Floats) -> Floats:
    """Make room for highlights: Reinhard's curve, by the strongest channel to keep the hue."""
    strongest = light.max(axis=-1, keepdims=True)
    mapped: Floats = light * (1 + strongest / _PEAK**2) / (1 + strongest)
    return mapped


_PRIMARIES = {
    1: (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06),  # BT.709, sRGB
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),  # BT.601 with 625 lines
    6: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),  # BT.601 with 525 lines
    7: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),  # BT.2020
    10: (1 / 3, 1 / 3, 1, 0, 0, 1, 0, 0),  # XYZ
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),  # DCI-P3
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),  # Display P3
    22: (*_D65, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077),
}
_TRANSFERS = {
    # A camera's curve; its output is meant for displays with that of BT.1886.
    **dict.fromkeys((1, 6, 11, 14, 15), _power(2.4)),
    4: _power(2.2),
    5: _power(2.8),
    7: _smpte_240m,
    8: _power(1.0),
    13: _srgb,
    16: _pq,
    17: lambda samples: 52.37 / 48 * samples**2.6,
    18: _hlg,
}
SRGB = Colorimetry(_PRIMARIES[1], _srgb)
_TO_XYZ = _matrix(SRGB.chromaticities)
