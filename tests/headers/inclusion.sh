#!/bin/sh
# The rule of inclusion: the table of allow lines below; no arrow points upwards. Nothing below include/ names a backend; a backend
# includes only core/. Third parties: stb_image and stb_image_write, libjpeg, giflib, libwebp, libtiff, libheif, libjxl, nlohmann-json,
# utf8proc, xxHash, zlib and cld2, in -inl files. Also: no file over 500 lines
# (generated tables apart), no function over 60, no example of 80 or more, CMakeLists.txt at most 150.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=$(mktemp) && trap 'rm -f "$bad"' EXIT
say() { sed "s|^|$1: |" >> "$bad"; }

# Folder of an include, whether written <clipx/x/y.hpp>, "../x/y.hpp" or "y.hpp".
folders() {
  grep -nHE '^ *# *include' "$1" | sed -nE 's@^([^:]*/)([^/:]*):([0-9]+): *# *include *[<"](.*)[>"].*@\1\2:\3 \1 \4@p' |
    awk '{ f = $3
           if (f ~ /^clipx\//) sub(/^clipx\//, "", f)
           else if (f ~ /^\.\.\//) sub(/^\.\.\//, "", f)
           else if (f ~ /\.h(pp)?$/ && system("test -e " $2 f) == 0) { n = split($2, part, "/"); f = part[n - 1] "/" f }
           else next
           if (f ~ /\//) sub(/\/.*/, "", f); else f = "(backend " f ")"
           print $1, f }'
}
# allow FOLDER "names": what files of include/clipx/FOLDER may include.
allow() {
  folder=$1 names=" $2 "
  for file in $(find "include/clipx/$folder" -name '*.hpp' 2>/dev/null); do
    folders "$file" | while read -r place name rest; do
      case "$names" in *" $name "*) ;; *) echo "$place: $folder/ must not include $name $rest" >> "$bad" ;; esac
    done
  done
}
# From the ground floor up: each room and those below it that it may use.
allow core "core"
allow io "core io"
allow ops "core ops"
allow model "core ops model"
allow loss "core io ops model loss"
allow architectures "core io ops model loss architectures"
allow image "core io image"
allow text "core io text"
allow data "core io image text data"
allow checkpoint "core io ops model loss architectures image text checkpoint"
allow zero_shot "core io ops model loss architectures image text checkpoint zero_shot"
allow run "core io ops model loss architectures image text data checkpoint zero_shot run"
allow train "core io ops model loss architectures image text data checkpoint zero_shot run train"
allow eval "core io ops model loss architectures image text data checkpoint zero_shot run eval"
allow curate "core io ops model loss architectures image text data checkpoint zero_shot run train eval curate"
rooms=$(sed -n 's/^allow \([a-z_]*\) .*/\1/p' "$0" | tr '\n' ' ')
for known in $(cd include/clipx && ls -d */ 2>/dev/null); do
  case " $rooms " in
    *" ${known%/} "*) ;; *) echo "include/clipx/$known has no rule of inclusion" >> "$bad" ;;
  esac
done
# Backends include core/ and their own files.
for backend in $(cd backends && ls); do
  for file in $(find "backends/$backend" -name '*.h*' -o -name '*.cu*'); do
    folders "$file" | grep -vE " (core|clipx|kernels|$backend|\\(backend)" | say "a backend includes only core/"
  done
done
# The reference needs Eigen for its products alone, and cuda's declarations are for any C++ compiler.
grep -rnE '# *include *<Eigen' backends include | grep -v '^backends/eigen/clipx/eigen/products-inl.hpp:' | say "Eigen only in products-inl.hpp"

# No backend and no foreign header below include/.
grep -rnE '# *include.*(eigen|cpu|cuda|dnnl|hwy/|omp\.h)' include | say "below include/ nothing names a backend"
grep -rnE '\b(dnnl|hn|cublas\w*|Eigen)::|clipx::(cpu|cuda|eigen)\b|\b(cpu|cuda|eigen)<' include | grep -vE ':[0-9]+: *//' |
  say "below include/ nothing names a backend"
third='stb/stb_image\.h|jpeglib\.h|jerror\.h|gif_lib\.h|webp/(decode|demux)\.h|tiffio\.h|libheif/heif\.h|jxl/decode\.h|nlohmann/json(_fwd)?\.hpp|utf8proc\.h|stb/stb_image_write\.h|xxhash\.h|zlib\.h|cld2/public/[a-z_]+\.h'
grep -rnE "# *include *<($third)>" include --include='*.hpp' | grep -v -- '-inl\.hpp:' | say "third parties only in -inl files"
system='[a-z_0-9]+|sys/[a-z]+\.h|fcntl\.h|unistd\.h|dirent\.h|setjmp\.h|signal\.h|clipx/[a-z_0-9/-]+\.hpp'
grep -rnE '# *include *<' include --include='*.hpp' | grep -vE "<($system|$third)>" | say "not an allowed include"
grep -rnE '# *include' include --include='*.hpp' | grep -E '<(fcntl|unistd|dirent|setjmp|signal|sys/[a-z]+)\.h' | grep -v -- '-inl\.hpp:' |
  say "system headers of POSIX only in -inl files"

# A policy is named in its own files and in one list.
grep -rnwE '(vit|modified_resnet|siglip_vit|convnext|vitamin|plain_vit|mci_vit|eva_vit)(_config)?|siglip_text|plain_text|bert_text|m2m_text' include backends tools --include='*.[ch]*' |
  grep -vE '^include/clipx/(architectures/(vit|vitamin|modified_resnet|siglip|convnext|plain|timm|mci|eva|bert|m2m|list)|model/(vit|vitamin|modified_resnet|siglip|convnext|plain|mci|eva|bert|m2m))[a-z0-9_-]*\.hpp:' |
  grep -vE ':[0-9]+: *//|// .*\b(vit|modified_resnet|siglip_vit|convnext)(_config)?\b' | say "an architecture is named outside its own files"
grep -rn 'is_[r]esnet' include backends tools tests bench examples | say "an architecture is named outside its own files"

# The model reads like the paper's: towers and ops together stay short.
lines=$(cat include/clipx/model/*.hpp include/clipx/ops/*.hpp | grep -vcE '^ *(//.*)?$')
[ "$lines" -lt 3260 ] || echo "include/clipx/model and ops have $lines lines of code, expected fewer than 3260" >> "$bad"

# The library neither prints nor dies.
grep -rnE '\b(std::(cout|cerr|abort|exit|terminate)|printf|fprintf|puts|abort|exit)\b *[(<;]' include backends | grep -vE ':[0-9]+: *//' |
  say "the library never prints, exits or aborts"

# Messages of the library name its own options; tools/flags.hpp has the program's flags for them.
grep -rnoE '"([^"\\]|\\.)*"' include backends | grep -E ':"[^"]*--[a-z]' | say "a flag of the program in a message of the library"

# bench/ and tools/ stand on the library, and not on each other, but for the door to CLI11, which no other unit includes.
grep -nE '# *include.*(\.\./|bench/|tools/)' bench/*.[ch]pp tools/*.[ch]pp | say "bench/ and tools/ include the library and their own files"
grep -hoE '^ *# *include *"[^"]*"' bench/*.[ch]pp | sed 's/.*"\(.*\)"/\1/' | sort -u | while read -r own; do
  [ -e "bench/$own" ] || [ "$own" = arguments.hpp ] || echo "bench/ must not include $own, of another folder" >> "$bad"
done
grep -rnE '# *include *<CLI/' include backends tools bench tests examples | grep -v '^tools/arguments\.cpp:' |
  say "CLI11 only in tools/arguments.cpp"

# Catch2 2 and 3 mean different things by it.
grep -rn 'Matchers::Contains' tests --include='*.[ch]pp' | grep -v '^tests/catch.hpp:' | say "Contains is that of tests/catch.hpp"

# Sizes.
git ls-files --cached --others --exclude-standard 2>/dev/null | grep -E '\.(hpp|h|cpp|cuh|cmake|sh|py)$|CMakeLists.txt$' |
  grep -vE '_table\.(hpp|inc)$' | while read -r f; do
    lines=$(wc -l < "$f" 2>/dev/null || echo 0)
    [ "$lines" -le 500 ] || echo "$f has $lines lines, over 500" >> "$bad"
  done
# A function is what ends in `) .. {`, over however many lines, up to the brace that closes it in the column in which it began.
find include backends tools -name '*.[ch]*' | sort | xargs awk -v most=60 '
  FNR == 1 { inside = directive = 0; head = "" }
  directive || /^ *#/ { directive = /\\$/; next }
  { sub(/ *(\/\/.*)?$/, ""); match($0, /^ */); column = RLENGTH }
  /^ *$/ { next }
  inside {
    if (column != at || !/^ *}/) next
    if (FNR - start > most) print FILENAME ":" start ": a function of " FNR - start + 1 " lines, over " most
    inside = 0; next
  }
  head == "" { if (/^ *(}|(public|private|protected):$)/) next; start = FNR; at = column }
  { head = head " " $0 }
  /[;}]$/ { head = "" }
  /[{]$/ {
    while (gsub(/<[^<>]*>/, "", head)) {}
    inside = head ~ /\(/ && head !~ /[^=]= *[{]+$| (class|struct|union|enum|namespace|concept) /
    head = ""
  }' >> "$bad"
for f in examples/*.cpp; do
  [ "$(wc -l < "$f")" -lt 80 ] || echo "$f: expected an example of fewer than 80 lines" >> "$bad"
done
[ "$(wc -l < CMakeLists.txt)" -le 150 ] || echo "CMakeLists.txt is over 150 lines" >> "$bad"

cat "$bad"
[ ! -s "$bad" ] && echo "the rule of inclusion holds"
