#!/usr/bin/env bash
# Installs wheels from a folder on a machine without network, beside its own torch and transformers:
#   requirements/gpu.sh WHEELS TARGET [PYTHON]     then export PYTHONPATH=TARGET
# Fill the folder where there is a network, one version of each:
#   pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64 \
#       --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d WHEELS \
#       diffusers==0.42.1 importlib_metadata onedl-mmengine==0.10.12 addict termcolor open_clip_torch==3.3.0 ftfy wcwidth
#   pip download --no-deps --no-binary=:all: --no-build-isolation -d WHEELS pydensecrf2==1.1   # compiled there, in a minute
set -euo pipefail
wheels=${1:?WHEELS is missing} target=${2:?TARGET is missing} python=${3:-python3}
shopt -s nullglob
install() { "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$target" "$@"; }
files=("$wheels"/*.whl)
[[ ${#files[@]} -gt 0 ]] || { echo "$wheels: expected wheels, found none" >&2; exit 1; }
install "${files[@]}"
for source in "$wheels"/*.tar.gz; do
    # with the machine's own setuptools and Cython; without it the dense CRF alone is missing
    install --no-build-isolation "$source" || echo "${source##*/}: does not build here" >&2
done
PYTHONPATH=$target${PYTHONPATH:+:$PYTHONPATH} "$python" - <<'EOF'
import importlib.util as u, sys

needed = {'torch': 'torch', 'transformers': 'transformers', 'diffusers': 'diffusers', 'mmengine': 'onedl-mmengine',
          'addict': 'addict', 'termcolor': 'termcolor', 'rich': 'rich', 'tqdm': 'tqdm', 'jinja2': 'jinja2',
          'pytest': 'pytest', 'importlib_metadata': 'importlib_metadata'}
optional = {'open_clip': 'open_clip_torch', 'ftfy': 'ftfy', 'pydensecrf': 'pydensecrf2'}
missing = [name for module, name in needed.items() if u.find_spec(module) is None]
without = [name for module, name in optional.items() if u.find_spec(module) is None]
if without:
    print('going on without', ', '.join(without))
sys.exit(f'expected wheels of {", ".join(missing)} too, found none' if missing else 0)
EOF
