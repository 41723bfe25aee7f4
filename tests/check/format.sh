#!/usr/bin/env bash
# Every C and C++ file of ours is as clang-format 14 with .clang-format leaves it.
source "$(dirname "$0")/common.sh"

formatter=$(type -P clang-format-14 || type -P clang-format || true)
if [[ -z $formatter ]] || [[ $("$formatter" --version) != *"version 14."* ]]; then
    echo "clang-format 14 is not installed (Debian package clang-format)"
    exit 1
fi
# The first complaint about a file names it; many files a process, since starting one takes longest.
complaints() {
    local said files
    said=$("$@" 2>&1) && return
    files=$(sed -n 's/^\(.*\):[0-9]*:[0-9]*: error: .*/\1/p' <<<"$said")
    echo "${files:-clang-format failed: $said}"
}
export -f complaints
c_files src tests bench tools |
    xargs -r -P2 -n40 bash -c 'complaints "$0" --style=file --dry-run -Werror "$@"' "$formatter" | sort -u |
    report "not formatted (clang-format -i FILE puts it right):"
