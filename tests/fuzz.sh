#!/usr/bin/env bash
# Damages 100,000 files of each kind (or as many as asked for) and loads them: tests/fuzz.sh [count]. Writes bench/results/fuzz.md when all gave our own error or loaded.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-100000}
dotnet build tests/Diffract.Tests -c Release
table=$(mktemp)
trap 'rm -f "$table"' EXIT
DIFFRACT_FUZZ=$count DIFFRACT_FUZZ_TABLE=$table /usr/bin/env time -f "%e s, %M KiB at most" -o "$table.time" \
  artifacts/bin/Diffract.Tests/release/Diffract.Tests -class Diffract.Tests.Crosscoders.MutatedFilesTests
{
  echo "# Damaged files"
  echo
  echo "Written by \`tests/fuzz.sh\`: files of every kind, each with one to eight damages (bits, bytes, opcodes, blocks moved, cut or repeated, extreme numbers), loaded as a crosscoder's folder."
  echo "Refused: with our own error, in one line. Loaded: the damage was in the weights, in a part that is passed over, or harmless. The last two columns are the most that one load took; the time includes whatever else the machine did."
  echo
  echo "| kind | files | refused | loaded | KiB allocated | ms |"
  echo "|---|---:|---:|---:|---:|---:|"
  sort "$table"
  echo
  echo "Other errors: none. The whole run: $(cat "$table.time") of memory, on $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | xargs)."
} > bench/results/fuzz.md
rm -f "$table.time"
