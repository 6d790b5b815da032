#!/bin/sh
# A compiler launcher that takes an object from another build folder where that one compiles it by the same command, and else compiles.
#   reuse.sh BUILD_DIR compiler arguments...
# So that shared libraries, and a build with fewer packages, are tested without compiling everything again.
set -eu
other=$1
shift
here=$(pwd)
object='' next=''
for argument in "$@"; do
  [ -z "$next" ] || object=$argument
  next=
  [ "$argument" != -o ] || next=1
done
# The commands as words, without launchers and with both build folders called the same.
words() { tr ' ' '\n' | sed "s|$here|BUILD|g; s|$other|BUILD|g" | sed -n '/c++\|g++\|clang++/,$p' | sed 1d; }
if [ -f "$other/$object" ] && [ "${object##*.}" = o ]; then
  theirs=$(ninja -C "$other" -t commands "$object" | tail -1 | words)
  ours=$(echo "$*" | words)
  if [ "$theirs" = "$ours" ]; then
    cp "$other/$object" "$object"
    : > "$object.d"
    echo "$object" >> "$here/reused.txt"
    exit 0
  fi
fi
exec "$@"
