#!/bin/sh
# Prepares a folder for the replay of many traces, and prints the number of its last share.
#
#     prepare.sh LIST FOLDER
#
# LIST has the path of a trace a line, as all machines see it. SIZE, from the environment, says how many of them make a share:
# as many as take some minutes, and enough for the shares to be no more than Slurm's MaxArraySize allows (1000; the default
# sees to that).
set -eu

list=$1
folder=$2
traces=$(grep -c . "$list")
least=$(((traces + 999) / 1000))
size=${SIZE:-$((least > 10 ? least : 10))}

# Other traces, or another size, would make other shares of the same names.
keep() {
  cat >"$folder/$1.new"
  if [ -e "$folder/$1" ] && ! cmp -s "$folder/$1" "$folder/$1.new"; then
    rm "$folder/$1.new"
    echo "prepare.sh: $folder/$1: expected what the folder was made from, found other $2: take a new folder" >&2
    exit 2
  fi
  mv "$folder/$1.new" "$folder/$1"
}

mkdir -p "$folder"
grep . "$list" | keep traces.txt traces
echo "$size" | keep size "sizes of shares"
echo $(((traces + size - 1) / size - 1))
