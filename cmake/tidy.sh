#!/bin/sh
# clang-tidy with the checks of .clang-tidy, over units that together include nearly every header: all definitions of include/, a model
# of each architecture on each backend, a trainer, and verbs of the program (77: no clang-tidy here).
set -eu
cd "$(dirname "$0")/.."
tidy=$(command -v clang-tidy || command -v clang-tidy-14 || true)
clang=$(command -v clang++ || command -v clang++-14 || true)
[ "$tidy" ] && [ "$clang" ] || { echo "tidy: skipped, clang-tidy is not here"; exit 77; }
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
# A configuration of its own: clang reads no precompiled headers of g++. Nothing is built.
cmake -S . -B build/tidy -G Ninja -DCMAKE_CXX_COMPILER="$clang" -DCMAKE_BUILD_TYPE=None -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON \
  -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DCLIPX_TESTS=OFF -DCLIPX_BENCH=OFF -DCLIPX_INSTALL=OFF > "$tmp/log" || { cat "$tmp/log"; exit 1; }
units='units/(base|text|image|clipx)|backends/[a-z]*/units/(cpu|eigen_f32|models)|tools/(backends|bench|classify|curate_run|embed|eval|trainer_cpu|train_run)'
sed -n 's/^ *"file": "\(.*\)",*$/\1/p' build/tidy/compile_commands.json | grep -E "/($units)[.]cpp\$" > "$tmp/units"
[ "$(wc -l < "$tmp/units")" -ge 9 ] || { echo "tidy: expected 9 units or more, found:"; cat "$tmp/units"; exit 1; }
# A unit's output is shown in one piece, and only where there is something to say.
export tidy tmp
xargs -P 2 -n 1 sh -c '
  log=$tmp/$(echo "$1" | tr / _)
  "$tidy" -p build/tidy --quiet "$1" > "$log" 2> "$log.err" || { cat "$log"; grep -v "warnings generated" "$log.err"; exit 1; }' sh < "$tmp/units" || {
  echo "tidy: findings above"
  exit 1
}
echo "tidy: $(wc -l < "$tmp/units") units without findings"
