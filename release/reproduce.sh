#!/usr/bin/env bash
# make reproduce: builds HEAD once more, in another directory, and compares the sums of all files with those in dist/.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=target/reproduce/source
rm -rf target/reproduce
git clone --quiet --no-hardlinks . "$copy"
make -C "$copy" dist
diff dist/SHA256SUMS "$copy/dist/SHA256SUMS"
echo "reproduced: $(wc -l <dist/SHA256SUMS) files are the same in $PWD/dist and $copy/dist"
