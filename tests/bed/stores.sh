#!/usr/bin/env bash
# Gets the servers that the store tests talk to into ${JMAP_BED:-target/bed}: Azurite (Azure Blob) by npm, WsgiDAV
# (WebDAV) by pip. Idempotent; what fails is said and skipped, and with CI=true it fails at the end.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bed=${JMAP_BED:-$(dirname "$(dirname "$here")")/target/bed}

azurite=azurite@3.35.0
webdav=(wsgidav==4.3.3 cheroot==10.0.1)
missing=()

skip() {
    echo "SKIP $*" >&2
}

# without NAME LOG: the last lines say why.
without() {
    skip "$1: $(tail -n 3 "$2" | tr '\n' ' ')"
    missing+=("$1")
}

install_packages() {
    local wanted=(curl openssl python3-pip)
    command -v node >/dev/null || wanted+=(nodejs)
    command -v npm >/dev/null || wanted+=(npm)
    "$here/packages.sh" "${wanted[@]}" || skip "packages ${wanted[*]}: apt-get install failed"
}

install_azurite() {
    local target=$bed/azurite
    [ "$(cat "$target/.stamp" 2>/dev/null)" = "$azurite" ] && return 0
    rm -rf "$target"
    mkdir -p "$target"
    if npm install --prefix "$target" --silent --no-audit --no-fund --no-save "$azurite" >"$bed/npm.log" 2>&1 &&
        node "$target/node_modules/azurite/dist/src/blob/main.js" --version >>"$bed/npm.log" 2>&1; then
        echo "$azurite" >"$target/.stamp"
        echo "azurite: $azurite"
    else
        without azurite "$bed/npm.log"
    fi
}

python_with_pip() {
    local python
    for python in python3 /usr/bin/python3; do
        "$python" -m pip --version >/dev/null 2>&1 || continue
        "$python" -c 'import sys; print(sys.executable)'
        return
    done
    return 1
}

# The tests run it with the Python that it was installed for: some of its packages are compiled.
install_webdav() {
    local target=$bed/webdav python
    [ "$(cat "$target/.stamp" 2>/dev/null)" = "${webdav[*]}" ] && [ -x "$(cat "$target/.python")" ] && return 0
    rm -rf "$target"
    python=$(python_with_pip) || { skip "webdav: no python3 with pip" && missing+=(webdav) && return; }
    if "$python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action ignore \
        --target "$target" "${webdav[@]}" >"$bed/pip.log" 2>&1 &&
        PYTHONPATH=$target "$python" -m wsgidav.server.server_cli --version >>"$bed/pip.log" 2>&1; then
        echo "$python" >"$target/.python"
        echo "${webdav[*]}" >"$target/.stamp"
        echo "webdav: ${webdav[*]}"
    else
        without webdav "$bed/pip.log"
    fi
}

mkdir -p "$bed"
install_packages
install_azurite
install_webdav

if [ "${CI:-}" = true ] && [ ${#missing[@]} -gt 0 ]; then
    exit 1
fi
exit 0
