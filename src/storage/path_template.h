/*
 * path_template.h: where in a storage the objects of a table lie:
 * `{namespace}/{tableName}/{userId}`.
 *
 * A template is a relative path with placeholders. A part holds at most one placeholder, next to
 * letters, digits and `_ - = .`; the placeholders come in the order {namespace}, {tableName},
 * {userId}, {shard}, each at most once. {namespace} and {tableName} are needed; {userId} is needed
 * for USER tables and not allowed for SHARED ones.
 *
 * Values are written so that every file system takes them and no two are the same: lower-case
 * letters, digits, `_` and `-` as they are, every other byte as %xx (so nothing is `..`, holds a
 * '/', or differs from another only in case). A value that gets longer than 200 bytes goes on in a
 * further part: all its parts but the last end with a lone %. Two different (namespace, table[,
 * user]) thus never have the same path under one template, and none of them leaves the directory;
 * kal_path_templates_check() says whether that also holds between two templates.
 */
#ifndef KAL_STORAGE_PATH_TEMPLATE_H
#define KAL_STORAGE_PATH_TEMPLATE_H

#include "base/buf.h"
#include "base/error.h"

#define KAL_PATH_TEMPLATE_BYTES_MAX 256u

/* The templates of `local`, and of a storage that names none. */
#define KAL_SHARED_TEMPLATE_DEFAULT "{namespace}/{tableName}"
#define KAL_USER_TEMPLATE_DEFAULT   "{namespace}/{tableName}/{userId}"

typedef enum kal_path_template_kind {
    KAL_PATH_TEMPLATE_SHARED,
    KAL_PATH_TEMPLATE_USER,
} kal_path_template_kind;

/* KAL_INVALID with the reason, which names the template's kind and what is wrong. */
KAL_MUST_CHECK kal_status kal_path_template_check(kal_bytes text, kal_path_template_kind kind,
                                                  kal_error *err);
/* Both are valid; KAL_INVALID when a SHARED table could get the path of a USER table: unless they
 * are the same up to {tableName}, their first parts must be two different texts. */
KAL_MUST_CHECK kal_status kal_path_templates_check(kal_bytes shared, kal_bytes user,
                                                   kal_error *err);

typedef struct kal_path_values {
    kal_bytes namespace_id;
    kal_bytes table_name;
    kal_bytes user_id; /* ptr NULL: of all users */
    bool has_shard;
    uint16_t shard;
} kal_path_values;

/* Appends the path without '/' at its ends. It ends before the first part whose placeholder has no
 * value: the folder of all of them. The template is valid. */
void kal_path_template_render(kal_bytes text, const kal_path_values *values, kal_buf *out);

#endif
