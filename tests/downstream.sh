#!/bin/sh
# Builds examples/downstream as a user would and runs it.
#   downstream.sh package|subdirectory|fetch|pkgconfig BUILD_DIR GENERATOR
# package and pkgconfig install the build into a temporary prefix first. Header-only users compile without optimisation here.
set -eu
way=$1 build=$2 generator=$3
source=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
install() { cmake --install "$build" --prefix "$tmp/prefix" > "$tmp/install.log" 2>&1 || { tail -20 "$tmp/install.log"; exit 1; }; }
configure() {
  cmake -S "$source/examples/downstream" -B "$tmp/build" -G "$generator" -DCMAKE_CXX_COMPILER="${CXX:-c++}" "$@" > "$tmp/log" 2>&1 &&
    cmake --build "$tmp/build" >> "$tmp/log" 2>&1 || { tail -60 "$tmp/log"; exit 1; }
}
case $way in
  package)
    install
    configure -DCMAKE_PREFIX_PATH="$tmp/prefix"
    "$tmp/build/downstream"
    "$tmp/build/downstream-compiled"
    case " ${CLIPX_BACKENDS-} " in *" cuda "*) "$tmp/build/downstream-cuda" ;; esac
    # what was installed must not point back into this tree
    if grep -rlF "$source" "$tmp/prefix/lib" "$tmp/prefix/include" --include='*.cmake' --include='*.pc' --include='*.hpp'; then
      echo "an installed file names the source folder"; exit 1
    fi ;;
  subdirectory)
    configure -DCLIPX_FROM="$source"
    "$tmp/build/downstream" ;;
  fetch)
    configure -DFETCHCONTENT_SOURCE_DIR_CLIPX="$source" -DCLIPX_FETCH="$source"
    "$tmp/build/downstream" ;;
  pkgconfig)
    command -v pkg-config > /dev/null || exit 77
    install
    PKG_CONFIG_PATH=$(find "$tmp/prefix" -name clipx.pc -printf '%h')
    export PKG_CONFIG_PATH
    for package in clipx-eigen clipx-eigen-compiled; do
      flags=$(pkg-config --cflags --libs $package)
      # shellcheck disable=SC2086  # several flags
      ${CXX:-c++} -std=c++20 "$source/examples/downstream/main.cpp" $flags -o "$tmp/downstream"
      "$tmp/downstream"
    done
    for package in $(find "$PKG_CONFIG_PATH" -name 'clipx*.pc' -printf '%f '); do
      pkg-config --cflags --libs "${package%.pc}" > /dev/null  # what it requires is there
    done ;;
esac
