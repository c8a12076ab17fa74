#!/bin/sh
# Adds up what the shares of a folder came to, into FOLDER/total.json.
#
#     merge.sh FOLDER
#
# Fails, and says which traces, where some are missing, are there twice, or could not be replayed.
set -eu

folder=$1
"${PASID_REPLAY:-pasid-replay}" merge "$folder"/*.ndjson --expect "$folder/traces.txt" --output "$folder/total.json"
# What killed tasks have left half-written.
rm -f "$folder"/.*.tmp
