#!/bin/sh
# Checks every C++ file against .clang-format, or formats them with --fix. clang-format 14 decides: other versions differ in detail.
set -eu
cd "$(dirname "$0")/.."
tool=$(command -v clang-format-14 || command -v clang-format || true)
case "$($tool --version 2> /dev/null)" in
  *"version 14."*) ;;
  *) echo "format: skipped, clang-format 14 is not here"; exit 77 ;;
esac
files() { git ls-files -z '*.hpp' '*.h' '*.cpp' '*.cuh' '*.cu' ':!:*_table.hpp'; }
if [ "${1:-}" = --fix ]; then
  files | xargs -0 "$tool" -i
else
  wrong=$(files | xargs -0 -n 20 -P 2 "$tool" --dry-run 2>&1 | sed -n 's/^\([^ :]*\):[0-9]*:.*clang-format-violations.*/\1/p' | sort -u)
  if [ -n "$wrong" ]; then
    printf 'format: not as .clang-format wants them (sh cmake/format.sh --fix):\n%s\n' "$wrong"
    exit 1
  fi
  echo "format: $(files | tr '\0' '\n' | wc -l) files as .clang-format wants them"
fi
