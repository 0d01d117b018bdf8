"""Reads many mutated files, and prints what came of them. Exits with 1 after a failure."""

import argparse
import os
import sys
from pathlib import Path

from fuzz import targets
from fuzz.workers import collect, run


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0, help="of the first input; the others follow")
    parser.add_argument("--target", nargs="*", default=(), choices=targets.ALL, help="formats; all by default")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/fuzz"), help="folder for the inputs")
    options = parser.parse_args()
    names = targets.choose(options.count, names=options.target)
    inputs = zip(names, range(options.seed, options.seed + options.count), strict=True)
    report = collect(run(inputs, options.output, workers=options.workers), progress=True)
    print("\n".join(report.lines()))
    sys.exit(bool(report.failures))


if __name__ == "__main__":
    main()
