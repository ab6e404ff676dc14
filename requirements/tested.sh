#!/usr/bin/env bash
# Installs the pinned set, this package and its priors: requirements/tested.sh PYTHON. By uv, since pip takes minutes to unpack CUDA's
# libraries; by pip where uv fails, as behind an index that only pip's configuration names.
set -euo pipefail
python=$1
here=$(dirname "$0")
"$python" -m pip install --quiet uv==0.13.9 || true

install() {
    "$(dirname "$python")/uv" pip install --system-certs --python "$python" "$@" || "$python" -m pip install "$@"
}

install -r "$here/tested.txt"
install --no-deps -r "$here/app.txt"
install --no-deps -e "$here/.." -e "$here/../priors"
