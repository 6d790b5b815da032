#!/bin/sh
# The rule of inclusion: core <- ops <- model <- loss; image, text, io, data know no model; zero_shot joins them; train stands on all but data; any may
# include io/file.hpp. Nothing below include/ names a backend; a backend includes only core/. Third parties: stb_image, libjpeg,
# nlohmann-json and utf8proc, in -inl files. Also: no file over 500 lines (generated tables apart), CMakeLists.txt at most 150.
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
           if (f == "io/file.hpp") f = "file"  # knows nothing of the others
           else if (f ~ /\//) sub(/\/.*/, "", f); else f = "(backend " f ")"
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
allow core "core"
allow ops "core ops"
allow model "core ops model"
allow loss "core ops model loss"
allow train "core ops model loss train zero_shot io file"  # a run on disk ends as a checkpoint
allow zero_shot "core ops model loss zero_shot image text io file"
allow image "core image file"
allow text "core image text file"  # image: the one stb_image, whose zlib decoder reads .gz
allow io "core io image text model file"  # model: its config structs and key names, nothing that computes
allow data "core io image text data file"
for known in $(cd include/clipx && ls -d */ 2>/dev/null); do
  case " core/ ops/ model/ loss/ train/ zero_shot/ image/ text/ io/ data/ " in
    *" $known "*) ;; *) echo "include/clipx/$known has no rule of inclusion" >> "$bad" ;;
  esac
done
# Readers beside the models: of model/ only the plain structs.
for file in $(find include/clipx/io include/clipx/data include/clipx/image include/clipx/text -name '*.hpp' 2>/dev/null); do
  grep -nHE 'include *[<"].*model/' "$file" | grep -vE 'model/(config|presets)\.hpp' | say "only model/config.hpp and presets.hpp"
done
# Backends include core/ and their own files.
for file in $(find backends -name '*.h*' -o -name '*.cu*'); do
  folders "$file" | grep -vE ' (core|clipx|kernels|\(backend)' | say "a backend includes only core/"
done

# No backend and no foreign header below include/.
grep -rnE '# *include.*(eigen|cpu|cuda|dnnl|hwy/|omp\.h)' include | say "below include/ nothing names a backend"
grep -rnE '\b(dnnl|hn|cublas\w*|Eigen)::|clipx::(cpu|cuda|eigen)\b|\b(cpu|cuda|eigen)<' include | grep -vE ':[0-9]+: *//' |
  say "below include/ nothing names a backend"
third='stb/stb_image\.h|jpeglib\.h|jerror\.h|nlohmann/json(_fwd)?\.hpp|utf8proc\.h'
grep -rnE "# *include *<($third)>" include --include='*.hpp' | grep -v -- '-inl\.hpp:' | say "third parties only in -inl files"
system='[a-z_0-9]+|sys/[a-z]+\.h|fcntl\.h|unistd\.h|dirent\.h|setjmp\.h|clipx/[a-z_0-9/-]+\.hpp'
grep -rnE '# *include *<' include --include='*.hpp' | grep -vE "<($system|$third)>" | say "not an allowed include"
grep -rnE '# *include' include --include='*.hpp' | grep -E '<(fcntl|unistd|dirent|setjmp|sys/[a-z]+)\.h' | grep -v -- '-inl\.hpp:' |
  say "system headers of POSIX only in -inl files"

# The library neither prints nor dies.
grep -rnE '\b(std::(cout|cerr|abort|exit|terminate)|printf|fprintf|puts|abort|exit)\b *[(<;]' include backends | grep -vE ':[0-9]+: *//' |
  say "the library never prints, exits or aborts"

# Catch2 2 and 3 mean different things by it.
grep -rn 'Matchers::Contains' tests --include='*.[ch]pp' | grep -v '^tests/catch.hpp:' | say "Contains is that of tests/catch.hpp"

# Sizes.
git ls-files --cached --others --exclude-standard 2>/dev/null | grep -E '\.(hpp|h|cpp|cuh|cmake|sh|py)$|CMakeLists.txt$' |
  grep -vE '_table\.(hpp|inc)$' | while read -r f; do
    lines=$(wc -l < "$f" 2>/dev/null || echo 0)
    [ "$lines" -le 500 ] || echo "$f has $lines lines, over 500" >> "$bad"
  done
[ "$(wc -l < CMakeLists.txt)" -le 150 ] || echo "CMakeLists.txt is over 150 lines" >> "$bad"

cat "$bad"
[ ! -s "$bad" ] && echo "the rule of inclusion holds"
