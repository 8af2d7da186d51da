#!/usr/bin/env bash
# Damages 100,000 files of each kind (or as many as asked for) and reads them, on one core: tests/fuzz.sh [count [class...]], such as tests/fuzz.sh 100000 '*.MutatedTokenizerTests'.
# Puts the rows of the kinds that were run into bench/results/fuzz.md, in the place of their older ones, when all gave our own error or loaded.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-100000}
shift || true
[ $# -gt 0 ] || set -- '*.Mutated*'
classes=()
for class in "$@"; do classes+=(-class "$class"); done
dotnet build tests/Diffract.Tests -c Release
# The damaged files are written and read again: in memory where the system has such a folder.
work=$(mktemp -d "$([ -d /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")/diffract-fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT
TMPDIR=$work DIFFRACT_FUZZ=$count DIFFRACT_FUZZ_TABLE=$work/rows artifacts/bin/Diffract.Tests/release/Diffract.Tests "${classes[@]}" -parallel none
result=bench/results/fuzz.md
# A row of this run ends with its day; rows are known by their kind.
sed "s/\$/ $(date +%F) |/" "$work/rows" > "$work/new"
{ grep -E '^\| [^|]+ \| [0-9,]+ \|' "$result" || true; } > "$work/old"
{
  echo "# Damaged files"
  echo
  echo "Written by \`tests/fuzz.sh\`: files of every kind that is read from elsewhere, each damaged anew. By bytes: one to eight damages (bits, bytes, opcodes, blocks moved, cut or repeated, extreme numbers)."
  echo "By values: one to four members of a JSON file left out, doubled, renamed, of the wrong type, out of range, nested deeply, or taken from another sound file. Templates: by Jinja tokens, with expressions that ask for"
  echo "much mixed in, three times in four. Crosscoder files are loaded as a crosscoder's folder, weights and indexes as a model, tokenizers encode and decode a text after loading, templates are rendered."
  echo "Refused: with our own error, in one line. Loaded: the damage was in the weights, in a part that is passed over, or harmless. KiB and ms are the most that one file took, s is what all took with the making of them;"
  echo "times include whatever else the machine did. Each row is of its own day; other errors: none in any."
  echo
  echo "| kind | files | refused | loaded | KiB allocated | ms | s | day |"
  echo "|---|---:|---:|---:|---:|---:|---:|---|"
  awk -F'|' 'NR == FNR { new[$2]; print; next } !($2 in new)' "$work/new" "$work/old" | LC_ALL=C sort
  echo
  echo "On $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | xargs)."
} > "$work/table"
mv "$work/table" "$result"
