/*
 * role.h: the four roles, from least to most, and who a statement runs as.
 */
#ifndef KAL_CATALOG_ROLE_H
#define KAL_CATALOG_ROLE_H

#include "base/bytes.h"

/* enum, name, aliases accepted in SQL (blank-separated) */
#define KAL_ROLE_LIST(X)                                                                           \
    X(USER, "user", "viewer readonly")         /* own rows of USER tables, public SHARED tables */ \
    X(SERVICE, "service", "developer analyst") /* + every SHARED table */                          \
    X(DBA, "dba", "admin")                     /* + schema, users, namespaces, system tables */    \
    X(SYSTEM, "system", "")                    /* + everything else */

typedef enum kal_role {
#define KAL_ROLE_ENUM(name, text, aliases) KAL_ROLE_##name,
    KAL_ROLE_LIST(KAL_ROLE_ENUM)
#undef KAL_ROLE_ENUM
} kal_role;

const char *kal_role_name(kal_role role);
/* Name or alias, any case; false when it is none. */
bool kal_role_parse(kal_bytes text, kal_role *role_out);

#define KAL_USER_ID_BYTES_MAX 128

/* The identity a statement runs under; by value, immutable for the statement. */
typedef struct kal_principal {
    uint64_t user_no; /* interned user, never reused; 0 = none */
    char user_id[KAL_USER_ID_BYTES_MAX + 1];
    kal_role role;
} kal_principal;

/* Who changes the catalog when nobody asked for it. */
extern const kal_principal KAL_PRINCIPAL_SERVER;

#endif
