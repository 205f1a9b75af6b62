#!/bin/sh
# manifest.sh ARCHIVE VERSION [URI]: prints the manifest of Krew for this archive. The URI is where the archive can be
# downloaded; `krew install --archive` does not look at it.
set -eu
archive=$1 version=$2
uri=${3:-https://example.com/$(basename "$archive")}
here=$(dirname "$0")

# The plugin copies the binary for the node's architecture from beside itself.
for file in kubectl-jmap_dump jmap-dump-tool-x86_64-linux-musl jmap-dump-tool-aarch64-linux-musl LICENSE; do
    tar -tzf "$archive" | grep -qx "\(\./\)*$file" || {
        echo "$archive has no $file at its top" >&2
        exit 1
    }
done
sum=$({ sha256sum "$archive" || shasum -a 256 "$archive"; } 2>/dev/null | cut -d' ' -f1)
sed "/^#/d; s|@VERSION@|$version|; s|@URI@|$uri|; s|@SHA256@|$sum|" "$here/jmap-dump.yaml"
