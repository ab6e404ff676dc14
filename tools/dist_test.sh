#!/usr/bin/env bash
# Evaluates in several processes, one a GPU; without a GPU, on CPUs. The figures are those of one process.
set -euo pipefail

usage() {
    cat >&2 <<'TEXT'
usage: dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
  CHECKPOINT  of the plain model; none or - for a model without one (saved scores)
  GPUS        processes on this machine
variables:
  NNODES, NODE_RANK  machines, and which one this is, from 0; start the script on each (1, 0)
  MASTER_ADDR, PORT  where machine 0 is reached (127.0.0.1, 29500); two runs at once need two ports
  PYTHON             interpreter (python)
TEXT
    exit 2
}

if [[ $# -lt 3 ]]; then
    usage
fi
config=$1 checkpoint=$2 gpus=$3
shift 3
if [[ ! $gpus =~ ^[1-9][0-9]*$ ]]; then
    echo "dist_test.sh: expected a number of GPUs as third argument, got '$gpus'" >&2
    usage
fi
if [[ $checkpoint == none || $checkpoint == - ]]; then
    set -- "$config" --launcher pytorch "$@"
else
    set -- "$config" "$checkpoint" --launcher pytorch "$@"
fi

root=$(CDPATH="" cd -- "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes "${NNODES:-1}" \
    --node-rank "${NODE_RANK:-0}" \
    --nproc-per-node "$gpus" \
    --master-addr "${MASTER_ADDR:-127.0.0.1}" \
    --master-port "${PORT:-29500}" \
    "$root/tools/test.py" "$@"
