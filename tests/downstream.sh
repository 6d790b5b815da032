#!/bin/sh
# Builds projects that use clipx, as their authors would, and runs them.
#   downstream.sh package|subdirectory|fetch|pkgconfig|components|shared BUILD_DIR GENERATOR
# package, pkgconfig and components install the build into a temporary prefix first; shared makes and installs shared libraries of its
# objects. Header-only users compile without optimization here.
set -eu
way=$1 build=$2 generator=$3
source=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
install() { cmake --install "$build" --prefix "$tmp/prefix" > "$tmp/install.log" 2>&1 || { tail -20 "$tmp/install.log"; exit 1; }; }
generate() {  # SOURCE BUILD options...
  from=$1 to=$2
  shift 2
  cmake -S "$from" -B "$to" -G "$generator" -DCMAKE_CXX_COMPILER="${CXX:-c++}" "$@" > "$tmp/log" 2>&1
}
configure() {  # SOURCE options...
  project=$1
  shift
  generate "$project" "$tmp/build" "$@" && cmake --build "$tmp/build" >> "$tmp/log" 2>&1 || { tail -60 "$tmp/log"; exit 1; }
}
fail() { echo "FAILED: $*"; exit 1; }
without_paths() {  # DIR: what was installed must not point back into this tree or its build
  case ${CLIPX_BUILD_TYPE-Release} in Release | MinSizeRel) all= ;; *) all='--include=*.cmake --include=*.pc --include=*.hpp' ;; esac
  # shellcheck disable=SC2086  # two options or none
  if grep -rlF $all -e "$source" -e "$build" "$1"; then fail "an installed file names the source or build folder"; fi
}
# Every package but those, as if it were not installed.
packages=$(sed -n 's/^set(clipx_debian_\([A-Za-z0-9_]*\) .*/\1/p' "$source/cmake/clipx_packages.cmake")
only() {
  for package in $packages; do
    case " $* " in *" $package "*) ;; *) printf ' -DCMAKE_DISABLE_FIND_PACKAGE_%s=ON' "$package" ;; esac
  done
}
links() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
says() {  # REGEX: of the last configuration
  tr '\n' ' ' < "$tmp/log" | tr -s ' ' | grep -qE -- "$1" || { cat "$tmp/log"; fail "expected a message like: $1"; }
}

# text and image on machines that have only their packages; messages that name what is missing.
components() {
  install
  for component in text image; do
    case $component in
      text) own="Threads nlohmann_json utf8proc ZLIB" foreign='jpeg|gif|webp|tiff|heif|jxl|xxhash|dnnl|hwy|cld2' argument=$source/models/default ;;
      image) own="Threads stb ZLIB JPEG GIF webp TIFF heif jxl" foreign='utf8proc|xxhash|dnnl|hwy|cld2' argument=$source/examples/images/clock.png ;;
    esac
    # shellcheck disable=SC2046,SC2086  # several options
    configure "$source/tests/packaging" -DCMAKE_PREFIX_PATH="$tmp/prefix" -DCOMPONENTS=$component "-DWAYS=header-only;compiled" $(only $own)
    for program in "$tmp/build/$component" "$tmp/build/$component-compiled"; do
      "$program" "$argument"
      if links "$program" | grep -E "$foreign"; then fail "$program needs libraries of other components"; fi
    done
    # shellcheck disable=SC2046,SC2086
    generate "$source/tests/packaging" "$tmp/sub-$component" -DCLIPX_FROM="$source" -DCOMPONENTS=$component -DWAYS=compiled $(only $own) ||
      { tail -40 "$tmp/log"; fail "add_subdirectory of $component alone"; }
    rm -rf "$tmp/build"
  done
  refuse() {  # COMPONENTS options...
    names=$1
    shift
    rm -rf "$tmp/refused"
    if generate "$source/tests/packaging" "$tmp/refused" -DCMAKE_PREFIX_PATH="$tmp/prefix" "-DCOMPONENTS=$names" -DWAYS=compiled "$@"; then
      fail "found: $names $*"
    fi
  }
  refuse "text;nonsense"
  says "there is no component nonsense, expected one of text, image, clipx, eigen, cpu, cuda"
  refuse "image;text" -DCMAKE_DISABLE_FIND_PACKAGE_stb=ON -DCMAKE_DISABLE_FIND_PACKAGE_utf8proc=ON
  says "component image needs stb \(Debian: libstb-dev\), which is not found"
  says "component text needs utf8proc \(Debian: libutf8proc-dev\), which is not found"
  refuse eigen -DCMAKE_DISABLE_FIND_PACKAGE_xxhash=ON
  says "component clipx needs xxhash \(Debian: libxxhash-dev\), which is not found"
  case " ${CLIPX_BACKENDS-} " in
    *" cuda "*) ;;
    *) refuse cuda; says "component cuda is not in this installation, which has text, image, clipx" ;;
  esac
  if generate "$source/tests/packaging" "$tmp/refused" -DCLIPX_FROM="$source" -DCOMPONENTS=eigen -DWAYS=compiled; then
    fail "CLIPX_COMPONENTS=eigen is taken"
  fi
  says "CLIPX_COMPONENTS=eigen: expected all, or a list of text;image, got 'eigen'"
}

# The shared libraries of a build whose objects are taken where its commands are the same.
shared() {
  [ "$generator" = Ninja ] || { echo "skipped: needs Ninja"; exit 77; }
  backends=$(echo "${CLIPX_BACKENDS-}" | sed 's/\bcuda\b//; s/^ *//; s/ *$//; s/  */;/g')
  sed -n 's/^\(CMAKE_BUILD_TYPE\|CMAKE_CXX_FLAGS[A-Z_]*\|CLIPX_WERROR\):[A-Z]*=/-D\1=/p' "$build/CMakeCache.txt" > "$tmp/flags"
  tr '\n' '\0' < "$tmp/flags" | xargs -0 cmake -S "$source" -B "$tmp/libraries" -G Ninja -DCMAKE_CXX_COMPILER="${CXX:-c++}" \
    "-DCMAKE_CXX_COMPILER_LAUNCHER=sh;$source/tests/packaging/reuse.sh;$build" -DBUILD_SHARED_LIBS=ON -DCLIPX_TESTS=OFF \
    -DCLIPX_EXAMPLES=OFF -DCLIPX_BENCH=OFF "-DCLIPX_BACKENDS=$backends" > "$tmp/log" 2>&1 &&
    cmake --build "$tmp/libraries" >> "$tmp/log" 2>&1 || { tail -60 "$tmp/log"; exit 1; }
  echo "$(sort -u "$tmp/libraries/reused.txt" 2> /dev/null | wc -l) objects of the static libraries are those of the shared ones"
  cmake --install "$tmp/libraries" --prefix "$tmp/prefix" > /dev/null
  version=$(sed -n 's/^#define CLIPX_VERSION_[A-Z]* //p' "$source/include/clipx/version.hpp" | paste -sd.)
  for name in base text image clipx $(echo "$backends" | tr ';' ' '); do
    case $name in clipx) name=libclipx-compiled.so ;; *) name=libclipx-$name-compiled.so ;; esac
    library=$(find "$tmp/prefix" -name "$name.$version")
    [ -f "$library" ] || fail "no $name.$version"
    readelf -d "$library" | grep -qF "soname: [$name.${version%.*}]" || fail "the SONAME of $name"
    if ldd -r "$library" 2>&1 | grep -E 'not found|undefined symbol'; then fail "$library is not whole"; fi
  done
  without_paths "$tmp/prefix"
  rm -rf "$tmp/libraries"
  mkdir "$tmp/empty"
  configure "$source/tests/packaging" -DCMAKE_PREFIX_PATH="$tmp/prefix" "-DCOMPONENTS=text;image;eigen" -DWAYS=compiled
  for name in text image eigen; do
    links "$tmp/build/$name-compiled" | grep -q "^libclipx-$name-compiled.so.${version%.*}\$" || fail "$name does not use the shared library"
  done
  "$tmp/build/text-compiled" "$source/models/default"
  "$tmp/build/image-compiled" "$source/examples/images/clock.png"
  "$tmp/build/eigen-compiled" "$source/models/default" "$tmp/empty"
}

case $way in
  package)
    install
    configure "$source/examples/downstream" -DCMAKE_PREFIX_PATH="$tmp/prefix"
    "$tmp/build/downstream"
    "$tmp/build/downstream-compiled"
    case " ${CLIPX_BACKENDS-} " in *" cuda "*) "$tmp/build/downstream-cuda" ;; esac
    without_paths "$tmp/prefix" ;;
  subdirectory)
    configure "$source/examples/downstream" -DCLIPX_FROM="$source"
    "$tmp/build/downstream" ;;
  fetch)
    configure "$source/examples/downstream" -DFETCHCONTENT_SOURCE_DIR_CLIPX="$source" -DCLIPX_FETCH="$source"
    "$tmp/build/downstream" ;;
  pkgconfig)
    command -v pkg-config > /dev/null || exit 77
    install
    PKG_CONFIG_PATH=$(find "$tmp/prefix" -name clipx.pc -printf '%h')
    export PKG_CONFIG_PATH
    compile() {  # package source argument
      flags=$(pkg-config --cflags --libs "$1")
      # shellcheck disable=SC2086  # several flags
      ${CXX:-c++} -std=c++20 "$2" $flags -o "$tmp/downstream"
      "$tmp/downstream" "$3"
    }
    for package in clipx-eigen clipx-eigen-compiled; do compile $package "$source/examples/downstream/main.cpp" ""; done
    compile clipx-text-compiled "$source/tests/packaging/text.cpp" "$source/models/default"
    compile clipx-image-compiled "$source/tests/packaging/image.cpp" "$source/examples/images/clock.png"
    # Header-only, a part includes the headers of its own packages.
    includes() {  # package source foreign headers
      # shellcheck disable=SC2046  # several flags
      ${CXX:-c++} -std=c++20 -M "$2" $(pkg-config --cflags "$1") > "$tmp/headers"
      if grep -E "$3" "$tmp/headers"; then fail "$1 includes headers of other packages"; fi
    }
    includes clipx-text "$source/tests/packaging/text.cpp" '/(stb|Eigen|hwy|oneapi|cld2)/|jpeglib|gif_lib|tiffio|/(webp|libheif|jxl)/|xxhash'
    includes clipx-image "$source/tests/packaging/image.cpp" '/(nlohmann|Eigen|hwy|oneapi|cld2)/|utf8proc|xxhash'
    for package in $(find "$PKG_CONFIG_PATH" -name 'clipx*.pc' -printf '%f '); do
      flags=$(pkg-config --cflags --libs "${package%.pc}")  # what it requires is there
      case $flags in *-std=*) fail "$package sets the standard" ;; esac
    done ;;
  components) components ;;
  shared) shared ;;
esac
