#!/usr/bin/env bash
# The columns of the system tables are named in one list, src/catalog/system_tables.*, and reached by
# index everywhere else: no provider, query or document can then disagree with the definitions.
#
# The names are read from that list. Checked are those that can mean nothing else: at least two
# words, and not among the names below, which the models of src/schema or the HTTP protocol share
# as JSON members. src/schema itself, where options are JSON members and WITH keys, is left out.
source "$(dirname "$0")/common.sh"

shared=" user_id table_id table_name table_type column_id column_name data_type schema_version namespace_id namespace_name storage_id created_at updated_at expires_at query_id job_id row_count as_user is_nullable is_primary_key is_partition_key ordinal_position default_value column_default column_comment column_count access_level connection_id subscription_id primary_key flush_policy ttl_seconds deleted_retention_hours use_user_storage enable_rls error_message "

if ! compgen -G 'src/catalog/system_tables*' >/dev/null; then
    echo "there is no src/catalog/system_tables.* yet"
    exit 77
fi
names=$(find src/catalog -name 'system_tables*' -name '*.[ch]' | sort | tokens strings | cut -d: -f3- |
    grep -E '^[a-z]+(_[a-z]+)+$' | sort -u | while read -r name; do
    [[ $shared == *" $name "* ]] || echo "$name"
done)
if [[ -z $names ]]; then
    echo "cannot read the column names from src/catalog/system_tables.*"
    exit 1
fi
c_files src | grep -v -e '^src/catalog/system_tables' -e '^src/schema/' | tokens strings:system-columns |
    { grep -E "^[^:]*:[0-9]+:(.*[^a-zA-Z0-9_])?($(paste -sd'|' <<<"$names"))([^a-zA-Z0-9_].*)?\$" || true; } |
    report "system columns named outside src/catalog/system_tables.*:"
