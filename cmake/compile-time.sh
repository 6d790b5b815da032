#!/bin/sh
# What an include costs: a unit that only includes the header, g++ -O2; and what small programs cost against the compiled variant. Seconds of processor time (one run) are shown; what CI holds
# to a limit is the memory that g++ allocates for the unit, in MB: it grows with the text that is parsed and the templates that are
# instantiated, and is the same in each run on each machine.
#   sh cmake/compile-time.sh [--check]     --check fails above a limit; exit code 77: CXX is not g++, skipped
set -u
cd "$(dirname "$0")/.." || exit 1
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
eigen=$(pkg-config --cflags-only-I eigen3 2> /dev/null | sed 's/-I/-isystem /') || eigen="-isystem /usr/include/eigen3"
failed=0
${CXX:-c++} --version 2> /dev/null | grep -qi 'free software foundation' || { echo "compile time: skipped, the compiler is not g++"; exit 77; }

# One unit: HEADER FLAG..., or PROGRAM.cpp FLAG..., leaves "SECONDS MEGABYTES", or "none none", in a file that is named after both.
cat > "$tmp/measure" <<'END'
header=$1 name=$tmp/$(echo "$*" | tr '/ ' __)
shift
case $header in *.cpp) cp "$header" "$name.cpp" ;; *) echo "#include <$header>" > "$name.cpp" ;; esac
# shellcheck disable=SC2086  # several flags
${CXX:-c++} -std=c++20 -O2 -fopenmp -ftime-report -DCLIPX_HAS_JPEG=1 -DCLIPX_HAS_GIF=1 -DCLIPX_HAS_WEBP=1 -DCLIPX_HAS_TIFF=1 -DCLIPX_HAS_HEIF=1 -DCLIPX_HAS_JXL=1 "$@" -Iinclude -Ibackends/eigen -Ibackends/cpu \
  $eigen -c "$name.cpp" -o "$name.o" 2> "$name.log" || { cat "$name.log" >&2; echo none none > "$name"; exit 0; }
# TOTAL : user system wall memory, the last as 1448k or 183M
awk '$1 == "TOTAL" { mb = $6; unit = substr(mb, length(mb)); sub(/[kMG]$/, "", mb)
                     if (unit == "k") mb /= 1024; if (unit == "G") mb *= 1024; printf "%.2f %d\n", $3 + $4, mb + 0.5 }' "$name.log" > "$name"
END
row() {  # header, MB of header-only, MB of compiled
  name=$tmp/$(echo "$1" | tr / _)
  # shellcheck disable=SC2046  # two numbers
  set -- "$@" $([ "$2" = - ] && echo - - || cat "$name") $(cat "${name}_-DCLIPX_COMPILED")
  if [ $# -ne 7 ] || [ "$4" = none ] || [ "$6" = none ]; then echo "does not compile: $1"; failed=1; return 0; fi
  printf '| %-33s | %6s s, %5s MB | %6s s, %5s MB | %5s MB / %4s MB |\n' "$1" "$4" "$5" "$6" "$7" "$2" "$3"
  if [ "${check:-}" ] && { { [ "$2" != - ] && [ "$5" -gt "$2" ]; } || [ "$7" -gt "$3" ]; }; then
    echo "above its limit: $1"
    failed=1
  fi
}
[ "${1:-}" = --check ] && check=1
# MB of header-only, MB against the compiled variant. They are measured two at a time, the last and largest first.
cat > "$tmp/limits" <<'END'
clipx/core/mat.hpp 8 8
clipx/core/backend.hpp 70 70
clipx/model/clip.hpp 150 145
clipx/text/bpe.hpp 720 105
clipx/clipx.hpp 1160 245
clipx/eigen.hpp 235 145
clipx/cpu.hpp 450 130
tests/headers/uses_any_model.cpp - 220
tests/headers/uses_with_model.cpp - 350
END
export tmp eigen
awk '$2 != "-" { print $1 } { print $1, "-DCLIPX_COMPILED" }' "$tmp/limits" | tac | xargs -P 2 -L 1 sh "$tmp/measure"
echo "| header or program                 | header-only        | compiled           | limits             |"
echo "| --------------------------------- | ------------------ | ------------------ | ------------------ |"
while read -r header alone compiled; do row "$header" "$alone" "$compiled"; done < "$tmp/limits"
exit $failed
