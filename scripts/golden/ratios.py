"""Writes test/golden/ratios/orders.json: in which order dynamic tiling tries its tile layouts.

NVILA and InternVL collect every (columns, rows) whose product lies between two limits in a Python set and sort it by
product. The sort is stable, so layouts of one product keep the order in which CPython's set happens to hand them out, and
that order decides ties between ratios. It follows from the hash of a tuple of integers and the growth of the set's table
(64-bit CPython 3.8 or newer), not from anything that could be written as a formula: hence a table.

    python3 scripts/golden/ratios.py
"""

import json
import pathlib
import platform
import sys

# Every pair of limits up to here, and from 1 alone further on: InternVL's lower limit is always 1.
EVERY_PAIR_UP_TO = 24
FROM_ONE_UP_TO = 40

# (columns, rows) as NVILA has them for 9 to 12 tiles: an interpreter that differs here is not the one that they meant.
KNOWN = [(3, 3), (9, 1), (1, 9), (10, 1), (1, 10), (2, 5), (5, 2), (11, 1), (1, 11), (1, 12), (6, 2), (12, 1), (3, 4), (4, 3), (2, 6)]


def ordered_layouts(least, most):
    # The order of insertion matters as well, because it decides who is moved on when two hashes meet.
    layouts = {
        (i, j)
        for n in range(least, most + 1)
        for i in range(1, n + 1)
        for j in range(1, n + 1)
        if least <= i * j <= most
    }
    return sorted(layouts, key=lambda layout: layout[0] * layout[1])


def main():
    if platform.python_implementation() != "CPython" or sys.version_info < (3, 8) or sys.maxsize < 2**32:
        sys.exit("Expected 64-bit CPython 3.8 or newer: the order is that of its sets")
    if ordered_layouts(9, 12) != KNOWN:
        sys.exit("Expected the known order for 9 to 12 tiles; this interpreter's sets have another")
    limits = [(least, most) for most in range(1, EVERY_PAIR_UP_TO + 1) for least in range(1, most + 1)]
    limits += [(1, most) for most in range(EVERY_PAIR_UP_TO + 1, FROM_ONE_UP_TO + 1)]
    orders = {
        f"{least}-{most}": " ".join(f"{columns}x{rows}" for columns, rows in ordered_layouts(least, most))
        for least, most in limits
    }
    folder = pathlib.Path(__file__).resolve().parents[2] / "test" / "golden" / "ratios"
    (folder / "orders.json").write_text(json.dumps(orders, indent=2) + "\n")


if __name__ == "__main__":
    main()
