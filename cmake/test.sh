#!/bin/sh
# One command for a fresh machine: what cmake/demo.sh does, then builds the tests and passes them.
#   sh cmake/test.sh [cmake options]
set -eu
cd "$(dirname "$0")/.."
sh cmake/demo.sh "$@"
echo "building the tests"
cmake --build --preset release > build/test.log 2>&1 || {
  tail -60 build/test.log
  echo "test: the build failed; all of its output is in build/test.log" >&2
  exit 1
}
ctest --preset release --output-on-failure
