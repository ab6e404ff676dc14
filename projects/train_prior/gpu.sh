#!/usr/bin/env bash
# Trains the street and the animal prior on a GPU and evaluates them on the four sets, in less than nine minutes:
#   projects/train_prior/gpu.sh OUT DATA [PRIORS]
# OUT: street.tar, animals.tar (unpack with cat NAME.tar* | tar -x -C FOLDER), their logs, table.md and table.csv.
# DATA: folder with camvid and voc_animals. PRIORS: folder with unpacked priors to go on from.
# MINUTES=5 of training; DOUBT_WEIGHT=0 trains to denoise alone; WHEELS=folder of wheels to install, see
# requirements/gpu.sh; MINIATURE=1: seconds, on the CPU.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=$(mkdir -p "${1:?OUT is missing}" && realpath "$1") data=${2:?DATA is missing} python=${PYTHON:-python3}
export DATA=$data PRIORS=work_dirs/gpu_priors SIDE=256 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
export PYTHONUNBUFFERED=1
# files of an earlier run would be taken for this one's
rm -f "$out"/{street,animals}.{tar,tar.*,log} "$out"/table.{md,csv}
trained=(--minutes "${MINUTES:-5}") device=cuda images=()
if [[ ${MINIATURE:-} ]]; then
    export PRIORS=$out/trainings SIDE=32
    trained=(--minutes 60 --side 32 --steps 2 --batch-size 4 --device cpu) device=cpu images=(--images 1)
fi
if [[ ${WHEELS:-} ]]; then
    requirements/gpu.sh "$WHEELS" work_dirs/gpu_packages "$python" || exit
    export PYTHONPATH=$PWD/work_dirs/gpu_packages${PYTHONPATH:+:$PYTHONPATH}
fi
[[ -z ${DOUBT_WEIGHT:-} ]] || trained+=(--doubt-weight "$DOUBT_WEIGHT")
init=()
[[ $# -lt 3 ]] || init=(--init "$3")
failed=0
"$python" -m projects.train_prior.gpu "$out" "$data" --folder "$PRIORS" "${trained[@]}" "${init[@]}" || failed=1

# the dense CRF is compiled: without it the priors alone are measured
runs=(once_crf twice_crf)
"$python" -c 'import pydensecrf.densecrf' 2>/dev/null || runs=(once)
measure() {
    timeout "$1" "$python" -m projects.experiments projects/experiments/configs/gpu_priors.py \
        --out "$PRIORS/results" --device $device "${images[@]}" "${@:2}"
}
if [[ ${MINIATURE:-} ]]; then
    measure 3600 --runs "${runs[@]:0:1}" || failed=1
else
    for i in "${!runs[@]}"; do
        # what is left of nine minutes, less the table, shared by the runs to come
        left=$(((500 - SECONDS) / (${#runs[@]} - i))) measured=()
        for set in voc_weak voc_strong camvid_day camvid_dusk; do
            measure $((left > 1 ? left : 1)) --sets $set --runs "${runs[i]}" >"$PRIORS/$set.txt" 2>&1 &
            measured+=($!)
        done
        for process in "${measured[@]}"; do wait "$process" || failed=1; done
    done
    # also of images that were measured before time was up
    measure 30 --runs "${runs[@]}" --table-only || { tail -n 5 "$PRIORS"/*.txt; failed=1; }
fi
cp "$PRIORS"/results/table.{md,csv} "$out" || failed=1
exit $failed
