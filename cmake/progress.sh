#!/bin/sh
# Runs a build by ninja: all that it prints goes to LOG; what is shown is how far it is, on a terminal in one line, elsewhere at each
# quarter. If it fails: the end of the log. The exit code is the build's.
#   sh cmake/progress.sh LOG command...
set -u
log=$1
shift
shown=0
{ "$@" 2>&1; echo "exit code $?"; } | tee "$log" | while read -r line; do
  case $line in
    \[*/*\]*)
      done=${line%%/*} total=${line#*/}
      done=${done#\[} total=${total%%\]*}
      case $done$total in *[!0-9]*) continue ;; esac
      if [ -t 1 ]; then
        printf '\r  %d of %d' "$done" "$total"
      elif [ $((4 * done / total)) -gt "$shown" ]; then
        shown=$((4 * done / total))
        printf '  %d of %d\n' "$done" "$total"
      fi ;;
  esac
done
[ ! -t 1 ] || printf '\r\033[K'
code=$(sed -n '$s/^exit code //p' "$log")
[ "$code" = 0 ] || { tail -60 "$log"; echo "the build failed; all of its output is in $log" >&2; }
exit "${code:-1}"
