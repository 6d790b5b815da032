#!/bin/sh
# THIRD_PARTY.md names every package that clipx is built on, and every library that a program is linked with.
#   notices.sh PROGRAM_OR_LIBRARY...
set -eu
document=$(dirname "$0")/../../THIRD_PARTY.md
packages=$(sed -n 's/^set(clipx_debian_[A-Za-z0-9_]* "\(.*\)")$/\1/p' "$(dirname "$0")/../../cmake/clipx_packages.cmake")
failed=0 count=0
for package in $packages; do
  count=$((count + 1))
  grep -qF "\`$package\`" "$document" || { echo "FAILED: no notice of the package $package"; failed=1; }
done
for file in "$@"; do
  for library in $(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(lib[^]]*\)\.so.*/\1/p'); do
    case $library in libc | libm | libclipx-*) continue ;; esac
    count=$((count + 1))
    grep -qF "\`$library\`" "$document" || { echo "FAILED: no notice of $library, which $file is linked with"; failed=1; }
  done
done
[ "$count" -gt 0 ] || { echo "FAILED: nothing was looked at"; failed=1; }
echo "$count packages and libraries looked at"
exit $failed
