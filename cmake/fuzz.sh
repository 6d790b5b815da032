#!/bin/sh
# A short run of every fuzz target, from its seeds, with clang's libFuzzer, ASan and UBSan.
#   sh cmake/fuzz.sh [SECONDS [BUILD_DIR [NAME...]]]    20 seconds each by default; exit code 77: no libFuzzer here, skipped
# A longer run is the same with more SECONDS: inputs that reach something new stay in build/fuzz/corpus/NAME, and the next run goes
# on from there. A finding is left in build/fuzz/findings/; give it to build/fuzz/fuzz/fuzz_NAME to see it again. An input that takes
# a second of processor time is a finding, too. JOBS targets are built and run at a time, 2 by default.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-20} build=${2:-build/fuzz} jobs=${JOBS:-2}
[ $# -gt 2 ] && shift 2 || set --
clang=$(command -v clang++ || command -v clang++-14 || true)
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' > "$tmp/probe.cpp"
if [ -z "$clang" ] || ! "$clang" -fsanitize=fuzzer,address,undefined "$tmp/probe.cpp" -o "$tmp/probe" 2> /dev/null; then
  echo "fuzz: skipped, clang with libFuzzer is not here"
  exit 77
fi
if ! [ -e "$build/build.ninja" ]; then
  cmake --preset asan -B "$build" -DCMAKE_CXX_COMPILER="$clang" -DCLIPX_FUZZ=ON -DCLIPX_TESTS=OFF -DCLIPX_BACKENDS=eigen \
    -DCLIPX_EXAMPLES=OFF -DCLIPX_INSTALL=OFF > "$tmp/log" || { cat "$tmp/log"; exit 1; }
fi
cmake --build "$build" --target fuzzers -j "$jobs" > "$tmp/log" || { cat "$tmp/log"; exit 1; }
mkdir -p "$build/findings" "$build/corpus"
rm -f "$build"/findings/*-slow-unit-*
export ASAN_OPTIONS=quarantine_size_mb=32  # freed memory that ASan holds back counts as used
# One target: a line, or what it printed.
cat > "$tmp/one" <<'END'
program=$1 name=${1##*/fuzz_} log=$tmp/${1##*/}.log
seeds=tests/fuzz/seeds/$name
[ -d "$seeds" ] || seeds=
mkdir -p "$build/corpus/$name"
# one process a target: findings of both sanitizers, slow inputs and large allocations all end it
if "$program" -max_total_time="$seconds" -timeout=20 -report_slow_units=1 -rss_limit_mb=512 -malloc_limit_mb=256 \
  -max_len=65536 -close_fd_mask=3 -print_final_stats=1 -artifact_prefix="$build/findings/$name-" "$build/corpus/$name" $seeds \
  > "$log" 2>&1; then
  runs=$(sed -n 's/.*number_of_executed_units: *//p' "$log")
  slow=
  for unit in "$build/findings/$name"-slow-unit-*; do  # a second on a busy machine; is it one of processor time, too?
    [ -e "$unit" ] || continue
    if (ulimit -t 1 && "$program" -close_fd_mask=3 "$unit" > /dev/null 2>&1); then rm "$unit"; else slow="$slow $unit"; fi
  done
  if [ "$slow" ]; then echo "fuzz: $name FAILED, a second or more for:$slow"
  else echo "fuzz: $name, ${runs:-?} inputs, nothing found"; fi
else
  echo "fuzz: $name FAILED, the input is in $build/findings/"
  tail -40 "$log"
fi
END
export tmp seconds build
if [ $# -eq 0 ]; then printf '%s\n' "$build"/fuzz/fuzz_* > "$tmp/targets"
else printf "$build/fuzz/fuzz_%s\n" "$@" > "$tmp/targets"; fi
xargs -P "$jobs" -n 1 sh "$tmp/one" < "$tmp/targets" | tee "$tmp/report"
passed=$(grep -c 'nothing found$' "$tmp/report" || true)
failed=$(($(wc -l < "$tmp/targets") - passed))  # one that says nothing is not clean either
echo "fuzz: $passed targets clean, $failed not"
[ "$failed" -eq 0 ]
