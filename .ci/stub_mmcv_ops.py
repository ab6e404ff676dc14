"""Gives mmcv-lite a module `mmcv._ext` whose operators raise an error: python .ci/stub_mmcv_ops.py.

mmsegmentation 1.2.2 imports every head at once, so that without compiled operators none can be had. Compiling them
takes 16 minutes. For `make test-upstream` alone, which makes the environment.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

STUB = '''"""Operators that were not compiled."""


def __getattr__(name):
    def operator(*_, **__):
        raise NotImplementedError(f'mmcv operator {name}: a stub; install mmcv with compiled operators')

    if name.startswith('__'):
        raise AttributeError(name)
    return operator
'''


def main() -> int:
    """Writes the stub; the exit code is 1 where there is no mmcv."""
    spec = find_spec('mmcv')
    if spec is None or spec.origin is None:
        print('stub_mmcv_ops: expected mmcv in this environment, found none', file=sys.stderr)
        return 1
    if find_spec('mmcv._ext') is None:
        (Path(spec.origin).parent / '_ext.py').write_text(STUB)
    return 0


if __name__ == '__main__':
    sys.exit(main())
