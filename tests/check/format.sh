#!/usr/bin/env bash
# Every C and C++ file of ours is as clang-format 14 with .clang-format leaves it.
source "$(dirname "$0")/common.sh"

formatter=$(type -P clang-format-14 || type -P clang-format || true)
if [[ -z $formatter ]] || [[ $("$formatter" --version) != *"version 14."* ]]; then
    echo "clang-format 14 is not installed (Debian package clang-format)"
    exit 1
fi
check_one() { "$1" --style=file --dry-run -Werror "$2" >/dev/null 2>&1 || echo "$2"; }
export -f check_one
c_files src tests bench tools | xargs -r -P2 -I{} bash -c 'check_one "$0" "$1"' "$formatter" {} | sort |
    report "not formatted (clang-format -i FILE puts it right):"
