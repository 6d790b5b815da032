#!/bin/sh
# What an include costs: a unit that only includes the header, -O2, processor time, best of three. The last column is the limit CI holds it to.
#   sh cmake/compile-time.sh [--check]     --check fails above 2.5 times the limit (CI machines are slow and shared)
set -u
cd "$(dirname "$0")/.." || exit 1
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
eigen=$(pkg-config --cflags-only-I eigen3 2> /dev/null | sed 's/-I/-isystem /') || eigen="-isystem /usr/include/eigen3"
failed=0

seconds() {  # flags header: processor time, which a busy machine changes less than the clock's
  echo "#include <$2>" > "$tmp/unit.cpp"
  for run in 1 2 3; do
    # shellcheck disable=SC2086  # several flags
    sh -c '"$@" 2> "$0" || exit 1; times' "$tmp/log" ${CXX:-c++} -std=c++20 -O2 -fopenmp -DCLIPX_HAS_JPEG=1 -DCLIPX_HAS_GIF=1 $1 -Iinclude \
      -Ibackends/eigen -Ibackends/cpu $eigen -c "$tmp/unit.cpp" -o "$tmp/unit.o" > "$tmp/times" || { cat "$tmp/log" >&2; exit 1; }
    tail -1 "$tmp/times"
  done | tr 'ms' '  ' | awk '{ t = 60 * ($1 + $3) + $2 + $4; if (NR == 1 || t < best) best = t } END { if (NR == 3) printf "%.2f", best; else print "none" }'
}
row() {  # header limit of header-only, limit of compiled
  only=$(seconds "" "$1")
  compiled=$(seconds -DCLIPX_COMPILED "$1")
  if [ "$only" = none ] || [ "$compiled" = none ]; then echo "does not compile: $1"; failed=1; return 0; fi
  printf '| %-22s | %9s s | %9s s | %4s s / %4s s |\n' "$1" "$only" "$compiled" "$2" "$3"
  if [ "${check:-}" ] && echo "$only $2 $compiled $3" | awk '{ exit !($1 > 2.5 * $2 || $3 > 2.5 * $4) }'; then
    echo "too slow: $1"
    failed=1
  fi
}
[ "${1:-}" = --check ] && check=1
echo "| header                 | header-only | compiled    | limits          |"
echo "| ---------------------- | ----------- | ----------- | --------------- |"
row clipx/core/mat.hpp 0.1 0.1
row clipx/core/backend.hpp 0.4 0.4
row clipx/model/clip.hpp 0.8 0.7
row clipx/text/bpe.hpp 2.5 0.4
row clipx/clipx.hpp 8.0 1.2
row clipx/eigen.hpp 1.1 0.6
row clipx/cpu.hpp 3.0 0.6
exit $failed
