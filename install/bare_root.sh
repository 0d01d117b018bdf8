#!/bin/sh
# Makes a bare Debian root in a folder and installs occlupose there by install.sh, as the Dockerfile does. As root,
# with debootstrap; needs 4 GB.
#
#     sh install/bare_root.sh FOLDER SOURCE      # a wheel or an sdist
#
# Where pip needs files of this machine, FILES names folders that are mounted at the same place.
set -eu
root=${1:?give a folder for the root}
source=${2:?give a wheel or an sdist}
here=$(dirname "$0")

[ -x "$root/usr/bin/apt-get" ] || debootstrap --variant=minbase bookworm "$root"
cp "$here/install.sh" "$source" "$root/srv/"
cp /etc/resolv.conf "$root/etc/resolv.conf"
mounted=""
leave() {
    for folder in $mounted; do umount "$folder"; done
}
trap leave EXIT
for folder in /proc /dev /dev/pts ${FILES-}; do
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
    mounted="$root$folder $mounted"
done
chroot "$root" sh /srv/install.sh "/srv/$(basename "$source")"
