#!/usr/bin/env bash
# What the benchmark runs beside the tool, from Debian. Idempotent; what cannot be installed is said and skipped.
set -uo pipefail

packages=$(cd "$(dirname "${BASH_SOURCE[0]}")/../bed" && pwd)/packages.sh

for package in jattach isal gzip pigz curl; do
    "$packages" "$package" || echo "SKIP package $package: apt-get install failed" >&2
done
