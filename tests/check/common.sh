# Shared by the checks: each is called as CHECK.sh [ROOT], prints one line a violation and ends with
# 0 (nothing found), 1 (violations) or 77 (nothing to check yet).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${1:-$(cd "$here/../.." && pwd)}
cd "$root"

# Files of ours below the given folders with one of the endings c, h, cpp, hpp.
c_files() {
    local folder folders=()
    for folder in "$@"; do
        [[ -d $folder ]] && folders+=("$folder")
    done
    [[ ${#folders[@]} -gt 0 ]] || return 0
    find "${folders[@]}" -name node_modules -prune -o -type f \
        \( -name '*.c' -o -name '*.h' -o -name '*.cpp' -o -name '*.hpp' \) -print | sort
}

tokens() { xargs -r perl "$here/c_tokens.pl" "$1"; }

# Reads violations; prints them under a heading and fails when there are any.
report() {
    local found
    found=$(cat)
    [[ -z $found ]] && return 0
    echo "$1"
    echo "$found"
    return 1
}
