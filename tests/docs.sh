#!/bin/sh
# Runs what the documentation shows: README.md and docs/*.md.
#   docs.sh commands CLIPX     every sh and console block, with CLIPX on PATH as clipx
#   docs.sh cpp                compiles every cpp block, as CXX and CLIPX_FLAGS say
#
# The blocks of a document run in order, in one temporary folder that looks like the source tree (examples/, models/, bench/,
# build/release/clipx) and holds small data under the names that documents use; prepare() below makes them. An sh block is a script.
# A console block is commands after "$ ", each followed by what it prints; a last line "..." stands for more. A cpp block is a whole
# unit. A line before a block, `<!-- MARK -->`, changes that:
#   not run: REASON        for an sh or console block that cannot run in a test
#   in the test: SED       the block is used as this sed expression leaves it, to make it short
#   output: approximate    numbers in the output are not compared
#   file: NAME             the block is written to this file in the folder
#   fragment: PARAMETERS   the cpp block goes into the body of a function with these parameters
# shellcheck disable=SC2086  # lists of labels and of flags
set -u
mode=${1-} source=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
cd "$source" || exit 1

# Every block of a document: $tmp/blocks/NUMBER, and a line in $tmp/index: number, document, line, language, marks; by tabs, - for none.
mkdir "$tmp/blocks"
awk -v out="$tmp/blocks" -v OFS='\t' '
  function problem(what) { print FILENAME ":" FNR ": " what > "/dev/stderr"; bad = 1 }
  function mark(name) {
    if (index(comment, name ":") != 1) return 0
    marks[name] = substr(comment, length(name) + 2)
    sub(/^ */, "", marks[name])
    if (marks[name] == "") problem("expected something after the mark \"" name ":\"")
    return 1
  }
  function value(name) { return name in marks ? marks[name] : "-" }
  FNR == 1 { if (inside) problem("a block has no end"); inside = 0; blank = 1; split("", marks) }
  inside && /^```$/ { inside = 0; close(body); split("", marks); next }
  inside { print > body; next }
  /^```/ {
    language = substr($0, 4)
    if (language !~ /^(sh|console|cpp|cmake|json|python|text)$/)
      problem("expected a block of sh, console, cpp, cmake, json, python or text, got \"" language "\"")
    body = sprintf("%s/%03d", out, ++n)
    printf "" > body
    inside = 1
    print n, FILENAME, FNR, language, value("not run"), value("in the test"), value("output"), value("file"), value("fragment")
    next
  }
  /^<!-- .* -->$/ {
    comment = substr($0, 6, length($0) - 9)
    if (!(mark("not run") || mark("in the test") || mark("output") || mark("file") || mark("fragment")))
      problem("unknown mark \"" comment "\"; tests/docs.sh lists them")
    next
  }
  /^    / && blank { problem("an indented block is not run: write ```sh") }
  { blank = /^ *$/; for (m in marks) { problem("the mark \"" m "\" stands before no block"); split("", marks) } }
  END { exit bad }' README.md docs/*.md > "$tmp/index" || exit 1
# Links to files: each leads somewhere.
for document in README.md HACKING.md docs/*.md; do
  awk '/^```/ { inside = !inside; next } !inside { gsub(/`[^`]*`/, ""); while (match($0, /\]\([^)]*\)/)) {
    link = substr($0, RSTART + 2, RLENGTH - 3); sub(/#.*/, "", link); $0 = substr($0, RSTART + RLENGTH)
    if (link != "" && link !~ /^https?:/) print link } }' "$document" | while read -r link; do
    [ -e "$(dirname "$document")/$link" ] || echo "$document: the link $link leads nowhere"
  done
done > "$tmp/links"
[ ! -s "$tmp/links" ] || { cat "$tmp/links"; exit 1; }
tab=$(printf '\t')
body() { printf '%s/blocks/%03d' "$tmp" "$1"; }
failed=0
fail() { failed=$((failed + 1)); echo "FAILED $1"; }

# The data: drawings of seven things, with captions, under the names that the documents use.
prepare() {
  mkdir -p photos captioned by_class pairs eval/caltech101 eval/cifar10 build/release
  ln -s "$clipx" build/release/clipx
  for entry in examples models bench tests cmake; do ln -s "$source/$entry" $entry; done
  labels='apple clock heart house mushroom sun umbrella'
  for label in $labels; do
    mkdir "by_class/$label"
    for place in photos captioned "by_class/$label"; do cp "examples/images/$label.png" "$place"; done
    echo "a drawing of the $label" | tee "captioned/$label.txt" >> captions.txt
    echo "$label" >> classes.txt
  done
  cp photos/clock.png photo.jpg  # decoders look at the bytes, not at the name
  cp captions.txt queries.txt
  printf 'a drawing of {}\na photo of {}\n' > templates.txt
  { echo filepath,title; for label in $labels; do echo "photos/$label.png,a drawing of the $label"; done; } > pairs.csv
  # Shards: each sample is an image with its caption, as .txt and as a list in .json, and the label of its class.
  shard() {  # file labels..
    file=$1 number=0
    shift
    mkdir samples
    for label in "$@"; do
      key=$(basename "$file" .tar)-$(printf %04d $number)
      cp "photos/$label.png" "samples/$key.png"
      cp "captioned/$label.txt" "samples/$key.txt"
      echo "{\"captions\": [\"a drawing of the $label\", \"clip art of the $label\"], \"cls\": $number}" > "samples/$key.json"
      printf %d $number > "samples/$key.cls"
      number=$((number + 1))
    done
    (cd samples && tar --format=ustar -cf - -- *) > "$file"
    rm -r samples
  }
  shard test.tar $labels
  for n in 0 1 2 3 4 5 6 7 8; do shard pairs/train-000$n.tar $labels; done
  for n in 0 1 2 3; do shard pool-000$n.tar $labels; done
  shard eval/caltech101/test.tar sun
  shard eval/cifar10/test.tar umbrella
  # A ViT that has seen one batch, for documents that show what is done with a trained model.
  echo '{"model_cfg": {"embed_dim": 64, "quick_gelu": true,
    "vision_cfg": {"image_size": 64, "patch_size": 16, "width": 64, "layers": 2},
    "text_cfg": {"context_length": 32, "vocab_size": 4096, "width": 64, "heads": 1, "layers": 1}}}' > ViT-B-32.json
  clipx train --train-data captioned --model ViT-B-32.json --tokenizer models/default --batch-size 7 --epochs 1 --name ViT-B-32 \
    --logs trained > train.log && mv trained/ViT-B-32/model ViT-B-32 && rm -r ViT-B-32.json train.log trained
  printf '# a list\nsomeword\ntwo words\n' > words.txt
  for n in 0 1 2 3; do cat captions.txt; done > wikipedia.txt
  printf 'Clock\t900\nUmbrella\t80\n' > views.tsv
}

# What a command printed, against what the block shows.
compare() {  # expected got mask
  if [ "$(tail -n 1 "$1")" = ... ]; then
    sed -i '$d' "$1"
    head -n "$(wc -l < "$1")" "$2" > "$2.head" && mv "$2.head" "$2"
  fi
  [ "$3" != approximate ] || sed -i -E 's/[0-9]+([.][0-9]+)?(e[-+]?[0-9]+)?/N/g; s/ +/ /g' "$1" "$2"
  diff "$1" "$2" > "$tmp/diff"
}

# The commands of a console block, one after the other, in a shell that stays in the folder.
run_console() {  # body mask
  rm -rf "$tmp/console" && mkdir "$tmp/console"
  awk -v out="$tmp/console" '
    !more && /^\$ / { ++n; file = sprintf("%s/%02d", out, n); printf "" > (file ".expected"); line = substr($0, 3) }
    !more && !/^\$ / { if (!n) { print "expected a block that begins with \"$ \"" > "/dev/stderr"; exit 1 }
                       print > (file ".expected"); next }
    more { line = $0 }
    { print line > (file ".sh"); more = line ~ /\\$/ }' "$1" || return 1
  for script in "$tmp"/console/*.sh; do
    shown=${script%.sh}.expected got=${script%.sh}.got
    sh -e "$script" > "$got" 2>&1 < /dev/null || { cat "$script" "$got"; return 1; }
    compare "$shown" "$got" "$2" || { cat "$script" "$tmp/diff"; return 1; }
  done
}

commands() {
  clipx=$(readlink -f "${1:?docs.sh commands: expected the program}")
  export OMP_WAIT_POLICY=passive PATH="$tmp/bin:$PATH"
  unset CLIPX_MODEL
  mkdir "$tmp/bin" "$tmp/data" && ln -s "$clipx" "$tmp/bin/clipx"
  (cd "$tmp/data" && prepare) || { echo "FAILED: the data cannot be made"; exit 1; }
  ran=0 marked=0 current=
  while IFS="$tab" read -r n document line language not_run edit output file fragment; do
    if [ "$document" != "$current" ]; then
      current=$document
      rm -rf "$tmp/work"
      cp -a "$tmp/data" "$tmp/work" && cd "$tmp/work" || exit 1
    fi
    if [ "$edit" != - ]; then
      cp "$(body "$n")" "$tmp/shown" && sed -i -E "$edit" "$(body "$n")"
      ! cmp -s "$tmp/shown" "$(body "$n")" || fail "$document:$line: what is \"in the test\" changes nothing"
    fi
    [ "$file" = - ] || { mkdir -p "$(dirname "$file")" && cp "$(body "$n")" "$file"; }
    case $language in sh | console) ;; *) continue ;; esac
    if [ "$not_run" != - ]; then
      marked=$((marked + 1))
      echo "not run: $document:$line: $not_run"
      continue
    fi
    ran=$((ran + 1))
    if [ "$language" = sh ]; then sh -e "$(body "$n")" > "$tmp/log" 2>&1 < /dev/null
    else run_console "$(body "$n")" "$output" > "$tmp/log" 2>&1; fi || { fail "$document:$line"; tail -n 30 "$tmp/log"; }
  done < "$tmp/index"
  echo "$ran blocks of commands ran, $failed failed, $marked are marked as not run"
}

# Whole units are compiled one by one; fragments together, each in a function of its own. Messages name the document and its line.
cpp() {
  flags="-std=c++20 -fsyntax-only -Wall -Wextra -Werror -DCLIPX_COMPILED -I$source/include -I$source/backends/eigen
    -I$source/backends/cpu -I$source/backends/cuda ${CLIPX_FLAGS--isystem /usr/include/eigen3}"
  mkdir "$tmp/cpp" && cd "$tmp/cpp" || exit 1
  units=0 fragments=0
  while IFS="$tab" read -r n document line language not_run edit output file fragment; do
    [ "$language" = cpp ] || continue
    if [ "$fragment" = - ]; then
      units=$((units + 1))
      { echo "#line $((line + 1)) \"$document\""; cat "$(body "$n")"; } > "unit-$n.cpp"
    else
      fragments=$((fragments + 1))
      [ "$fragment" != none ] || fragment=
      grep -h '^#include' "$(body "$n")" >> includes
      { echo "[[maybe_unused]] static void fragment_$n($fragment) {"; echo "#line $((line + 1)) \"$document\""
        sed '/^#include/s/.*//' "$(body "$n")"; echo "}"; } >> fragments
    fi
  done < "$tmp/index"
  [ $fragments -eq 0 ] || { sort -u includes; cat fragments; } > unit-fragments.cpp
  for unit in unit-*.cpp; do
    ${CXX:-c++} $flags $unit > "$tmp/log" 2>&1 || { fail "$unit: does not compile"; head -n 20 "$tmp/log"; }
  done
  echo "$units units and $fragments fragments of C++ compiled, $failed failed"
}

case $mode in
  commands) commands "${2-}" ;;
  cpp) cpp ;;
  *) sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//;p;}' "$0" >&2; exit 2 ;;
esac
[ "$failed" -eq 0 ]
