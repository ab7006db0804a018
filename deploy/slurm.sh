#!/usr/bin/env bash
# A study on Slurm nodes that share a file system; submitted again, it goes on where it was stopped:
#   sbatch deploy/slurm.sh STUDY_FOLDER --data-dir DIR [options of 'tune']
# From the repository's root, with the environment of requirements.txt active. With neither a time limit that
# is too short nor --signal, Slurm would kill trials in the middle of an epoch.
#SBATCH --job-name=sa-study
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --output=%x-%j.log
set -euo pipefail
set -m # or the driver, being in the background, would be deaf to SIGINT

study=${1:?usage: sbatch deploy/slurm.sh STUDY_FOLDER --data-dir DIR [options of tune]}
shift

# A token for this job alone. It travels in the environment, which srun hands on: no file holds it.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
ip=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
address=$ip:$((20000 + SLURM_JOB_ID % 10000))
size=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --block)

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$ip" --port="${address#*:}" --include-dashboard=false \
    --temp-dir="/tmp/ray_$SLURM_JOB_ID" "${size[@]}" &
until ray status --address="$address" > /dev/null 2>&1; do
    kill -0 $! || exit 1 # the head is gone; its line says why
    sleep 2
done
if ((SLURM_JOB_NUM_NODES > 1)); then
    # Used as they come; a node that dies is done without.
    srun --overlap --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
        --kill-on-bad-exit=0 ray start --address="$address" "${size[@]}" &
fi

if [[ -f $study/study.yaml ]]; then
    command=(resume --study "$study" --address "$address")
else
    command=(tune --study "$study" --address "$address" "$@")
fi
python run_study.py "${command[@]}" &
driver=$!
trap 'kill -TERM "$driver"' TERM # like Ctrl-C: the study is left at its checkpoints
code=0
wait "$driver" || code=$?
if ((code > 128)); then # the trap ended the wait, not the driver
    code=0
    wait "$driver" || code=$?
fi
trap - TERM
kill %1 2> /dev/null || true # the head; its workers follow
exit "$code"
