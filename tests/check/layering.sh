#!/usr/bin/env bash
# A folder of src/ includes its own files and those of the folders before it, never those after it;
# a foreign library's headers are seen by the one folder that wraps it. docs/ARCHITECTURE.md has the
# picture.
source "$(dirname "$0")/common.sh"

c_files src | tokens includes | awk -F: '
BEGIN {
    n = split("base types schema store storage catalog expr engine segment table sql auth backup live jobs exec server",
              order, " ")
    for (i = 1; i <= n; i++) {
        rank[order[i]] = i
        known[order[i]] = 1
    }
    # Outside the order: what may be seen from there is said in full.
    known["shims"] = known["client"] = known["cli"] = 1
    allowed["client"] = " base types "
    allowed["cli"] = " base types client "

    # header prefix -> the only places that may include it (a folder, or one file)
    home["rocksdb/"] = "src/store/kv_rocks.c"
    home["duckdb"] = "src/engine/ src/shims/duckdb_"
    home["simdjson"] = "src/shims/"
    home["toml"] = "src/shims/"
    home["usearch"] = "src/shims/"
    home["uv.h"] = "src/server/"
    home["liburing"] = "src/server/send_batch.c"
    home["sodium"] = "src/auth/ src/base/digest.c"
    home["openssl/"] = "src/auth/"
    home["curl/"] = "src/client/ src/storage/s3_http.c"
    home["expat.h"] = "src/storage/s3_xml.c"
    home["histedit.h"] = "src/cli/"
    home["editline/"] = "src/cli/"
    home["utf8proc.h"] = "src/cli/ src/expr/letter_case.c"
    home["xxhash.h"] = "src/base/"
    home["zlib.h"] = "src/base/deflate.c"
}

function starts(text, prefix) { return substr(text, 1, length(prefix)) == prefix }

function is_home(file, places,    count, place, i) {
    count = split(places, place, " ")
    for (i = 1; i <= count; i++)
        if (starts(file, place[i]))
            return 1
    return 0
}

function allows(from, to, header) {
    if (from == to)
        return 1
    if (from == "shims")
        return header == "base/defs.h" || header == "base/bytes.h"
    if (to == "shims")
        return 1
    if (from in allowed)
        return index(allowed[from], " " to " ") > 0
    return to in rank && rank[to] < rank[from]
}

{
    file = $1
    header = $3
    split(file, part, "/")
    from = part[2]
    for (prefix in home)
        if (starts(header, prefix) && !is_home(file, home[prefix]))
            print file ":" $2 ": <" header "> belongs to " home[prefix]
    if (!(from in known)) {
        print file ":" $2 ": src/" from " has no place in the order"
        next
    }
    split(header, target, "/")
    if (header ~ "/" && target[1] in known && !allows(from, target[1], header))
        print file ":" $2 ": " from " must not include " header
}' | report "includes against the order of the folders:"
