#!/bin/sh
# A compiler launcher that takes an object from another build folder where that one compiles the same text with the same options, and
# else compiles.
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
if ! [ -f "$other/$object" ] || [ "${object##*.}" != o ]; then exec "$@"; fi
# Their command, from the compiler on: not its launchers.
theirs=$(ninja -C "$other" -t commands "$object" | tail -1 |
  awk '{ for (i = 1; i <= NF; i++) if ($i ~ /(^|\/)(c|g|clang)\+\+(-[0-9]+)?$/) from = from ? from : i
         for (i = from; i <= NF; i++) printf "%s ", $i }')
# Both commands as words, with both build folders called the same.
words() { tr ' ' '\n' | sed "s|$here|BUILD|g; s|$other|BUILD|g" | sed 1d; }
# What is left of them without definitions and folders of headers, which decide what the compiler reads.
options() { sed '/^-[DI]/d; /^-isystem$/{N;d;}'; }
take() {
  cp "$other/$object" "$object"
  : > "$object.d"
  echo "$object" >> "$here/reused.txt"
  exit 0
}
echo "$theirs" | words > "$object.theirs"
echo "$*" | words > "$object.ours"
if cmp -s "$object.theirs" "$object.ours"; then take; fi
if [ "$(options < "$object.theirs")" != "$(options < "$object.ours")" ]; then exec "$@"; fi
# The same options: is it the same text?
for argument in "$@"; do
  shift
  case $argument in
    -c) set -- "$@" -E -P ;;
    -o) set -- "$@" -o ;;
    "$object") set -- "$@" "$object.ours" ;;
    *) set -- "$@" "$argument" ;;
  esac
done
"$@"
(cd "$other" && eval "$(echo "$theirs" | sed "s| -c | -E -P |; s| -MF [^ ]*| -MF /dev/null|; s| -o [^ ]*| -o '$here/$object.theirs'|")")
if cmp -s "$object.theirs" "$object.ours"; then take; fi
for argument in "$@"; do
  shift
  case $argument in
    -E) set -- "$@" -c ;;
    -P) ;;
    "$object.ours") set -- "$@" "$object" ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec "$@"
