/*
 * rights.c: who may do what. USER and STREAM tables need no check: everybody has a partition of his
 * own.
 */
#include "exec/exec_internal.h"

static kal_status denied(const kal_table *table, const char *what, kal_error *err)
{
    return kal_error_set(err, KAL_DENIED, "you may not %s table '%.*s.%.*s'", what,
                         KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
}

kal_status kal_may_read(const kal_principal *p, const kal_table *table, kal_error *err)
{
    switch (table->def->table_type) {
    case KAL_TABLE_USER:
    case KAL_TABLE_STREAM:
    case KAL_TABLE_VIEW: /* what it reads is checked where it reads it, for each reader */
        return KAL_OK;
    case KAL_TABLE_SYSTEM:
        return kal_catalog_may_read_system(table, p) ? KAL_OK : denied(table, "read", err);
    case KAL_TABLE_SHARED:
        break;
    }
    switch ((kal_access_level)table->def->options.access_level) {
    case KAL_ACCESS_PUBLIC:
        return KAL_OK;
    case KAL_ACCESS_PRIVATE:
    case KAL_ACCESS_RESTRICTED:
        return p->role >= KAL_ROLE_SERVICE ? KAL_OK : denied(table, "read", err);
    case KAL_ACCESS_DBA:
        return p->role >= KAL_ROLE_DBA ? KAL_OK : denied(table, "read", err);
    }
    return denied(table, "read", err);
}

kal_status kal_may_write(const kal_principal *p, const kal_table *table, kal_error *err)
{
    switch (table->def->table_type) {
    case KAL_TABLE_USER:
    case KAL_TABLE_STREAM:
        return KAL_OK;
    case KAL_TABLE_SYSTEM:
        return kal_error_set(err, KAL_DENIED,
                             "table '%.*s.%.*s' is read-only, the server keeps it itself",
                             KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
    case KAL_TABLE_VIEW:
        return kal_error_set(err, KAL_INVALID, "'%.*s.%.*s' is a view: change the tables under it",
                             KAL_FMT(table->def->namespace_id), KAL_FMT(table->def->table_name));
    case KAL_TABLE_SHARED:
        break;
    }
    kal_role least =
        table->def->options.access_level == KAL_ACCESS_DBA ? KAL_ROLE_DBA : KAL_ROLE_SERVICE;
    return p->role >= least ? KAL_OK : denied(table, "change", err);
}

kal_status kal_may_change_schema(const kal_principal *p, kal_error *err)
{
    if (p->role >= KAL_ROLE_DBA)
        return KAL_OK;
    return kal_error_set(err, KAL_DENIED, "Schema modification requires DBA or system role");
}

kal_status kal_may_manage(const kal_principal *p, const char *what, kal_error *err)
{
    if (p->role >= KAL_ROLE_DBA)
        return KAL_OK;
    return kal_error_set(err, KAL_DENIED, "Admin privileges required for %s", what);
}
