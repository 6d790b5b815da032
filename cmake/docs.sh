#!/bin/sh
# Builds the API reference, build/release/docs/html/index.html, and fails where Doxygen warns: a public name without a docstring, a link
# to a document that is not there (77: no Doxygen here).
set -eu
cd "$(dirname "$0")/.."
command -v doxygen > /dev/null || { echo "docs: skipped, doxygen is not here"; exit 77; }
tree=build/release warnings=build/release/docs/warnings.txt
mkdir -p build
{ grep -qs '^CLIPX_DOXYGEN:FILEPATH=/' $tree/CMakeCache.txt || cmake --preset release -U CLIPX_DOXYGEN; } > build/docs.log 2>&1 &&
  rm -f $warnings && cmake --build $tree --target docs >> build/docs.log 2>&1 || { tail -20 build/docs.log; exit 1; }
[ -s $tree/docs/html/index.html ] || { echo "docs: no $tree/docs/html/index.html"; exit 1; }
if [ -s $warnings ]; then
  sed "s|^$PWD/||" $warnings
  echo "docs: $(wc -l < $warnings) warnings"
  exit 1
fi
echo "docs: $tree/docs/html/index.html, no warnings"
