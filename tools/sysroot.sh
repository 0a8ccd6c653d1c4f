#!/usr/bin/env bash
# A folder with Debian packages of another architecture, unpacked, and the database of dpkg that says so: what tools/image.py takes libraries of that architecture from.
#   sysroot.sh ARCH FOLDER PACKAGE...       what they depend on is got, too; from this machine's package sources, whose trust holds
set -euo pipefail
arch=$1 folder=$2
shift 2
[ $# -gt 0 ] || { echo "usage: sysroot.sh ARCH FOLDER PACKAGE..." >&2; exit 64; }
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
apt=$folder/.apt
mkdir -p "$apt"/{state/lists/partial,cache/archives/partial} "$folder"/var/lib/dpkg/info "$folder"/usr/{bin,sbin,lib}
for merged in bin sbin lib; do # as Debian has it
    [ -e "$folder/$merged" ] || ln -s "usr/$merged" "$folder/$merged"
done
: >"$apt/status"
options=(-qq -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
apt-get "${options[@]}" install --download-only --no-install-recommends -y "$@" >/dev/null
: >"$folder/var/lib/dpkg/status"
for package in "$apt"/cache/archives/*.deb; do
    name=$(dpkg-deb -f "$package" Package)
    dpkg-deb --fsys-tarfile "$package" | tar x -C "$folder" --keep-directory-symlink
    dpkg-deb -c "$package" | awk '{print $6}' | sed -E 's#^\.##; s#/$##' >"$folder/var/lib/dpkg/info/$name.list"
    { dpkg-deb -f "$package"; printf 'Status: install ok installed\n\n'; } >>"$folder/var/lib/dpkg/status"
done
echo "$folder: $(grep -c ^Package: "$folder/var/lib/dpkg/status") packages of $arch"
