#!/usr/bin/env bash
# run.sh SECONDS: fuzzes each target for so many seconds, beginning with corpus/TARGET, which it does not change.
# What it finds on the way goes to ${FUZZ_WORK:-a temporary directory}. Fails when a target crashes.
# The best of that gets into the corpus by: TARGET -merge=1 corpus/TARGET $FUZZ_WORK/TARGET
set -euo pipefail

seconds=${1:?usage: run.sh SECONDS-PER-TARGET}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tests=$(dirname "$here")
host=x86_64-unknown-linux-gnu
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$(dirname "$tests")/target/fuzz}
work=${FUZZ_WORK:-$(mktemp -d -t jmap-fuzz-XXXXXX)}
targets=(hsperfdata proc attach_reply hprof_walker)

# What cargo-fuzz passes. The sanitizer is a flag of nightly only, though each toolchain brings its run time.
flags=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    -Zsanitizer=address
    --cfg fuzzing
)

build() {
    command -v g++ >/dev/null || "$tests/bed/packages.sh" g++ libc6-dev
    [ -d "$(rustc --print target-libdir --target $host)" ] || rustup target add $host
    # With --target, build scripts and macros are built without these flags.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" cargo build --locked --release --target $host \
        --manifest-path "$here/Cargo.toml"
}

# The time limit of one input is wall time: a busy or a paused machine must not look like an endless loop.
fuzz() {
    local target=$1 log=$work/$1.log
    mkdir -p "$work/$target" "$work/crashes"
    "$CARGO_TARGET_DIR/$host/release/$target" -max_total_time="$seconds" -timeout=60 -report_slow_units=60 \
        -rss_limit_mb=2048 -detect_leaks=0 -print_final_stats=1 -artifact_prefix="$work/crashes/$target-" \
        "$work/$target" "$here/corpus/$target" >"$log" 2>&1
}

figures() {
    awk '/ cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") coverage = $(i + 1) }
        /number_of_executed_units/ { runs = $2 }
        END { printf "%s executions, coverage %s", runs + 0, coverage + 0 }' "$1"
}

crash() {
    echo "$1: $(figures "$work/$1.log"), CRASH"
    grep -m 5 -E 'panicked at|^ *(left|right):|ERROR:|SUMMARY:' "$work/$1.log" | sed 's/^/    /' || true
    for input in "$work/crashes/$1"-*; do
        echo "    again by: $CARGO_TARGET_DIR/$host/release/$1 $input"
    done
    echo "    log: $work/$1.log"
}

build
failed=0
for target in "${targets[@]}"; do
    if fuzz "$target"; then
        echo "$target: $(figures "$work/$target.log"), no crash"
    else
        crash "$target"
        failed=1
    fi
done
[ "$failed" = 1 ] || [ -n "${FUZZ_WORK:-}" ] || rm -rf "$work"
exit "$failed"
