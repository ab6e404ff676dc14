#!/usr/bin/env bash
# Installs the Detectron2 that the tests run on: requirements/detectron2.sh [PYTHON]. One that is there is kept.
set -euo pipefail
python=${1:-python}
here=$(dirname "$0")
export CUDA_VISIBLE_DEVICES= # with a GPU maskformer2 would compile an operator, for minutes
unset FORCE_CUDA

has() { "$python" -c 'import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, sys.argv[1:])))' "$@"; }
pip() { "$python" -m pip install --quiet --no-deps --require-hashes "$@"; }

if ! has detectron2; then
    # into the environment by hand: pip takes a wheel of another Python's with --target alone
    pip --only-binary=:all: --python-version 3.10 --implementation cp --abi none --platform any \
        --target "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
        -r "$here/detectron2_wheel.txt"
elif ! "$python" -c 'from importlib.metadata import version; version("sal-detectron2")' 2>/dev/null; then
    echo 'this environment has a Detectron2 of its own: keeping it'
    exit
fi
if ! has mask2former panopticapi fvcore iopath portalocker yacs omegaconf antlr4 hydra tabulate cloudpickle; then
    # maskformer2's setup imports torch, so pip must not isolate what it builds; then `wheel` has to be there first
    pip -r <(grep '^wheel==' "$here/detectron2.txt")
    pip --no-build-isolation -r "$here/detectron2.txt"
fi
