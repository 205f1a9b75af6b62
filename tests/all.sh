#!/usr/bin/env bash
# make test: everything that a change must pass, in less than half an hour on two processors. The suite waits for JVMs
# for a third of its time; lints and release builds, ten minutes of computing, take what it leaves, at idle priority.
# Each step is a target of the Makefile.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

logs=target/all
idle=(ionice -c 3 chrt --idle 0)
failed=()
declare -A pids

# run TARGET: in the foreground.
run() {
    local begun=$SECONDS
    if make --no-print-directory "$1"; then
        echo "make test: $1: $((SECONDS - begun)) s"
    else
        failed+=("$1")
        return 1
    fi
}

# beside NAME COMMAND...: in the background, with its output in a file, until `join NAME`.
beside() {
    local name=$1
    shift
    "$@" >"$logs/$name" 2>&1 &
    pids[$name]=$!
}

# join NAME: waits, and shows the output of what failed.
join() {
    local name=$1 begun=$SECONDS
    if wait "${pids[$name]}"; then
        echo "make test: $name: done, waited for $((SECONDS - begun)) s, output in $logs/$name"
    else
        failed+=("$name")
        echo "---- make test: $name failed:"
        cat "$logs/$name"
        echo "---- end of $name"
    fi
    unset "pids[$name]"
}

finish() {
    if [ ${#failed[@]} -gt 0 ]; then
        echo "make test: FAILED after $SECONDS s: ${failed[*]}" >&2
        exit 1
    fi
    echo "make test: all passed in $SECONDS s"
    exit 0
}

# A shell's background commands do not get the terminal's SIGINT; make passes SIGTERM on.
trap 'kill "${pids[@]}" 2>/dev/null; exit 130' INT TERM

mkdir -p "$logs"
run format || finish
# Before all others: two apt-get at once lock each other out.
run tools || finish
# The release build has a build directory of its own. The lints then wait for that of the tests, which is free while
# tests run. A target that fails does not stop the others.
beside builds "${idle[@]}" make --no-print-directory --keep-going dist lint isal-build
beside bed make --no-print-directory jvms
run test-build
join bed
# It names the tests that will be skipped.
grep '^SKIP' "$logs/bed"
[ ${#failed[@]} -gt 0 ] || run test-most
join builds
[[ " ${failed[*]} " == *" builds "* || " ${failed[*]} " == *" test-build "* ]] || run test-release
finish
