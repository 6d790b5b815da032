#!/bin/sh
# The table of options in docs/packaging.md lists exactly the options that CMake has, with their defaults.
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
cat CMakeLists.txt cmake/*.cmake | sed -nE 's/^ *option\(([A-Z_]+) "[^"]*" (.*)\)$/\1 \2/p; s/^ *set\(([A-Z_]+) "?([^"]*[^" ])"? CACHE .*/\1 \2/p' |
  sed "s/\${top}/ON; OFF in a superproject/" | sort > "$tmp/code"
sed -nE 's/^\| `([A-Z_]+)` \| `([^|]*)` \| .*[a-z].* \|$/\1 \2/p' docs/packaging.md | tr -d '`' | sort > "$tmp/table"
[ -s "$tmp/code" ] && diff "$tmp/code" "$tmp/table" || { echo "FAILED: < is what CMake has, > what docs/packaging.md lists"; exit 1; }
echo "$(wc -l < "$tmp/code") options, each in the table"
