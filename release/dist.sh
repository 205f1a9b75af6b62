#!/usr/bin/env bash
# make dist: what `make release` has put into dist/, as archives, bills of materials, an image, and their SHA-256 sums.
# The same commit gives the same bytes: no time but that of the commit, no owner, no order of a directory.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
read -r -a cargo <<<"${CARGO:-cargo}"
work=target/dist
arches=(x86_64 aarch64)

# pack FILE.tar DIRECTORY NAMES...
pack() {
    tar --create --file "$1" --directory "$2" --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" \
        --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' "${@:3}"
}

archive() {
    local name=jmap-dump-tool-$version-$1-linux-musl tree
    tree=$work/$name
    mkdir -p "$tree"/completions "$tree"/man/man1
    install "dist/jmap-dump-tool-$1-linux-musl" "$tree/jmap-dump-tool"
    install dist/kubectl-jmap_dump "$tree/"
    install -m 644 LICENSE "$tree/"
    install -m 644 dist/share/*.1 "$tree/man/man1/"
    install -m 644 dist/share/*jmap-dump-tool dist/share/*.bash dist/share/*.fish "$tree/completions/"
    pack "$work/$name.tar" "$work" "$name"
    gzip --no-name -9 <"$work/$name.tar" >"dist/$name.tar.gz"
}

# For kubectl's plugin manager: all in the archive's root. The plugin copies the binary for the node's architecture.
archive_plugin() {
    mkdir -p "$work/plugin"
    install dist/kubectl-jmap_dump dist/jmap-dump-tool-*-linux-musl "$work/plugin/"
    install -m 644 LICENSE "$work/plugin/"
    pack "$work/plugin.tar" "$work/plugin" LICENSE kubectl-jmap_dump \
        jmap-dump-tool-x86_64-linux-musl jmap-dump-tool-aarch64-linux-musl
    gzip --no-name -9 <"$work/plugin.tar" >"dist/kubectl-jmap_dump-$version.tar.gz"
    deploy/krew/manifest.sh "dist/kubectl-jmap_dump-$version.tar.gz" "$version" ${KREW_URI:+"$KREW_URI"} >dist/jmap-dump.yaml
}

# CycloneDX. The tool writes beside Cargo.toml. It names the directory of the build, and the package only if the directory
# has another name.
bill_of_materials() {
    local name=jmap-dump-tool-$version-$1-linux-musl.cdx
    "${cargo[@]}" cyclonedx --quiet --format json --spec-version 1.5 --features isal --no-build-deps \
        --target "$1-unknown-linux-musl" --override-filename "$name"
    sed -E -e "s|path\+file://$PWD#(jmap-dump-tool@)?|path+file:///source#jmap-dump-tool@|g" \
        -e "s|path\+file://$PWD/|path+file:///source/|g" "$name.json" >"dist/$name.json"
    rm "$name.json"
}

# Each platform by itself: together they end up in the index in any order.
image() {
    local arch layout=$PWD/$work/image
    local buildah=(buildah --root "$PWD/$work/store" --runroot "$PWD/$work/run" --storage-driver vfs)
    if ! command -v buildah >/dev/null; then
        echo "SKIP image: no buildah; apt-get install buildah" >&2
        return
    fi
    for arch in amd64 arm64; do
        "${buildah[@]}" build --quiet --isolation chroot --identity-label=false --timestamp "$SOURCE_DATE_EPOCH" \
            --label "org.opencontainers.image.version=$version" --label org.opencontainers.image.licenses=Apache-2.0 \
            --platform "linux/$arch" --build-arg "TARGETARCH=$arch" --manifest "jmap-dump-tool:$version" \
            --file deploy/Dockerfile .
    done
    "${buildah[@]}" manifest push --quiet --all "jmap-dump-tool:$version" "oci:$layout:$version"
    "${buildah[@]}" rmi --all --force >/dev/null
    # The layout in a tar is what tools call oci-archive.
    pack "dist/jmap-dump-tool-$version-image.tar" "$layout" blobs index.json oci-layout
}

rm -rf "$work"
mkdir -p "$work"
release/cargo_tool.sh cargo-cyclonedx 0.5.9
for arch in "${arches[@]}"; do
    archive "$arch"
    bill_of_materials "$arch"
done
archive_plugin
image
rm -rf "$work"
cd dist
LC_ALL=C
sums=$(sha256sum jmap-dump* kubectl-jmap_dump*)
tee SHA256SUMS <<<"$sums"
