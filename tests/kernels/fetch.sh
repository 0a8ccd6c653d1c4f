#!/usr/bin/env bash
# Debian's kernels, unpacked: fetch.sh FOLDER NAME SUITE [ARCHIVE]. The package that linux-image-amd64 of the suite stands for, from this machine's Debian mirror; ARCHIVE
# debian-security: from there. Leaves FOLDER/NAME/vmlinuz, FOLDER/NAME/lib/modules/* and FOLDER/NAME/version. The machine's own packages and their sources stay as they are.
set -euo pipefail
folder=$1 name=$2 suite=$3 archive=${4:-debian}
[ ! -s "$folder/$name/version" ] || exit 0
rm -rf "${folder:?}/$name"
mkdir -p "$folder/$name"
folder=$(cd "$folder" && pwd)
mirror=$(grep -rhoE "https?://[^ ]+/$archive/?( |\$)" /etc/apt/sources.list /etc/apt/sources.list.d/ 2>/dev/null | head -1 | tr -d ' ' || true)
[ -n "$mirror" ] || { echo "error: no mirror of $archive in /etc/apt/sources.list or sources.list.d" >&2; exit 1; }
apt=$folder/$name/.apt
mkdir -p "$apt"/{state/lists/partial,cache/archives/partial}
: >"$apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
options=(-qq -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
package=$(apt-cache "${options[@]}" depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -1)
[ -n "$package" ] || { echo "error: $suite has no linux-image-amd64" >&2; exit 1; }
(cd "$apt" && apt-get "${options[@]}" download "$package")
# Newer ones are of several packages, and under usr/lib.
for needed in $(apt-cache "${options[@]}" depends "$package" | sed -n 's/^ *Depends: \(linux-\(modules\|binary\|image\)-.*\)/\1/p'); do
    (cd "$apt" && apt-get "${options[@]}" download "$needed")
done
for deb in "$apt"/*.deb; do
    dpkg-deb -x "$deb" "$folder/$name"
done
[ ! -d "$folder/$name/usr/lib/modules" ] || [ -e "$folder/$name/lib" ] || ln -s usr/lib "$folder/$name/lib"
version=$(ls "$folder/$name/lib/modules")
mv "$folder/$name/boot/vmlinuz-$version" "$folder/$name/vmlinuz" 2>/dev/null || mv "$folder/$name/lib/modules/$version/vmlinuz" "$folder/$name/vmlinuz"
depmod -b "$folder/$name" "$version"
rm -rf "$apt" "${folder:?}/$name/usr/share" "${folder:?}/$name/boot"
echo "$version" >"$folder/$name/version"
echo "$name: $package ($version)"
