#!/usr/bin/env bash
# A study on Slurm nodes that share a file system. Submitted again, it continues where it was stopped:
#   sbatch deploy/slurm.sh STUDY_FOLDER --data-dir DIR [options of 'tune']
# From the repository's root, with the environment of requirements.txt active. Five minutes before the time limit
# the study stops at its checkpoints; it survives the loss of a node. See deploy/README.md.
#SBATCH --job-name=sa-study
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --no-kill
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail
set -m # each background process is a group of its own, which can be signalled as a whole

study=${1:?usage: sbatch deploy/slurm.sh STUDY_FOLDER --data-dir DIR [options of tune]}
shift

# A token for this job alone, which travels in the environment: no file holds it.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
# At the end Ray would wait 30 s for a node's work to move elsewhere, and Slurm would kill it meanwhile.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0

# Runs Ray on a node until a signal, in a folder that is removed at the end. Every port is a free one.
ray_node() { # FOLDER [options of 'ray start']
    : "${RAY_AUTH_TOKEN:?is missing on $SLURMD_NODENAME, where Ray would be open to anyone}"
    export RAY_AUTH_MODE=token
    local folder=$1 stopped=
    trap 'stopped=yes' INT TERM
    ray start "${@:2}" --block --temp-dir="$folder" --num-cpus="$SLURM_CPUS_PER_TASK" \
        --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --min-worker-port=0 --max-worker-port=0 \
        --dashboard-agent-listen-port=0 > "$folder/ray_start.log" 2>&1 || true
    trap '' INT TERM
    [[ $stopped ]] || {
        echo "Ray has ended on $SLURMD_NODENAME:"
        grep -m 3 -E 'exit code=|Error|Exception:' "$folder/ray_start.log"
    } >&2
    rm -rf "$folder"
}
study_driver() { # exits with 0 where a signal has stopped the study at its checkpoints
    trap : INT TERM
    (echo "$BASHPID" > "$folder/driver" && exec python run_study.py "$@") || (($? == 130 || $? == 143))
}
export -f ray_node study_driver
# Not the variables that were chosen at submission, but all.
step=(srun --export=ALL --overlap --nodes=1 --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK")

# The head is this node, at the address from which it reaches the others; its name may stand for the loopback.
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
other=$(scontrol show node "${nodes[-1]}" | grep -oP 'NodeAddr=\K\S+')
read -r ip port < <(python - "$other" << 'END'
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as route, socket.socket() as free:
    route.connect((sys.argv[1], 9))
    free.bind(("", 0))
    print(route.getsockname()[0], free.getsockname()[1])
END
)
folder=$(mktemp -d "/tmp/ray_${SLURM_JOB_ID}_XXXXXX")
export folder
ray_node "$folder" --head --node-ip-address="$ip" --port=0 --ray-client-server-port="$port" \
    --include-dashboard=false &
head=$!
end_ray() {
    scancel --signal=INT "$SLURM_JOB_ID" || true # to the steps; SIGTERM would leave an error of Slurm's for each
    kill -INT -- "-$head" || true
    wait
    rm -rf "$folder" # once more: where Ray ended first, the driver may have written there since
} 2> /dev/null
trap end_ray EXIT
trap exit TERM
until [[ -s $folder/ray_current_cluster ]]; do
    kill -0 "$head" 2> /dev/null || exit 1
    sleep 0.5
done
address=$(< "$folder/ray_current_cluster")
for node in "${nodes[@]}"; do # used as they come; one that fails is done without
    [[ $node == "$SLURMD_NODENAME" ]] || "${step[@]}" --nodelist="$node" bash -c \
        'ray_node "$(mktemp -d "/tmp/ray_${SLURM_JOB_ID}_XXXXXX")" "$@"' - --address="$address" &
done

"${step[@]}" --nodelist="$SLURMD_NODENAME" bash -c 'study_driver "$@"' \
    run_study.py tune --resume --study "$study" --address "$address" "$@" &
driver=$!
stop_study() { # as Ctrl-C does
    until [[ -s $folder/driver ]] || ! kill -0 "$driver"; do sleep 0.5; done
    kill -INT "$(< "$folder/driver")" || true
}
trap stop_study TERM
code=0
wait "$driver" || code=$?
if ((code > 128)); then # the trap may have ended the wait
    code=0
    wait "$driver" || code=$?
fi
exit "$code"
