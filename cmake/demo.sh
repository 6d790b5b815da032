#!/bin/sh
# One command for a fresh machine: installs what is missing, builds release, and asks the default model what is in the images
# of examples/images.
#   sh cmake/demo.sh [cmake options]
set -eu
cd "$(dirname "$0")/.."
sh cmake/install-deps.sh
mkdir -p build
echo "building build/release/clipx"
cmake --preset release "$@" > build/demo.log 2>&1 || {
  tail -60 build/demo.log
  echo "demo: the build cannot be configured; all of its output is in build/demo.log" >&2
  exit 1
}
sh cmake/progress.sh build/demo.log cmake --build --preset release --target clipx-program
labels="an apple,a clock,a heart,a house,a mushroom,the sun,an umbrella"
printf '\n$ build/release/clipx classify examples/images/*.png --labels "%s"\n' "$labels"
build/release/clipx classify examples/images/*.png --labels "$labels"
