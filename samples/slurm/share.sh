#!/bin/sh
# Replays one share of the traces of a folder that prepare.sh made: a task of an array job, or a job of GNU parallel.
#
#     share.sh FOLDER SHARE [OPTION…]
#
# SHARE counts from 0; "-" is Slurm's number of the task. OPTIONs are those of `pasid-replay replay`. The output,
# FOLDER/SHARE.ndjson, is there as a whole or not at all; where it is there, nothing is left to do: a task can be run as often as
# need be. PASID_REPLAY names the command.
#
# What a replay keeps of the caches by default (1 GiB), and what it takes itself; where a node fails, its task is run again:
#SBATCH --mem=1536M
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu

folder=$1
share=$2
shift 2
[ "$share" != - ] || share=$SLURM_ARRAY_TASK_ID

output=$folder/$share.ndjson
[ ! -e "$output" ] || exit 0

size=$(cat "$folder/size")
first=$((share * size + 1))
last=$((first + size - 1))

# What is found in a trace (status 1) is no failure of the task.
status=0
sed -n "${first},${last}p;${last}q" "$folder/traces.txt" |
  "${PASID_REPLAY:-pasid-replay}" replay --files-from - --jobs "${SLURM_CPUS_PER_TASK:-1}" --keep-going \
    --output "$output" "$@" || status=$?
[ "$status" -le 1 ] || exit "$status"
