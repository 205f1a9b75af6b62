#!/usr/bin/env bash
# What the build for this machine needs besides Rust: a C compiler, for ring.
exec "$(dirname "$0")/packages.sh" gcc libc6-dev git
