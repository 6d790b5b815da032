#!/bin/sh
# Units with and without NDEBUG may be linked into one program: all headers, preprocessed either way, are the same text but for
# core/checks.hpp, which alone may ask for NDEBUG.
# CXX, CLIPX_FLAGS (include paths of the packages) and CLIPX_BACKENDS (those that are built) come from ctest.
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
if grep -rnE '\bNDEBUG\b|\bassert *\(|<cassert>|<assert\.h>' include backends | grep -vE '^include/clipx/core/checks\.hpp:|:[0-9]+: *//'; then
  echo "FAILED: only core/checks.hpp asks for NDEBUG"
  exit 1
fi
roots=include
for b in ${CLIPX_BACKENDS-eigen}; do case $b in eigen | cpu) roots="$roots backends/$b" ;; esac; done
flags="-std=c++20 -fopenmp ${CLIPX_FLAGS--isystem /usr/include/eigen3} -DCLIPX_HAS_JPEG=1 -DCLIPX_HAS_GIF=1 -DCLIPX_HAS_WEBP=1 -DCLIPX_HAS_TIFF=1 -DCLIPX_HAS_HEIF=1 -DCLIPX_HAS_JXL=1"
for root in $roots; do
  flags="$flags -I$root"
  (cd "$root" && find clipx -name '*.hpp' ! -name '*-inl.hpp') | sort | sed 's/.*/#include <&>/' >> "$tmp/all.cpp"
done
# The lines of our own files, each with its file.
ours() {  # options
  # shellcheck disable=SC2086  # several flags
  ${CXX:-c++} $flags "$@" -E "$tmp/all.cpp" | awk '
    /^# [0-9]+ "/ { file = $3; own = file ~ /^"(include|backends)\//; next }
    own && !/^ *$/ && file !~ /core\/checks\.hpp/ { print file, $0 }'
}
ours -UNDEBUG > "$tmp/debug"
ours -DNDEBUG > "$tmp/release"
[ "$(wc -l < "$tmp/debug")" -gt 10000 ] || { echo "FAILED: too little was read: $(wc -l < "$tmp/debug") lines"; exit 1; }
diff "$tmp/debug" "$tmp/release" || { echo "FAILED: headers differ by NDEBUG"; exit 1; }
echo "$(wc -l < "$tmp/debug") lines of headers are the same with and without NDEBUG"
