#!/usr/bin/env bash
# What both release builds and their tests need besides Rust.
exec "$(dirname "$0")/packages.sh" gcc libc6-dev git gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static make nasm autoconf automake libtool
