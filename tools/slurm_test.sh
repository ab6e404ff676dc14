#!/usr/bin/env bash
# Evaluates as a Slurm job, one process a GPU. The figures are those of one process.
set -euo pipefail

usage() {
    cat >&2 <<'TEXT'
usage: slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [arguments of tools/test.py]
  CHECKPOINT  of the plain model; none or - for a model without one (saved scores)
variables:
  GPUS           processes, one a GPU (4)
  GPUS_PER_NODE  of these on a machine (GPUS, 4 at the most)
  CPUS_PER_TASK  of each process (5)
  SRUN_ARGS      more arguments of srun, between spaces
  MASTER_PORT    where the processes meet (29500); two jobs on one machine need two
  PYTHON         interpreter (python)
TEXT
    exit 2
}

if [[ $# -lt 4 ]]; then
    usage
fi
partition=$1 job=$2 config=$3 checkpoint=$4
shift 4
if [[ $checkpoint == none || $checkpoint == - ]]; then
    set -- "$config" --launcher slurm "$@"
else
    set -- "$config" "$checkpoint" --launcher slurm "$@"
fi

gpus=${GPUS:-4}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 4 ? gpus : 4))}
read -r -a srun_args <<<"${SRUN_ARGS:-}"
root=$(CDPATH="" cd -- "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec srun \
    --partition="$partition" \
    --job-name="$job" \
    --gres="gpu:$gpus_per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${srun_args[@]+"${srun_args[@]}"} \
    "${PYTHON:-python}" -u "$root/tools/test.py" "$@"
