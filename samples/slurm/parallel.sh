#!/bin/sh
# Replays many traces on this machine by GNU parallel, or on those that $PARALLEL names by --sshlogin, and adds everything up.
#
#     parallel.sh LIST FOLDER [OPTION…]
#
# As submit.sh; JOBS says how many shares are replayed at once (default: one a core). What was interrupted, or killed, goes
# on where it was when it is started again.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
list=$1
folder=$2
shift 2

last=$("$here/prepare.sh" "$list" "$folder")
folder=$(cd "$folder" && pwd)

# --resume-failed: --resume, and what was killed or failed once more.
seq 0 "$last" |
  parallel --quote --jobs "${JOBS:-100%}" --joblog "$folder/joblog" --resume-failed \
    "$here/share.sh" "$folder" '{}' "$@" ||
  echo "parallel.sh: not all shares were replayed: see $folder/joblog" >&2
"$here/merge.sh" "$folder"
