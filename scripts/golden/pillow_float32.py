"""Pillow's own result for floats (its mode 'F'), of every case of test/golden/resize: pillow-*-float32.npy beside the input.

    python3 scripts/golden/pillow_float32.py [FOLDER]
"""

import pathlib
import re
import sys

import numpy
from PIL import Image

FILTERS = {
    "pillow-bicubic": Image.Resampling.BICUBIC,
    "pillow-bilinear": Image.Resampling.BILINEAR,
    "pillow-lanczos": Image.Resampling.LANCZOS,
    "pillow-box": Image.Resampling.BOX,
}


def resize(channel, size, resample):
    """[height, width] float32 to float32 of `size` (width, height)."""
    return numpy.asarray(Image.fromarray(channel, mode="F").resize(size, resample))


def main():
    here = pathlib.Path(__file__).resolve().parents[2]
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "test/golden/resize"
    for case in sorted(folder.iterdir()):
        height, width = map(int, re.search(r"-to-(\d+)x(\d+)$", case.name).groups())
        image = numpy.load(case / "input.npy").astype(numpy.float32) / numpy.float32(255)
        for name, resample in FILTERS.items():
            channels = [resize(numpy.ascontiguousarray(image[:, :, c]), (width, height), resample) for c in range(3)]
            numpy.save(case / f"{name}-float32.npy", numpy.stack(channels, axis=2))


main()
