#!/usr/bin/env bash
# sid.sh VERSION...: the newest JDKs, from Debian's unstable suite, into ${JMAP_BED:-target/bed}/jvm-VERSION. They come with
# the libraries that they were built for, and the machine's own packages and sources stay as they are. One that is there
# stays: the suite moves daily. What cannot be had is said, and the tests that want it say that they are skipped.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bed=${JMAP_BED:-$(dirname "$(dirname "$here")")/target/bed}
work=$bed/.work-sid
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
libraries=(libc6 zlib1g libgcc-s1 libstdc++6)
names=(ld-linux-x86-64.so.2 libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libz.so.1 libgcc_s.so.1 libstdc++.so.6)

# Where this machine gets its own packages.
mirror() {
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\?\(http[^ ]*\).*/\2/p' /etc/apt/sources.list \
        /etc/apt/sources.list.d/debian.sources 2>/dev/null | grep -v security | head -n 1
}

sid() {
    local command=$1
    shift
    (cd "$work" && "$command" -qq -o Dir::State="$work/state" -o Dir::Cache="$work/cache" -o Acquire::Languages=none \
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root \
        -o Acquire::Retries=1 -o Acquire::http::Timeout=20 "$@")
}

prepare() {
    rm -rf "$work"
    mkdir -p "$work"/{state/lists/partial,cache/archives/partial,libraries}
    if ! command -v apt-get >/dev/null || ! command -v patchelf >/dev/null; then
        echo "no apt-get or patchelf"
        return 1
    fi
    echo "deb [signed-by=$keyring] $(mirror) sid main" >"$work/sources.list"
    sid apt-get update && sid apt-get download "${libraries[@]}" || return
    local package
    for package in "$work"/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar x -C "$work/libraries" || return
        rm "$package"
    done
}

# The package's settings lie in /etc, and it links to them.
settle_links() {
    local tree=$1 root=$2 link target
    find "$tree" -type l -print0 | while IFS= read -r -d '' link; do
        target=$(readlink "$link")
        rm "$link"
        [[ $target != /etc/java-* ]] || cp -a "$root$target" "$link"
    done
}

fetch() {
    local version=$1 root=$work/$1 tree name
    rm -rf "$root"
    mkdir -p "$root"
    sid apt-get download "openjdk-$version-jre-headless" || return
    dpkg-deb --fsys-tarfile "$work"/openjdk-"$version"-*.deb | tar x -C "$root" || return
    rm "$work"/openjdk-"$version"-*.deb
    tree=$root/usr/lib/jvm/java-$version-openjdk-amd64
    rm -rf "$tree"/{docs,man,legal}
    settle_links "$tree" "$root"
    for name in "${names[@]}"; do
        cp -L "$(find "$work/libraries" -name "$name" | head -n 1)" "$tree/lib/$name" || return
    done
    chmod -R a+rX "$tree"
    patchelf --set-interpreter "$bed/jvm-$version/lib/ld-linux-x86-64.so.2" "$tree/bin/java" || return
    rm -rf "$bed/jvm-$version"
    mv "$tree" "$bed/jvm-$version"
    "$bed/jvm-$version/bin/java" -version || { rm -rf "$bed/jvm-$version"; return 1; }
}

wanted=()
for version in "$@"; do
    [ -e "$bed/jvm-$version/.stamp" ] || wanted+=("$version")
done
[ ${#wanted[@]} -gt 0 ] || exit 0
if reason=$(prepare 2>&1); then
    for version in "${wanted[@]}"; do
        if reason=$(fetch "$version" 2>&1); then
            sed -n 's/^OpenJDK Runtime Environment (build \(.*\))$/sid \1/p' <<<"$reason" >"$bed/jvm-$version/.stamp"
            echo "jvm-$version: $(cat "$bed/jvm-$version/.stamp")"
        else
            echo "SKIP jvm-$version: $(tail -n 3 <<<"$reason" | tr '\n' ' ')" >&2
        fi
    done
else
    echo "SKIP jvm-${wanted[*]}: Debian's unstable suite: $(tail -n 3 <<<"$reason" | tr '\n' ' ')" >&2
fi
rm -rf "$work"
