#!/bin/sh
# One command for a fresh machine: what cmake/demo.sh does, then builds the tests and passes them, but for those that only concern
# who changes clipx: the label developer, the cuda backend on emulated GPUs (-DCLIPX_EMULATION=ON). The last line counts them.
#   sh cmake/test.sh [cmake options]
set -eu
cd "$(dirname "$0")/.."
sh cmake/demo.sh -DCLIPX_BENCH=OFF -DCLIPX_EMULATION=OFF "$@"
echo "building the tests"
sh cmake/progress.sh build/test.log cmake --build --preset release
{ ctest --preset release -LE developer --output-on-failure || true; } 2>&1 | tee build/tests.log
total=$(sed -n 's/.* tests failed out of \([0-9]*\).*/\1/p' build/tests.log)
failed=$(sed -n 's/.*, \([0-9]*\) tests failed out of .*/\1/p' build/tests.log)
skipped=$(grep -c '\*\*\*Skipped' build/tests.log || true)
[ "$total" ] || { echo "test: ctest ran nothing" >&2; exit 1; }
[ "$skipped" -eq 0 ] || echo "$skipped skipped: what they need is not here"
echo "$((total - failed - skipped)) passed, $failed failed"
[ "$failed" -eq 0 ]
