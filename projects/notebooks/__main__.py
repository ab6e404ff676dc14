"""Executes the notebooks and stores their outputs in them: python -m projects.notebooks [NAME ...]."""

import sys

from .run import NOTEBOOKS, execute, read, write


def main() -> None:
    wanted = set(sys.argv[1:])
    unknown = wanted - {path.stem for path in NOTEBOOKS}
    if unknown:
        raise SystemExit(f'expected some of {[path.stem for path in NOTEBOOKS]}, got {sorted(unknown)}')
    for path in NOTEBOOKS:
        if not wanted or path.stem in wanted:
            write(path, execute(read(path)))
            print(path)


if __name__ == '__main__':
    main()
