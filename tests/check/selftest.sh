#!/usr/bin/env bash
# A check that cannot fail is worth nothing: each is run over a small clean tree, where it must find
# nothing, and then over the same tree with one violation planted, which it must name.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
check=$1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

clean_tree() {
    rm -rf "${tree:?}"/*
    mkdir -p "$tree"/src/{base,types,schema,store,catalog,table,auth,exec,server,shims,client,cli}
    local folder
    for folder in "$tree"/src/*/; do
        echo "# what it is" >"$folder/README.md"
    done
    cp "$here/../../.clang-format" "$tree/"
    cp "$here/../../src/types/type.h" "$tree/src/types/type.h"
    cat >"$tree/src/base/defs.h" <<'END'
/*
 * defs.h: facts. Comments may say sprintf() and BIGINT.
 */
END
    cat >"$tree/src/catalog/system_tables.c" <<'END'
/* The one list. */
static const char *columns[] = {"storage_location", "user_tables_template", "user_id"};
END
    cat >"$tree/src/table/table.c" <<'END'
/* Nothing to find here: format "text", a FILE that is missing, user_id of the protocol. */
#include "table/table.h"

#include "base/defs.h"
#include "catalog/system_tables.h"

static const char *fine[] = {"text", "no such FILE", "user_id", "the DATE header", "AS TABLE"};
END
}

# expect_clean: the check ends with 0.
expect_clean() {
    local output status=0
    clean_tree
    output=$("$here/$check.sh" "$tree" 2>&1) || status=$?
    [[ $status -eq 0 ]] && return
    echo "$check finds something in a clean tree (exit $status):"
    echo "$output"
    failures=$((failures + 1))
}

# plant FILE TEXT [NAMED]: the check ends with 1 and names FILE, or NAMED.
plant() {
    local output status=0
    clean_tree
    mkdir -p "$(dirname "$tree/$1")"
    printf '%s\n' "$2" >>"$tree/$1"
    output=$("$here/$check.sh" "$tree" 2>&1) || status=$?
    [[ $status -eq 1 && $output == *"${3:-$1}"* ]] && return
    echo "$check does not find in $1 (exit $status): $2"
    echo "$output"
    failures=$((failures + 1))
}

# allow FILE TEXT: looks like a violation and is none.
allow() {
    local output status=0
    clean_tree
    mkdir -p "$(dirname "$tree/$1")"
    printf '%s\n' "$2" >>"$tree/$1"
    output=$("$here/$check.sh" "$tree" 2>&1) || status=$?
    [[ $status -eq 0 ]] && return
    echo "$check complains about $1: $2"
    echo "$output"
    failures=$((failures + 1))
}

expect_clean
case $check in
format)
    plant src/base/x.c 'int  badly( void ){return 0;}'
    plant tests/unit/base/x_test.c 'int a;;  int b ;'
    ;;
layering)
    plant src/base/x.c '#include "types/type.h"'
    plant src/table/x.c '#include "exec/exec.h"'
    plant src/cli/x.c '#include "schema/column.h"'
    plant src/client/x.c '#include "cli/cli.h"'
    plant src/exec/x.c '#include "client/client.h"'
    plant src/shims/x.cpp '#include "base/buf.h"'
    plant src/store/kv_mem.c '#include <rocksdb/c.h>'
    plant src/table/x.c '#include <duckdb.h>'
    plant src/base/x.c '#include "simdjson.h"'
    plant src/exec/x.c '#include <uv.h>'
    plant src/server/x.c '  #  include <sodium.h>'
    plant src/novel/x.c '#include "base/defs.h"'
    allow src/store/kv_rocks.c '#include <rocksdb/c.h>'
    allow src/shims/x.cpp '#include "base/bytes.h"'
    allow src/base/x.c '/* #include "exec/exec.h" */'
    allow src/cli/x.c '#include "types/text.h"'
    ;;
type_names)
    plant src/exec/x.c 'const char *a = "BIGINT";'
    plant src/exec/x.c 'const char *a = "bigint";'
    plant src/exec/x.c 'const char *a = "DATE";'
    plant src/cli/x.c 'const char *a = "DECIMAL(10,2)";'
    plant src/table/x.c 'fail("expected an EMBEDDING of %u numbers", n);'
    plant src/catalog/x.h 'static const char sql[] = "CREATE TABLE t (id INT, name TEXT)";'
    plant src/exec/x.c 'run("ALTER TABLE %s ADD COLUMN note TEXT");'
    plant src/exec/x.c 'append("SELECT CAST(x AS DOUBLE)");'
    plant src/exec/x.c 'append("now()::TIMESTAMP");'
    plant src/exec/x.c 'append("  note TEXT NOT NULL,");'
    allow src/exec/x.c '/* "BIGINT" */ // "DATE"'
    allow src/exec/x.c 'const char *a = "DATE"; /* check: type-names (the HTTP header) */'
    allow src/exec/x.c 'const char *a[] = {"date", "file", "the FILE is gone", "Date"};'
    allow src/types/names.c 'const char *a = "BIGINT";'
    ;;
system_columns)
    plant src/table/x.c 'put("storage_location");'
    plant src/exec/x.c 'run("SELECT user_tables_template FROM system.storages");'
    plant src/catalog/providers.c 'add(row, "storage_location", value);'
    allow src/server/x.c 'put("user_id");'
    allow src/exec/x.c 'put("cold_storage_location");'
    allow src/schema/x.c 'put("storage_location");'
    allow src/exec/x.c '/* storage_location */'
    allow src/exec/x.c 'put("storage_location"); /* check: system-columns (reason) */'
    ;;
tidy)
    # Put together here so that this file stays clean itself.
    plant src/base/x.c "/* TO""DO: finish */"
    plant docs/x.md "see /ho""me/somebody/notes"
    plant src/base/x.c 'sprintf (out, "%d", 1);'
    plant src/base/x.c 'n = atoi(text);'
    plant src/base/x.h 'int a;'
    plant src/novel/x.c '/* a folder without a README */' src/novel
    allow src/base/x.c '/* not strcpy() */ kal_strcpy(a); snprintf(a, 1, "gets(");'
    allow docs/x.md 'GET /v1/home and mktemp XXXXXX'
    ;;
links)
    plant README.md 'see [it](docs/missing.md)'
    plant docs/x.md '[one](x.md) and [two](../src/base/missing.h)'
    plant src/base/README.md '[x](docs/missing.md#part)'
    allow docs/x.md '[a](x.md), [b](x.md#part), [c](#part), [d](../src/base/defs.h), [e](https://duckdb.org)'
    allow src/base/README.md '[x](defs.h) and [nothing] (missing.md)'
    ;;
*)
    echo "there is no self-test of '$check'"
    exit 1
    ;;
esac
[[ $failures -eq 0 ]] || exit 1
echo "$check finds what was planted"
