#!/usr/bin/env bash
# All tests: the suite on several workers (more than cores, for many tests wait), then the processes that are killed,
# alone so that nothing else takes their time.
# Both parts run whatever the other did; what was used, and what was skipped and why, is printed last.
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=.venv/bin/pytest
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
"$pytest" -q -n "${1:-3}" --dist loadgroup --ignore=tests/chaos 2>&1 | tee "$logs/suite"
suite=$?
"$pytest" -q tests/chaos 2>&1 | tee "$logs/chaos"
chaos=$?
for part in suite chaos; do
    printf '\n%s: ' "$part"
    # pytest's own count, and the rig's lines after it
    sed -n '/^\(Kafka\|PostgreSQL\|skipped\|nothing was skipped\)/p; /^[0-9].* \(passed\|failed\)/p' "$logs/$part" | tail -12
done
exit $((suite + chaos > 0))
