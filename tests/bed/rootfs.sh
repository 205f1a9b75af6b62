#!/usr/bin/env bash
# rootfs.sh NAME...: an image root $BED/rootfs-NAME for each JVM: the JVM, the libraries that it needs, the test
# classes, and nothing else; no shell, no CA bundle. /tmp and /etc/passwd are laid over it by the tests.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bed=${JMAP_BED:-$(dirname "$(dirname "$here")")/target/bed}

glibc=(libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libz.so.1 libgcc_s.so.1 libstdc++.so.6)

library() {
    ldconfig -p | awk -v name="$1" '$1 == name && /x86-64/ { path = path ? path : $NF } END { print path }'
}

add_glibc() {
    local root=$1 name
    mkdir -p "$root/lib64" "$root/lib/x86_64-linux-gnu"
    cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
    for name in "${glibc[@]}"; do
        cp -L "$(library "$name")" "$root/lib/x86_64-linux-gnu/$name"
    done
}

# A JVM that came with libraries of its own is started by theirs, wherever the image lies.
add_own_libraries() {
    local root=$1 java=$1/opt/java/openjdk/bin/java
    mkdir -p "$root/lib64"
    ln -s ../opt/java/openjdk/lib/ld-linux-x86-64.so.2 "$root/lib64/"
    patchelf --set-interpreter /lib64/ld-linux-x86-64.so.2 --output "$java.new" "$java"
    mv "$java.new" "$java"
}

add_musl() {
    mkdir -p "$1/lib"
    cp -L /lib/ld-musl-x86_64.so.1 "$1/lib/"
}

build() {
    local name=$1 jvm=$bed/jvm-$1 root=$bed/rootfs-$1 stamp
    stamp=$(cat "$jvm/.stamp" "$bed/classes/.stamp")
    [ "$(cat "$root.stamp" 2>/dev/null)" = "$stamp" ] && return 0
    rm -rf "$root" "$root.stamp"
    mkdir -p "$root"/{proc,sys,dev,etc,opt/java}
    # Links where the file system has them: an image costs no space then.
    cp -al "$jvm" "$root/opt/java/openjdk" 2>/dev/null || cp -a "$jvm" "$root/opt/java/openjdk"
    cp -a "$bed/classes" "$root/classes"
    if [[ $name == *-musl ]]; then
        add_musl "$root"
    elif [ -e "$jvm/lib/ld-linux-x86-64.so.2" ]; then
        add_own_libraries "$root"
    else
        add_glibc "$root"
    fi
    chmod -R a+rX "$root"
    echo "$stamp" >"$root.stamp"
    echo "rootfs-$name"
}

for name in "$@"; do
    build "$name"
done
