#!/bin/sh
# Holds comments, sentences in strings, and documents to the word list of docs/style.md, and checks that they cite only what a reader
# has: no document outside of this repository but published ones, and only sections of docs/clip.md that exist.
#   sh cmake/style.sh
set -eu
cd "$(dirname "$0")/.."
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT

# The second column of the first table, as one regular expression.
words=$(sed -n '/^| write | not |/,/^$/{/^| [a-zL(]/p;}' docs/style.md | sed 1d | awk -F'|' '{ print $3 }' | tr ',' '\n' |
  sed 's/^ *//; s/ *$//' | grep . | paste -sd'|' -)
[ "$words" ] || { echo "style: no word list in docs/style.md"; exit 1; }

# Prose of C++: comments, and strings that hold a space but no {} (a prompt template). Tests quote what others wrote: comments alone.
prose_of_code() {  # file strings
  awk -v file="$1" -v strings="$2" '{
    line = $0; out = ""
    while (match(line, /"([^"\\]|\\.)*"|\/\/.*/)) {
      piece = substr(line, RSTART, RLENGTH)
      if (piece ~ /^\/\// || (strings && piece ~ / / && piece !~ /\{\}/)) out = out " " piece
      line = substr(line, RSTART + RLENGTH)
    }
    if (out != "") print file ":" NR ":" out }' "$1"
}
# Prose of a document: without code, quotations and the targets of links.
prose_of_document() {
  awk -v file="$1" '/^```/ { fenced = !fenced; next }
    !fenced && !/^    / { gsub(/`[^`]*`/, ""); gsub(/"[^"]*"/, ""); gsub(/\]\([^)]*\)/, "]"); print file ":" NR ": " $0 }' "$1"
}
git ls-files '*.hpp' '*.cpp' '*.cuh' '*.cu' '*.h' > "$tmp/code"
while read -r f; do
  case $f in tests/*) prose_of_code "$f" '' ;; *) prose_of_code "$f" 1 ;; esac
done < "$tmp/code" > "$tmp/prose"
for f in $(git ls-files '*.md' ':!docs/style.md'); do prose_of_document "$f"; done >> "$tmp/prose"
git grep -nE '^ *#' -- '*.sh' '*.cmake' CMakeLists.txt .ci >> "$tmp/prose" || true

if grep -iwE "($words)" "$tmp/prose" > "$tmp/bad"; then
  cat "$tmp/bad"
  echo "style: $(wc -l < "$tmp/bad") lines with words that docs/style.md replaces"
  exit 1
fi
echo "style: $(wc -l < "$tmp/prose") lines of prose keep to docs/style.md"

# Tests read data from ../shared where it is; nothing else of it may be named.
git grep -nIiE "(^|[^a-z_.-])specs?('s)? (section|[0-9])|house rule|shared/(spec|design|research)" -- ':!cmake/style.sh' > "$tmp/bad" || true
sed -nE 's/^##+ ([0-9]+(\.[0-9]+)?)\.? .*/\1/p' docs/clip.md > "$tmp/sections"
[ -s "$tmp/sections" ] || { echo "style: no numbered sections in docs/clip.md"; exit 1; }
git grep -nI 'docs/clip\.md' -- ':!*.md' ':!cmake/style.sh' > "$tmp/citing" || true
while read -r line; do  # in code each citation has its section on the same line
  numbers=$(printf '%s\n' "$line" | grep -oE 'docs/clip\.md sections? [0-9]+(\.[0-9]+)?((,| and) [0-9]+(\.[0-9]+)?)*' |
    sed 's/.*sections* //' | grep -oE '[0-9]+(\.[0-9]+)?') || true
  if [ "$numbers" ] && ! printf '%s\n' "$numbers" | grep -vxFf "$tmp/sections" > /dev/null; then continue; fi
  printf '%s\n' "$line" >> "$tmp/bad"
done < "$tmp/citing"
if [ -s "$tmp/bad" ]; then
  cat "$tmp/bad"
  echo "style: $(wc -l < "$tmp/bad") lines cite what is not in the tree, or a section that docs/clip.md does not have"
  exit 1
fi
echo "style: $(wc -l < "$tmp/citing") citations of docs/clip.md have their sections"
