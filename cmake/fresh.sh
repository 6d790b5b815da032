#!/bin/sh
# The README's two commands on a fresh Debian: debootstrap installs SUITE (bookworm, trixie) into a folder, and both run there in a clean
# clone of HEAD, as root or as a user with sudo. The packages come from the mirror that this machine's apt uses.
#   sh cmake/fresh.sh SUITE [user] [demo]     user: not as root, demo: only cmake/demo.sh; exit code 77: not root, or no debootstrap
set -eu
cd "$(dirname "$0")/.."
suite=${1:?usage: sh cmake/fresh.sh SUITE [user] [demo]} user=root commands="cmake/demo.sh cmake/test.sh"
shift
for word in "$@"; do
  case $word in
    user) user=somebody ;;
    demo) commands=cmake/demo.sh ;;
    *) echo "fresh: expected 'user' or 'demo', got '$word'" >&2; exit 2 ;;
  esac
done
if [ "$(id -u)" -ne 0 ] || ! command -v debootstrap > /dev/null; then
  echo "fresh: skipped, needs root and debootstrap"
  exit 77
fi
# In a mount namespace of its own: whatever ends this script, no mount outlives it.
if [ -z "${CLIPX_FRESH:-}" ]; then
  set -- "$suite"
  [ "$user" = root ] || set -- "$@" user
  [ "$commands" != cmake/demo.sh ] || set -- "$@" demo
  CLIPX_FRESH=1 exec unshare --mount --pid --fork --kill-child --propagation private sh cmake/fresh.sh "$@"
fi

# The mirror of Debian itself, not of its security updates.
# shellcheck disable=SC2016  # a format of apt
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' | grep -v security | head -1)
[ "$mirror" ] || { echo "fresh: apt has no source with the component main" >&2; exit 1; }
root=$(mktemp -d)
chmod 755 "$root"
trap 'umount "$root/dev/pts" "$root/proc" 2> /dev/null || true; rm -rf --one-file-system "$root"' EXIT
trap 'exit 1' INT TERM
echo "fresh: $suite, as $user"
debootstrap --variant=minbase --include=sudo "$suite" "$root" "$mirror" > "$root.log" 2>&1 || { tail -20 "$root.log"; exit 1; }
rm "$root.log"
mount -t proc proc "$root/proc"
mount -t devpts devpts "$root/dev/pts"
cp /etc/resolv.conf "$root/etc/"
echo "127.0.0.1 localhost $(uname -n)" > "$root/etc/hosts"  # sudo asks for the own name
# A fresh machine has neither the variables of this one (ccache's, say) nor its locale.
inside() { env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 chroot "$root" "$@" < /dev/null; }
home=/root
if [ "$user" != root ]; then
  home=/home/$user
  inside useradd -m -s /bin/sh "$user"
  echo "$user ALL=(ALL) NOPASSWD: ALL" > "$root/etc/sudoers.d/$user"
fi
git clone -q --no-hardlinks . "$root$home/clipx"
inside chown -R "$user:" "$home/clipx"
for command in $commands; do
  echo "fresh: sh $command"
  start=$(date +%s)
  inside su - "$user" -c "cd clipx && sh $command" || { echo "fresh: sh $command FAILED on $suite as $user"; exit 1; }
  echo "fresh: sh $command passed on $suite as $user, $(($(date +%s) - start)) s"
done
