#!/bin/sh
# The readers under valgrind: a decision that depends on memory nobody wrote, or an access outside of a block, is an error. The tests
# compare every pixel, value and id that is read, so none of them may come from such memory either.
#   sh cmake/valgrind.sh [TEST_UNIT]     the program of the unit tests, build/release/tests/test-unit; exit code 77: no valgrind here
set -eu
cd "$(dirname "$0")/.."
program=${1:-build/release/tests/test-unit}
command -v valgrind > /dev/null || { echo "valgrind: skipped, it is not here"; exit 77; }
[ -x "$program" ] || { echo "valgrind: no $program; cmake --build build/release --target test-unit makes it" >&2; exit 1; }
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
# Two lists that take about equally long, a process each.
cat > "$tmp/texts" <<'END'
text: ids and cleaning*
text: gzip*
text: errors*
text: tokenizer.json*
a mapped file
safetensors:*
torch:*
npy:*
hostile: sizes*
n-grams: a dictionary*
END
cat > "$tmp/images" <<'END'
image: PNG files*
image: images of every shape*
image: BMP*
image: GIF files*
image: PNM files*
image: WebP files*
image: TIFF files*
image: HEIC and AVIF*
image: JPEG XL*
image: EXIF*
image: JPEG files*
image: a BMP*
image: files cut short
image: flipped bits
image: the normalized tensor*
image: palettes*
frame:*
augment: crops*
shards:*
shards written: read*
captions of*
loader: tables
loader: folders*
END
# A name that no test has any more is a mistake here.
sort "$tmp/texts" "$tmp/images" | while read -r name; do
  "$program" --list-tests "$name" > "$tmp/found" 2>&1 || true
  grep -qE '^[1-9][0-9]* matching test case' "$tmp/found" || { echo "valgrind: no test is called '$name'"; exit 1; }
done
export CLIPX_MAX_ISA=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_WAIT_POLICY=passive  # valgrind knows no AVX-512
run() {  # list
  valgrind --quiet --error-exitcode=1 --track-origins=no "$program" "$(paste -sd, "$tmp/$1")" > "$tmp/$1.log" 2>&1 || {
    tail -60 "$tmp/$1.log"
    return 1
  }
  echo "valgrind: $1: $(grep -E '^All tests passed' "$tmp/$1.log")"
}
run texts &
first=$!
code=0
run images || code=1
wait $first || code=1
exit $code
