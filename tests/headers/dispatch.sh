#!/bin/sh
# dispatch.sh HEADER-ONLY COMPILED: both programs print the same, whatever CLIPX_MAX_ISA says: the same instruction set in use and the
# same bits. Other users of Highway in the program keep their own.
set -u
failed=0
for isa in "" AVX512 AVX2 SSE4; do
  export CLIPX_MAX_ISA=$isa
  if ! one=$("$1") || ! two=$("$2"); then echo "FAILED: CLIPX_MAX_ISA=$isa: a program failed"; failed=1; continue; fi
  echo "CLIPX_MAX_ISA=$isa:"
  echo "$one"
  [ "$one" = "$two" ] || { echo "FAILED: but compiled:"; echo "$two"; failed=1; }
  [ "$isa" ] || ! grep -qw avx2 /proc/cpuinfo || echo "$one" | grep -q 'kernels for AVX' ||
    { echo "FAILED: not the kernels of this processor"; failed=1; }
  [ "$isa" != SSE4 ] || echo "$one" | grep -q -e 'kernels for S' -e 'compiled for AVX' || { echo "FAILED: CLIPX_MAX_ISA does not limit the kernels"; failed=1; }
  user=$(echo "$one" | grep Highway)
  [ "${other:=$user}" = "$user" ] || { echo "FAILED: CLIPX_MAX_ISA limits another user of Highway"; failed=1; }
done
exit $failed
