#!/usr/bin/env bash
# What a crosscoder loses to the storage of its activations: the embedded pair harvested as bf16, int8 and f32, both kinds of crosscoder trained on each with the same seed, and all of them
# validated on their own store and on the float32 one. Prints the table of bench/results/storage.md.
#
#   bench/storage.sh [FOLDER]
#
# FOLDER keeps the runs (default: a new temporary one, removed at the end); what is there is not made again. DIFFRACT is the program, RUN is put before every call (a queue, a priority).
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
  folder=$1
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi

mkdir -p "$folder"
[ -n "${DIFFRACT:-}" ] || dotnet build src/Diffract.Cli -c Release -v q
diffract() { ${RUN:-} dotnet "${DIFFRACT:-artifacts/bin/Diffract.Cli/release/Diffract.Cli.dll}" "$@" > "$folder/said" 2>&1 || { tail -n 3 "$folder/said" >&2; exit 1; }; }

assets=assets/organism
files=(--text $assets/documents.jsonl.gz --chats $assets/chats.jsonl.gz)
loaded=()
for storage in bf16 int8 f32; do
  diffract tokenize "$folder/$storage" --base $assets/base --chat $assets/chat "${files[@]}"
  diffract harvest "$folder/$storage" --layer 3 --storage $storage
  for kind in batchtopk l1; do
    diffract train "$folder/$storage" --layer 3 --kind $kind --name $kind-$storage --seed 42
    mkdir -p "$folder/loaded/$kind-$storage"
    cp "$folder/$storage/crosscoders/$kind-$storage/"{model.safetensors,config.json} "$folder/loaded/$kind-$storage"
    loaded+=("$folder/loaded/$kind-$storage")
  done
done

diffract run --base $assets/base --chat $assets/chat --text $assets/documents.jsonl.gz --layer 3 --storage f32 --crosscoder "${loaded[@]}" --out "$folder/exact"
python3 - "$folder" <<'PY'
import json, os, sys
folder = sys.argv[1]
fact = lambda run, path, key: json.load(open(os.path.join(folder, run, path, "manifest.json")))["facts"][key]
print("| storage | bytes a token | variance kept, base | chat | kind | variance explained, own store | on float32 | L0 | dead |\n|---|---|---|---|---|---|---|---|---|")
for kind in ("batchtopk", "l1"):
    for storage in ("f32", "bf16", "int8"):
        kept = fact(storage, "activations/3", "varianceKept")
        size = {"f32": 4 * 256, "bf16": 2 * 256, "int8": 256 + 8}[storage]
        own = lambda key: fact(storage, f"crosscoders/{kind}-{storage}", key)
        exact = fact("exact", f"crosscoders/{kind}-{storage}", "fvePooled")
        print(f"| {storage} | {size} | {100 * kept[0]:.5f} % | {100 * kept[1]:.5f} % | {kind} | {own('fvePooled'):.5f} | {exact:.5f} | {own('l0'):.2f} | {100 * own('deadShare'):.1f} % |")
PY
