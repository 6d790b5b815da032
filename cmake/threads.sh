#!/bin/sh
# Threads that share one model, those of a loader, and OpenMP's in training, under ThreadSanitizer (77: no clang with it here).
set -eu
cd "$(dirname "$0")/.."
clang=$(command -v clang++ || command -v clang++-14 || true)
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
echo 'int main() {}' > "$tmp/probe.cpp"
if [ -z "$clang" ] || ! "$clang" -fsanitize=thread "$tmp/probe.cpp" -o "$tmp/probe" 2> /dev/null; then
  echo "threads: skipped, clang with ThreadSanitizer is not here"
  exit 77
fi
cmake --preset tsan -DCMAKE_CXX_COMPILER="$clang" > "$tmp/log" && cmake --build --preset tsan --target test-threads >> "$tmp/log" || {
  cat "$tmp/log"
  exit 1
}
# OpenMP's runtime is not instrumented: LLVM's Archer, which it loads, tells ThreadSanitizer what is ordered by it. Without Archer
# every join of a parallel region would be a race, and the tests give a device one thread.
archer=$(ls "$("$clang" -print-resource-dir)"/../../libarcher.so /usr/lib/llvm-*/lib/libarcher.so 2> /dev/null | head -1)
if [ "$archer" ]; then export CLIPX_ARCHER=1 OMP_TOOL_LIBRARIES="$archer"
else echo "threads: no libarcher.so (Debian: libomp-dev), OpenMP is left to one thread"; fi
# oneDNN and libc are not instrumented: what they do to memory of theirs is not looked at.
TSAN_OPTIONS="ignore_noninstrumented_modules=1 halt_on_error=1 history_size=4" build/tsan/tests/test-threads
