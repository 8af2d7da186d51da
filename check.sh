#!/usr/bin/env bash
# The one gate, the same here and in CI: format, build without a warning, tests. Contract tests and golden files run on every CPU path inside the tests,
# and so do the house rules and the README's examples.
set -euo pipefail
cd "$(dirname "$0")"

# Analyzers run here only: see Directory.Build.props.
export DIFFRACT_GATE=1

echo "== format"
dotnet format whitespace --folder . --verify-no-changes --exclude artifacts

echo "== build, warnings are errors"
dotnet build -c Release -warnaserror

echo "== tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
# Skipped tests are printed with their names and reasons.
dotnet test -c Release 2>&1 | tee "$log" || status=$?

# One closing line a test project: "Passed!  - Failed: 0, Passed: 9, Skipped: 0, Total: 9, ..."
count() { { grep -E '^(Passed|Failed|Skipped)! ' "$log" || true; } | grep -oE "$1: +[0-9]+" | awk '{ n += $2 } END { print n + 0 }'; }
passed=$(count Passed) failed=$(count Failed) skipped=$(count Skipped)
if [ "$passed" -eq 0 ]; then
  echo "check.sh: no test was counted" >&2
  status=1
fi
if [ -n "${DIFFRACT_COUNTS:-}" ]; then
  echo "$passed $failed $skipped" > "$DIFFRACT_COUNTS"
fi
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
