#!/bin/sh
# Programs that must not compile, and must say why in words: tests/reject/*.cpp. The first line of each is
#   // says: REGEX
# Each also compiles once with -DCLIPX_ACCEPT, which turns the wrong line into the right one: refusal is for that line alone.
set -u
cd "$(dirname "$0")/../.." || exit 1
log=$(mktemp) && trap 'rm -f "$log"' EXIT
flags="-std=c++20 -fsyntax-only -Wall -Wextra -DCLIPX_COMPILED -Iinclude -Ibackends/eigen -Ibackends/cpu ${CLIPX_FLAGS--isystem /usr/include/eigen3}"
failed=0 refused=0
for f in tests/reject/*.cpp; do
  [ -e "$f" ] || continue
  says=$(sed -n '1s|^// says: ||p' "$f")
  if [ -z "$says" ]; then echo "FAILED $f: no '// says: REGEX' in its first line"; failed=1; continue; fi
  if ! ${CXX:-c++} $flags -DCLIPX_ACCEPT "$f" 2> "$log"; then
    echo "FAILED $f: the right pairing does not compile either"; head -20 "$log"; failed=1; continue
  fi
  if ${CXX:-c++} $flags "$f" 2> "$log"; then
    echo "FAILED $f: it compiles"; failed=1; continue
  fi
  if ! head -40 "$log" | grep -qE -- "$says"; then
    echo "FAILED $f: refused, but the first lines do not say '$says':"; head -20 "$log"; failed=1; continue
  fi
  refused=$((refused + 1))
done
echo "$refused programs refused with a readable message"
exit $failed
