#!/usr/bin/env bash
# packages.sh PACKAGE...: installs what of these Debian packages is missing; elsewhere says what to install by hand.
set -uo pipefail

wanted=()
for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || wanted+=("$package")
done
[ ${#wanted[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "this is no Debian; install by hand what corresponds to: ${wanted[*]}" >&2
    exit 0
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing ${wanted[*]}"
install=($sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}")
# An old list is good enough if it leads to the packages.
"${install[@]}" >/dev/null 2>&1 || { $sudo apt-get update -qq && "${install[@]}" >/dev/null; }
