#!/usr/bin/env bash
# make release: the binaries for x86_64 and aarch64, completions, man pages and the plugin into dist/.
# Nothing in a binary depends on the directory of the build: two builds of one commit by one rustc and one gcc are the
# same bytes. Panics name source files, so the directories of the crates and of the compiler's library are mapped away.
set -euo pipefail
cd "$(dirname "$0")/.."

read -r -a cargo <<<"${CARGO:-cargo}"
targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)

# One --config for each target: these flags come beside those of .cargo/config.toml; RUSTFLAGS would replace them.
settings() {
    local sources=${CARGO_HOME:-$HOME/.cargo}/registry/src library flags='' dir target
    library=$(rustc --print sysroot)/lib/rustlib/src/rust
    for dir in "$sources"/*; do
        flags+="\"--remap-path-prefix=$dir=/crates\", "
    done
    flags+="\"--remap-path-prefix=$library=/rust\", \"--remap-path-prefix=$PWD=/source\""
    for target in "${targets[@]}"; do
        printf '%s\n' --config "target.$target.rustflags = [$flags]"
    done
}

# Where our own build.rs has put completions and man pages, the same for both targets. All other packages come from a
# registry.
out_dir() {
    sed -n 's/.*"reason":"build-script-executed","package_id":"path+file:.*"out_dir":"\([^"]*\)".*/\1/p' | tail -n 1
}

JMAP_DUMP_REVISION=$(git describe --always --exclude='*' --abbrev=12 --dirty=+ 2>/dev/null) || JMAP_DUMP_REVISION='no revision'
export JMAP_DUMP_REVISION
rm -rf dist
mkdir -p dist/share
# It unpacks the crates, whose directories `settings` lists.
"${cargo[@]}" fetch --locked
mapfile -t settings < <(settings)
# Both targets at once: each is linked on one processor.
out=$("${cargo[@]}" build --release --locked --features isal "${settings[@]}" "${targets[@]/#/--target=}" \
    --message-format=json-render-diagnostics | out_dir)
for target in "${targets[@]}"; do
    install "target/$target/release/jmap-dump-tool" "dist/jmap-dump-tool-${target%-unknown-linux-musl}-linux-musl"
done
install deploy/kubectl-jmap_dump dist/
install -m 644 "$out"/jmap-dump-tool.bash "$out"/_jmap-dump-tool "$out"/jmap-dump-tool.fish "$out"/*.1 dist/share/
