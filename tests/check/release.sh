#!/usr/bin/env bash
# The release preset builds too: an optimising compiler sees, and refuses, more than the dev preset's.
# Usage: release.sh BUILD_DIR
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1/release

[[ -f $build/build.ninja ]] ||
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DKAL_TESTS=OFF
ninja -C "$build" kalamdb-server kalam
