#!/usr/bin/env bash
# All that a GPU has to show, in nine minutes: projects/benchmark/gpu.sh OUT
# OUT: table.md, figures.json and tests.txt, complete as far as time went. PARTS="sd21 tests" runs these alone.
# WHEELS=folder of wheels to install, see requirements/gpu.sh; MINIATURE=1: the same in seconds, on the CPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:?OUT is missing} python=${PYTHON:-python3} options=()
# one thread: forks of a process that has computed with more would wait for threads that they do not have
export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
if [[ ${WHEELS:-} ]]; then
    requirements/gpu.sh "$WHEELS" work_dirs/gpu_packages "$python"
    export PYTHONPATH=$PWD/work_dirs/gpu_packages${PYTHONPATH:+:$PYTHONPATH}
fi
if [[ ${MINIATURE:-} ]]; then
    # compiling for a CPU takes a minute
    export TORCHDYNAMO_DISABLE=1
    options+=(--miniature)
fi
[[ ! ${PARTS:-} ]] || options+=(--parts $PARTS)
exec "$python" -m projects.benchmark.gpu "$out" "${options[@]}"
