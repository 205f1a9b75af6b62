#!/usr/bin/env bash
# buildah makes the image; skopeo and umoci import it in the tests. Fails where there is no buildah.
"$(dirname "$0")/../tests/bed/packages.sh" buildah skopeo umoci
command -v buildah >/dev/null
