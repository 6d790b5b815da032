#!/bin/sh
# Everything that a GPU is needed for, in one command from anywhere: builds for the GPU that is here, runs every case on it, runs some
# under compute-sanitizer, compares counts of the evaluation sets (or answers about the demo's images) with the cpu's, and times.
# Under 10 minutes on 16 cores; a summary comes last, also as summary.txt. Exit code 0: all passed; 77: no GPU.
#   sh tests/device.sh [--minimal] [--deps FILE] [--seconds N] [--emulated]
#   sh tests/device.sh --pack FILE
#     --minimal    without the cpu backend, where oneDNN and Highway are missing
#     --deps FILE  the packages that this machine lacks, as --pack wrote them; they are unpacked into build/device-deps
#     --seconds N  for all of it (570); no step starts after that, none goes on
#     --emulated   no GPU: the same steps over tests/emulation, to try this script; it says so, and is no test of a GPU
#     --pack FILE  on a Debian machine with the packages: a .tar.gz with their headers and libraries (about 18 MB)
# Logs: $OUT, else build/device; they are few and flat. Evaluation sets: $CLIPX_SHARED, shared/ here, or ../shared.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$(pwd) minimal='' deps='' total=570 emulated='' began=$(date +%s)
usage() { sed -n '2,/^set -u/{/^set -u/d;s/^# \{0,1\}//;p;}' tests/device.sh; }

pack() {  # file: what the build includes and links of Debian's packages
  staging=$(mktemp -d) || exit 1
  for p in libeigen3-dev libdnnl-dev libdnnl2 libdnnl3 libhwy-dev libhwy1 libhwy1t64 libstb-dev libjpeg62-turbo-dev libjpeg62-turbo \
    libgif-dev libgif7 nlohmann-json3-dev libcli11-dev libutf8proc-dev libutf8proc2 libutf8proc3 libxxhash-dev zlib1g-dev libcld2-dev libcld2-0 \
    catch2 ocl-icd-libopencl1; do
    dpkg -L "$p" 2> /dev/null | grep -E '/include/|/cmake/|/lib[^/]*\.so[.0-9]*$|libCatch2.*\.a$' | while read -r f; do
      [ -d "$f" ] || cp -P --parents "$f" "$staging"
    done
  done
  tar -C "$staging" -czf "$1" . && ls -l "$1"
  code=$?
  rm -rf "$staging"
  exit $code
}

# agree CLIPX REFERENCE: the best label of each demo image, and its probability, on cuda as on the reference.
agree() {
  answers() {  # backend precision: image, best label, its probability
    "$1" classify examples/images/*.png --json --labels "an apple,a clock,a heart,a house,a mushroom,the sun,an umbrella" \
      --backend "$2" --precision "$3" | sed 's/.*"image":"\([^"]*\)","labels":\[{"label":"\([^"]*\)","p":\([^}]*\)}.*/\1|\2|\3/'
  }
  want=$(answers "$1" "$2" f32) && [ "$want" ] || return 1
  for precision in f32 bf16; do
    got=$(answers "$1" cuda $precision) || return 1
    printf '%s\n\n%s\n' "$want" "$got" | awk -F'|' -v slack="$([ $precision = f32 ] && echo 1e-4 || echo 0.05)" -v of="cuda $precision" '
      !NF { second = 1; next }
      !second { label[$1] = $2; p[$1] = $3; n++; next }
      { d = $3 - p[$1]; if (d < 0) d = -d
        ok = label[$1] == $2 && d <= slack; good += ok
        printf "%s: %s, %s %.6f (%.6f)  %s\n", of, $1, $2, $3, p[$1], ok ? "ok" : "WRONG, not " label[$1] }
      END { exit !(n > 0 && good == n) }' || return 1
  done
}

while [ $# -gt 0 ]; do
  case $1 in
    --minimal) minimal=1 ;;
    --emulated) emulated=1 ;;
    --deps) deps=${2:?--deps: expected a file}; shift ;;
    --seconds) total=${2:?--seconds: expected a number}; shift ;;
    --pack) pack "${2:?--pack: expected a file}" ;;
    --agree) agree "$2" "$3"; exit ;;  # a step of this script's own
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

logs=${OUT:-$root/build/device}
mkdir -p "$logs" || exit 1
(cd "$logs" && rm -f build.log cases.log sanitizer.log eval.log bench.txt bench.json summary.txt)
for place in /usr/local/cuda/bin /usr/local/cuda/compute-sanitizer /usr/local/nvidia/bin; do
  [ ! -d $place ] || PATH=$PATH:$place
done
: > "$logs/steps.tmp"

# record STEP RESULT SECONDS NOTE
record() {
  printf '%s|%s|%s|%s\n' "$1" "$2" "$3" "$4" >> "$logs/steps.tmp"
  printf '%-28s %-8s %5s s  %s\n' "$1" "$2" "$3" "$4"
}
# step NAME LOG LIMIT COMMAND...: its output goes to the end of LOG; not longer than LIMIT seconds, or than what is left of all.
step() {
  name=$1 file=$2 log=$logs/$2 limit=$3
  shift 3
  left=$((total - $(date +%s) + began))
  if [ $left -lt 2 ]; then record "$name" skipped 0 "no time left"; return 1; fi
  [ "$limit" -le $left ] || limit=$left
  printf '\n== %s: %s\n' "$name" "$*" >> "$log"
  start=$(date +%s)
  timeout -k 5 "$limit" "$@" >> "$log" 2>&1
  code=$?
  took=$(($(date +%s) - start))
  case $code in
    77) [ "$file" = eval.log ] || code=1 ;;  # a GPU is here: its cases must run; evaluation sets may be missing
  esac
  case $code in
    0) record "$name" passed $took "" ;;
    77) record "$name" skipped $took "$(grep 'skipped:' "$log" | tail -1)" ;;
    124 | 137) record "$name" failed $took "stopped after $limit s; see $file" ;;
    *) record "$name" failed $took "exit code $code; see $file" ;;
  esac
  case $code in
    0 | 77) ;;
    *) tail -n 15 "$log" | cut -c 1-300 ;;  # what went wrong, where only this output is seen
  esac
  return $code
}
finish() {
  {
    [ ! "$emulated" ] || echo "EMULATED: nothing of this ran on a GPU"
    echo "$about"
    awk -F'|' '{ printf "%-28s %-8s %5d s  %s\n", $1, $2, $3, $4; n[$2]++; s += $3 }
      END { printf "%d passed, %d failed, %d skipped, %d s; ", n["passed"], n["failed"], n["skipped"], s }' "$logs/steps.tmp"
    echo "logs: $logs"
  } > "$logs/summary.txt"
  bad=$(grep -c '|failed|\|no time left' "$logs/steps.tmp")
  rm -f "$logs/steps.tmp"
  printf '\n'
  cat "$logs/summary.txt"
  [ "$bad" -eq 0 ]
  exit
}

# The device.
if [ "$emulated" ]; then
  about="emulated; $(nproc) processors"
else
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | head -1 | tr -d ' .')
  case $capability in
    '' | *[!0-9]*) echo "skipped: no device: nvidia-smi finds no GPU"; rm -f "$logs/steps.tmp"; exit 77 ;;
    90) architecture=90a-real ;;
    *) architecture=$capability-real ;;
  esac
  about="$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -1); $(nproc) processors"
fi
echo "$about"

# What the build needs, by name, before it is started.
set --
if [ "$deps" ]; then
  mkdir -p build/device-deps && tar -C build/device-deps -xzf "$deps" || exit 1
  set -- "-DCMAKE_PREFIX_PATH=$root/build/device-deps/usr"
  include=$root/build/device-deps/usr/include
  libraries=$(dirname "$(find "$root/build/device-deps" -name 'libutf8proc.so*' | head -1)")
  export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"  # for what the libraries need themselves
fi
missing=''
for program in cmake ninja "${CXX:-c++}" ${emulated:-nvcc}; do
  [ "$program" = 1 ] || command -v "$program" > /dev/null 2>&1 || missing="$missing
  $program (program)"
done
has() {  # header name
  for place in ${include:+"$include" "$include/eigen3"} /usr/include /usr/local/include /usr/include/eigen3 /usr/local/include/eigen3; do
    [ ! -e "$place/$1" ] || return 0
  done
  missing="$missing
  <$1> ($2)"
}
has Eigen/Core "Eigen 3.4"
has nlohmann/json.hpp "nlohmann-json 3"
has utf8proc.h utf8proc
has stb/stb_image.h stb_image
has CLI/CLI.hpp CLI11
[ -e "${include:-/usr/include}/catch2/catch_all.hpp" ] || has catch2/catch.hpp "Catch2 2.13 or 3"
if [ ! "$minimal" ]; then
  has oneapi/dnnl/dnnl.hpp "oneDNN, but for --minimal"
  has hwy/highway.h "Highway, but for --minimal"
fi
if [ "$missing" ]; then
  record packages failed 0 "missing, named below; --deps FILE brings them (see --help)"
  echo "device.sh: missing here:$missing" >&2
  finish
fi

backends="eigen;cpu" preset=release own=cpu
if [ "$minimal" ]; then backends=eigen own=eigen; fi
if [ ! "$emulated" ]; then
  preset=cuda backends="$backends;cuda"
  set -- "$@" "-DCMAKE_CUDA_ARCHITECTURES=$architecture"
fi
build=build/$preset
if [ "$emulated" ]; then
  build=build/device-emulated kind=emulated_cuda program=$build/clipx-emulated targets=clipx-emulated
else
  kind=cuda program=$build/clipx targets=clipx-program
fi
jobs=$(nproc)

step configure build.log 60 cmake --preset $preset -B $build -DCLIPX_BACKENDS="$backends" -DCLIPX_INSTALL=OFF \
  -DCLIPX_TESTS=ON -DCLIPX_EXAMPLES=ON -DCLIPX_BENCH=ON "$@" || finish
step build build.log 400 cmake --build $build -j "$jobs" --target test-${kind}_f32 test-${kind}_bf16 $targets || finish
step "build clipx-bench" build.log 200 cmake --build $build -j "$jobs" --target clipx-bench

for t in f32 bf16; do step "cases, $kind $t" cases.log 120 $build/tests/test-${kind}_$t; done

# What is chosen: all ops under memcheck, the loss and whole models under the slower tools. A tool's own exit code says that it found
# something, the test's that a case failed.
if command -v compute-sanitizer > /dev/null 2>&1; then
  sanitize() {  # tool limit type cases
    step "$1, $3: $4" sanitizer.log "$2" compute-sanitizer --tool "$1" --error-exitcode 9 $build/tests/test-${kind}_"$3" "$4"
  }
  for t in f32 bf16; do
    sanitize memcheck 90 $t "ops against*"
    sanitize racecheck 60 $t "contrastive loss against*"
    sanitize initcheck 60 $t "pruned and packed*"
    sanitize synccheck 60 $t "contrastive loss against*"
  done
else
  for tool in memcheck racecheck initcheck synccheck; do record $tool skipped 0 "compute-sanitizer is not on PATH"; done
fi

for CLIPX_SHARED in ${CLIPX_SHARED:+"$CLIPX_SHARED"} "$root/shared" "$root/../shared"; do
  [ ! -d "$CLIPX_SHARED/data/eval" ] || break
done
export CLIPX_SHARED
step "demo images, cuda as $own" eval.log 60 sh tests/device.sh --agree $program $own
if [ "$emulated" ]; then record "eval sets, cuda as $own" skipped 0 "they take an hour without a GPU"
else step "eval sets, cuda as $own" eval.log 200 sh tests/eval.sh $program "$root" gpu; fi
set --
[ ! "$emulated" ] || set -- --batch 1 --runs 1
step "clipx bench" bench.txt 90 $program bench "$@"
step "clipx bench --json" build.log 90 sh -c "$program bench --json $* > '$logs/bench.json' && ! grep -q 'no device' '$logs/bench.json'"
finish
