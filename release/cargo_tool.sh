#!/usr/bin/env bash
# cargo_tool.sh NAME VERSION: a tool of cargo, by cargo itself, which does nothing where it has this version already.
# Built without optimization: it runs for seconds.
set -euo pipefail
read -r -a cargo <<<"${CARGO:-cargo}"
CARGO_PROFILE_DEV_DEBUG=0 "${cargo[@]}" install --quiet --locked --debug "$1@$2"
