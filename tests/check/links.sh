#!/usr/bin/env bash
# Relative links in README.md, docs/ and the folders' READMEs lead to something that is there.
source "$(dirname "$0")/common.sh"

pages() {
    local page
    for page in README.md docs/*.md src/*/README.md; do
        [[ -f $page ]] && echo "$page"
    done
}

pages | while read -r page; do
    { grep -noE '\]\([^() ]+\)' "$page" || true; } | while IFS=: read -r line link; do
        target=${link:2:-1}
        target=${target%%#*}
        [[ -z $target || $target =~ ^[a-z]+: || -e $(dirname "$page")/$target ]] ||
            echo "$page:$line: $target is not there"
    done
done | report "links to nothing:"
