#!/bin/sh
# Each header compiles alone, without a warning. include/: every header declared only (and then without any third-party header), and
# every -inl file over declarations alone, so that it includes all that it uses, in one unit with its header, which it includes itself; that
# the whole is header-only, the units of tests/headers show. backends/: each header declared only and header-only, for these have
# definitions of their own.
# CXX, CLIPX_FLAGS (include paths of the packages) and CLIPX_BACKENDS (those that are built) come from ctest.
set -u
cd "$(dirname "$0")/../.." || exit 1
out=$(mktemp -d) && trap 'rm -rf "$out"' EXIT
backends=
for b in ${CLIPX_BACKENDS-eigen}; do backends="$backends backends/$b"; done
case "$backends" in *cuda*) ;; *) backends="$backends backends/cuda" ;; esac  # its declarations need no CUDA

cat > "$out/one" <<'END'
#!/bin/sh
# one header: $1 = root folder, $2 = path below it, $3 = scratch
root=$1 header=$2 tag=$3/$(echo "$2" | tr / _)
flags="-std=c++20 -fsyntax-only -fopenmp -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude -I$root $CLIPX_FLAGS -x c++"
printf '#include <%s>\n#include <%s>\n' "$header" "$header" > "$tag.cpp"
definitions=${header%.hpp}-inl.hpp
: > "$tag.mark"
if [ "$root" = include ] && [ -f "$root/$definitions" ]; then printf '#include "%s"\n#include <%s>\n' "$tag.mark" "$definitions" >> "$tag.cpp"; fi
if ! $CXX $flags -DCLIPX_COMPILED -MD -MF "$tag.d" "$tag.cpp" 2> "$tag.log"; then
  echo "FAILED: $header, over declarations"; head -20 "$tag.log"; exit 0
fi
case $header in
  *-inl.hpp) ;;
  *)  # the compiler lists what is included in that order
    sed -i "\|$tag.mark|,\$d" "$tag.d"
    if grep -E '/(stb|nlohmann|CLI|Eigen|hwy|oneapi|catch2)/|jpeglib|gif_lib|tiffio|/(webp|libheif|jxl)/|utf8proc|xxhash|zlib|cld2|-inl\.h|cuda_runtime|\.cuh' "$tag.d"; then
      echo "FAILED: $header includes a third-party header or a definition when only declarations are asked for"; exit 0
    fi
    if [ "$root" = include ] && grep -qE '//.*Errors?:' "$root/$header" && ! grep -q core/error.hpp "$tag.d"; then
      echo "FAILED: $header documents errors and does not include core/error.hpp"; exit 0
    fi ;;
esac
if [ "$root" != include ] && ! $CXX $flags "$tag.cpp" 2> "$tag.log"; then
  echo "FAILED: $header, header-only"; head -20 "$tag.log"; exit 0
fi
echo "ok $header"
END

export CXX="${CXX:-c++}" CLIPX_FLAGS="${CLIPX_FLAGS--isystem /usr/include/eigen3}"
for root in include $backends; do
  (cd "$root" && find clipx -name '*.hpp' ! -name '*-inl.hpp'
    [ "$root" != include ] || find clipx -name '*-inl.hpp' | while read -r f; do [ -f "${f%-inl.hpp}.hpp" ] || echo "$f"; done) | sed "s|^|$root |"
done | sort | xargs -P 2 -L 1 sh -c 'sh "$0/one" "$1" "$2" "$0"' "$out" > "$out/report"
sort "$out/report" | grep -c '^ok' | sed 's/$/ headers compile alone/'
! grep -v '^ok' "$out/report"
