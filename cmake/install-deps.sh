#!/bin/sh
# Installs what clipx is built with, and only what is missing: Debian 12, Debian 13, Ubuntu 24.04 by apt (sudo when not root).
# Elsewhere it names the headers and programs that are missing and exits with 1.
#   sh cmake/install-deps.sh [--ci]     --ci adds what .ci/run needs: clang with its tools, doxygen, valgrind
set -eu

packages="g++ cmake ninja-build pkg-config libeigen3-dev libdnnl-dev libhwy-dev libstb-dev libjpeg-dev libgif-dev
          libwebp-dev libtiff-dev libheif-dev libjxl-dev
          nlohmann-json3-dev libcli11-dev libutf8proc-dev libxxhash-dev zlib1g-dev libcld2-dev libboost-context-dev catch2"
ci=
[ "${1:-}" = --ci ] && ci=1
[ "$ci" ] && packages="$packages git clang clang-format clang-tidy libomp-dev doxygen valgrind"

apt_install() {  # packages: those of them that are not there
  missing=
  for p in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2> /dev/null || true)" = installed ] || missing="$missing $p"
  done
  [ "$missing" ] || return 0
  echo "dependencies: installing$missing"
  sudo=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null 2>&1 || {
      echo "install-deps: not root and no sudo; as root run: apt-get install --no-install-recommends$missing" >&2
      exit 1
    }
    sudo=sudo
  fi
  $sudo apt-get update -q > /dev/null || echo "install-deps: apt-get update failed, trying with the lists at hand" >&2
  # shellcheck disable=SC2086  # a list of names
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing > /dev/null
}

if command -v apt-get > /dev/null 2>&1; then
  # shellcheck disable=SC2086  # a list of names
  apt_install $packages
  # The sanitizers and libFuzzer of the clang that is there come apart.
  [ "$ci" ] && apt_install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
  echo "dependencies: all installed"
  exit 0
fi

# No apt: say what is not there. The names are those of Debian's packages.
missing=
has_program() { command -v "$1" >/dev/null 2>&1 || missing="$missing
  $1 (program)"; }
has_header() {
  echo "#include <$1>" | ${CXX:-c++} -std=c++20 -fsyntax-only -x c++ $3 - 2>/dev/null || missing="$missing
  <$1> ($2)"
}
has_program "${CXX:-c++}"
has_program cmake
has_program ninja
for dir in /usr/include/eigen3 /usr/local/include/eigen3; do [ -d "$dir" ] && eigen="-isystem $dir"; done
has_header Eigen/Core "Eigen 3.4" "${eigen:-}"
has_header oneapi/dnnl/dnnl.hpp "oneDNN 2.6 to 3.x" ""
has_header hwy/highway.h "Highway 1.0.3 or later" ""
has_header stb/stb_image.h "stb_image" ""
has_header nlohmann/json.hpp "nlohmann-json 3" ""
has_header CLI/CLI.hpp "CLI11" ""
has_header utf8proc.h "utf8proc" ""
has_header jpeglib.h "libjpeg-turbo, optional: JPEG is then read by stb_image" "-include cstdio"
has_header xxhash.h "xxHash 0.8 or later" ""
has_header zlib.h "zlib" ""
has_header gif_lib.h "giflib 5.1 or later, optional: without it GIF files are refused" ""
has_header webp/demux.h "libwebp, optional: without it WebP files are refused" ""
has_header tiffio.h "libtiff 4.5 or later, optional: without it TIFF files are refused" ""
has_header libheif/heif.h "libheif, optional: without it HEIC and AVIF files are refused" ""
has_header jxl/decode.h "libjxl, optional: without it JPEG XL files are refused" ""
has_header cld2/public/compact_lang_det.h "cld2, optional: without it the languages of captions are not identified" ""
if ! echo '#include <catch2/catch_all.hpp>' | ${CXX:-c++} -std=c++20 -fsyntax-only -x c++ - 2>/dev/null; then
  has_header catch2/catch.hpp "Catch2 2.13 or 3, for the tests" ""
fi
has_header boost/context/detail/fcontext.hpp "Boost.Context, for the tests of the CUDA backend" ""
if [ -n "$missing" ]; then
  echo "install-deps: no apt on this system; please install:$missing" >&2
  exit 1
fi
echo "dependencies: all found"
