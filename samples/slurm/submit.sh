#!/bin/sh
# Replays many traces on a cluster: an array job, and a job that adds everything up when the array has ended.
#
#     submit.sh LIST FOLDER [OPTION…]
#
# LIST and FOLDER, and SIZE, are those of prepare.sh; OPTIONs are those of `pasid-replay replay`. What is submitted again
# replays what is missing. Partition, account, time limit and processors of a task come from sbatch's own variables:
# SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT, SBATCH_CPUS_PER_TASK, …
set -eu

here=$(cd "$(dirname "$0")" && pwd)
list=$1
folder=$2
shift 2

last=$("$here/prepare.sh" "$list" "$folder")
folder=$(cd "$folder" && pwd)

array=$(sbatch --parsable --array="0-$last" --output="$folder/%a.log" "$here/share.sh" "$folder" - "$@")
# Not afterok: the merge says itself what is missing.
merge=$(sbatch --parsable --dependency="afterany:$array" --output="$folder/merge.log" --open-mode=truncate \
  "$here/merge.sh" "$folder")
echo "array $array, merge $merge: $folder/total.json, $folder/merge.log"
