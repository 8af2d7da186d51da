#!/usr/bin/env bash
# Kills trainings with SIGKILL at random moments and lets them go on, until so many kills have happened: tests/kill-resume.sh [kills]. Four crosscoders share each pass. Every training must end
# with the weights, moments, counters, thresholds and log of one that was never disturbed. Writes bench/results/kill-resume.md when all did.
set -euo pipefail
cd "$(dirname "$0")/.."
kills=${1:-100}
[ -n "${DIFFRACT_BUILT:-}" ] || dotnet build src/Diffract.Cli -c Release
program="dotnet $PWD/artifacts/bin/Diffract.Cli/release/Diffract.Cli.dll"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
RANDOM=7
$program planted "$work/run" --latents 96 --width 32 --tokens 60000 > /dev/null
options=(--kind "batchtopk,l1" --seed "1,2" --latents 128 --batch 256 --steps 1200 --k 8 --mu 0.03 --lr 0.002)
began=$(date +%s%N)
$program train "$work/run" --name whole "${options[@]}" > /dev/null 2>&1
lasts=$(( ($(date +%s%N) - began) / 1000000 ))

done=0 trainings=0 half=0 before=0 finished=0 resumed=0 compared=0
while [ "$done" -lt "$kills" ]; do
  trainings=$((trainings + 1))
  name=cut$trainings
  # A few kills a training: each lets it run for at most half of what a whole one lasts.
  while :; do
    $program train "$work/run" --name $name "${options[@]}" > "$work/out" 2>&1 &
    process=$!
    wait_ms=$((300 + RANDOM % (lasts / 2)))
    sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
    if [ "$done" -ge "$kills" ] || ! kill -9 $process 2> /dev/null; then
      wait $process || { cat "$work/out"; exit 1; }
      break
    fi
    wait $process 2> /dev/null || true
    done=$((done + 1))
    # Where it was hit, as far as the folders show.
    there() { compgen -G "$work/run/crosscoders/$name-*/$1" > /dev/null; }
    if there "checkpoints/*.part"; then half=$((half + 1)); fi
    if ! there "checkpoints/*/state.json" && ! there manifest.json; then before=$((before + 1)); fi
    if there manifest.json; then finished=$((finished + 1)); fi
    if grep -q "going on at step" "$work/out"; then resumed=$((resumed + 1)); fi
  done
  for whole in "$work"/run/crosscoders/whole-*; do
    cut=${whole/whole/$name}
    for file in model.safetensors optimizer.safetensors config.json log.jsonl; do
      cmp "$whole/$file" "$cut/$file" || { echo "kill-resume: training $trainings differs after $done kills" >&2; exit 1; }
      compared=$((compared + 1))
    done
    rm -rf "$cut"
  done
done
{
  echo "# Killed and resumed"
  echo
  echo "Written by \`tests/kill-resume.sh\`: planted activations, passes of four crosscoders (BatchTopK and L1, two seeds each) of 128 latents over 1,200 steps, ended with SIGKILL at random moments and called again."
  echo
  echo "| | |"
  echo "|---|---:|"
  echo "| kills | $done |"
  echo "| of these before the first checkpoint, start of the program included | $before |"
  echo "| of calls that had gone on from a checkpoint themselves | $resumed |"
  echo "| with a half-written checkpoint beside the whole ones | $half |"
  echo "| when some of the four had finished | $finished |"
  echo "| trainings that they ended | $trainings |"
  echo "| files compared with the undisturbed training's (weights and threshold; moments and counters; configuration; log) | $compared |"
  echo "| of these not equal to the last bit | 0 |"
  echo
  echo "On $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | xargs); an undisturbed training lasts $lasts ms."
} > bench/results/kill-resume.md
cat bench/results/kill-resume.md
