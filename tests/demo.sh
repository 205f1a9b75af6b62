#!/usr/bin/env bash
# demo.sh BINARY: starts a small JVM, dumps it into a local directory, shows the receipt and what is there.
set -euo pipefail

binary=$(readlink -f "$1")
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
store=$(mktemp -d -t jmap-dump-demo-XXXXXX)
jvm=

finish() {
    [ -z "$jvm" ] || kill "$jvm" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

command -v javac >/dev/null || "$tests/bed/packages.sh" default-jdk-headless
javac --release 8 -Xlint:-options -nowarn -d "$work" "$tests"/java/*.java

mkfifo "$work/stdin"
java -cp "$work" Heap mb=200 markers=1000 <"$work/stdin" >"$work/log" &
jvm=$!
exec 9>"$work/stdin"
until grep -q READY "$work/log"; do
    kill -0 "$jvm" || { cat "$work/log"; exit 1; }
    sleep 0.1
done

echo "\$ jmap-dump-tool --store $store --pid $jvm shop cart prod"
"$binary" --store "$store" --pid "$jvm" shop cart prod
echo
echo "\$ find $store -type f"
find "$store" -type f -printf '%s bytes  %p\n'
echo
echo "\$ jmap-dump-tool verify …"
"$binary" verify "$(find "$store" -name '*.hprof.gz')"
