#!/usr/bin/env bash
# House rules that need no compiler: no notes to self, no paths of somebody's machine, no libc calls
# that cannot be used safely, a README in every folder of src/, a comment atop every header.
source "$(dirname "$0")/common.sh"
failed=0

# Text files of ours; this script names what it forbids.
text_files() {
    local place places=()
    for place in src tests tools bench docs sdk ui packaging run test .ci README.md CMakeLists.txt; do
        [[ -e $place ]] && places+=("$place")
    done
    find "${places[@]}" -name node_modules -prune -o -name package-lock.json -prune -o -type f \
        ! -path 'tests/check/*' ! -path '*/corpus/*' ! -path 'bench/results/*' -print | sort |
        xargs -r grep -lI ''
}

{ text_files | xargs -r grep -nE '\b(TODO|FIXME|XXX|HACK)\b' || true; } |
    report "notes to self (finish it, or refuse it with a clear error):" || failed=1

{ text_files | xargs -r grep -nE '(^|[^A-Za-z0-9_.$}{*/-])/(home|Users|root|work)/[A-Za-z0-9_.]' || true; } |
    report "paths of one machine:" || failed=1

# Unbounded or hidden-state calls, and conversions that cannot report an error.
banned='strcpy|strcat|stpcpy|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|atof|alloca|tmpnam|mktemp'
{ c_files src tests bench | tokens code | grep -E "(^|[^A-Za-z0-9_])($banned)[[:space:]]*\(" || true; } |
    report "banned calls:" || failed=1

find src -mindepth 1 -maxdepth 1 -type d | sort | while read -r folder; do
    if [[ -n $(find "$folder" -type f -print -quit) && ! -f $folder/README.md ]]; then
        echo "$folder"
    fi
done | report "folders without a README.md:" || failed=1

c_files src | while read -r header; do
    if [[ $header == *.h* && $(head -c 2 "$header") != "/*" ]]; then
        echo "$header"
    fi
done | report "headers that do not start with a comment that says what they are:" || failed=1

exit $failed
