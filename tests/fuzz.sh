#!/usr/bin/env bash
# Damages 100,000 files of each kind (or as many as asked for) and reads them: tests/fuzz.sh [count]. Writes bench/results/fuzz.md when all gave our own error or loaded.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-100000}
dotnet build tests/Diffract.Tests -c Release
table=$(mktemp)
trap 'rm -f "$table"' EXIT
DIFFRACT_FUZZ=$count DIFFRACT_FUZZ_TABLE=$table /usr/bin/env time -f "%e s, %M KiB at most" -o "$table.time" \
  artifacts/bin/Diffract.Tests/release/Diffract.Tests -class '*.Mutated*'
{
  echo "# Damaged files"
  echo
  echo "Written by \`tests/fuzz.sh\`: files of every kind that is read from elsewhere, each damaged anew. By bytes: one to eight damages (bits, bytes, opcodes, blocks moved, cut or repeated, extreme numbers)."
  echo "By values: one to four members of a JSON file left out, doubled, renamed, of the wrong type, out of range, nested deeply, or taken from another sound file. Templates: by Jinja tokens, with expressions that ask for"
  echo "much mixed in, three times in four. Crosscoder files are loaded as a crosscoder's folder, weights and indexes as a model, tokenizers encode and decode a text after loading, templates are rendered."
  echo "Refused: with our own error, in one line. Loaded: the damage was in the weights, in a part that is passed over, or harmless. The last two columns are the most that one file took; the time includes whatever else the machine did."
  echo
  echo "| kind | files | refused | loaded | KiB allocated | ms |"
  echo "|---|---:|---:|---:|---:|---:|"
  sort "$table"
  echo
  echo "Other errors: none. The whole run: $(cat "$table.time") of memory, on $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | xargs)."
} > bench/results/fuzz.md
rm -f "$table.time"
