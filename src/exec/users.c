/*
 * users.c: CREATE, ALTER and DROP USER.
 *
 * dba and system manage users; nobody gives or takes a role above the own one; everybody may change
 * the own password and e-mail address.
 */
#include "exec/exec_internal.h"

static kal_status role_of(const kal_sql_user_stmt *s, kal_role *out, kal_error *err)
{
    if (kal_role_parse(s->role.text, out))
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "unknown role '%.*s', valid roles: %s, %s, %s, %s",
                  KAL_FMT(s->role.text), kal_role_name(KAL_ROLE_USER),
                  kal_role_name(KAL_ROLE_SERVICE), kal_role_name(KAL_ROLE_DBA),
                  kal_role_name(KAL_ROLE_SYSTEM));
    kal_error_at(err, s->role.position);
    return KAL_INVALID;
}

static kal_status may_touch_role(const kal_principal *p, kal_role role, kal_error *err)
{
    if (p->role >= role)
        return KAL_OK;
    return kal_error_set(err, KAL_DENIED, "role %s may not manage users of role %s",
                         kal_role_name(p->role), kal_role_name(role));
}

static kal_status check_email(const kal_sql_user_stmt *s, kal_error *err)
{
    bool has_at = false;
    bool valid = s->email.len >= 3 && s->email.len <= 254;
    for (size_t i = 0; i < s->email.len && valid; i++) {
        uint8_t c = s->email.ptr[i];
        valid = c > ' ' && c != 0x7F;
        has_at = has_at || (c == '@' && i > 0 && i + 1 < s->email.len);
    }
    if (valid && has_at)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "'%.*s' is not an e-mail address", KAL_FMT(s->email));
    kal_error_at(err, s->email_position);
    return KAL_INVALID;
}

static kal_status check_auth(const kal_sql_user_stmt *s, kal_error *err)
{
    switch (s->auth) {
    case KAL_SQL_AUTH_PASSWORD:
        return KAL_OK;
    case KAL_SQL_AUTH_OAUTH:
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "users WITH OAUTH are not available in this version");
    case KAL_SQL_AUTH_INTERNAL:
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "users WITH INTERNAL are not available in this version");
    case KAL_SQL_AUTH_NONE:
        break;
    }
    return kal_error_set(err, KAL_SYNTAX, "WITH PASSWORD '...' is missing");
}

/* Carries out one change of users. */
typedef kal_status (*user_change_fn)(kal_catalog_change *change, kal_user *user, kal_error *err);

static kal_status change_create(kal_catalog_change *change, kal_user *user, kal_error *err)
{
    return kal_catalog_create_user(change, user, err);
}

static kal_status change_alter(kal_catalog_change *change, kal_user *user, kal_error *err)
{
    return kal_catalog_alter_user(change, user, err);
}

static kal_status change_drop(kal_catalog_change *change, kal_user *user, kal_error *err)
{
    return kal_catalog_drop_user(change, user->user_id, err);
}

static kal_status carry_out(kal_run *run, user_change_fn fn, kal_user *user, kal_error *err)
{
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal);
    kal_status status = fn(change, user, err);
    if (status == KAL_OK)
        status = kal_run_commit_change(run, change, err);
    kal_catalog_end(change);
    if (status != KAL_OK)
        kal_error_at(err, run->statement->user.name.position);
    return status;
}

/* ERASE finds also who was dropped before. KAL_NOT_FOUND with a message. */
static kal_status get_user(kal_run *run, kal_user *user_out, kal_error *err)
{
    const kal_sql_user_stmt *s = &run->statement->user;
    kal_catalog *catalog = run->exec->catalog;
    kal_status status =
        s->erase ? kal_catalog_get_any_user(catalog, s->name.text, run->arena, user_out, err)
                 : kal_catalog_get_user(catalog, s->name.text, run->arena, user_out, err);
    if (status != KAL_NOT_FOUND)
        return status;
    kal_error_set(err, KAL_NOT_FOUND, "user '%.*s' does not exist", KAL_FMT(s->name.text));
    kal_error_code(err, "USER_NOT_FOUND");
    kal_error_at(err, s->name.position);
    return KAL_NOT_FOUND;
}

static bool user_exists(kal_run *run)
{
    kal_user user;
    return kal_catalog_get_user(run->exec->catalog, run->statement->user.name.text, run->arena,
                                &user, NULL) == KAL_OK;
}

kal_status kal_run_create_user(kal_run *run, kal_error *err)
{
    const kal_sql_user_stmt *s = &run->statement->user;
    kal_user user = {.user_id = s->name.text, .auth_type = KAL_STR("password")};
    char *hash = NULL;

    KAL_TRY(kal_may_manage(run->principal, "user management", err));
    if (!s->has_role)
        return kal_error_set(err, KAL_SYNTAX, "ROLE is missing: user, service, dba or system");
    KAL_TRY(role_of(s, &user.role, err));
    KAL_TRY(may_touch_role(run->principal, user.role, err));
    KAL_TRY(check_auth(s, err));
    if (s->has_email) {
        KAL_TRY(check_email(s, err));
        user.email = s->email;
    }
    if (s->if_not_exists && user_exists(run)) {
        kal_result_message(run->result, 0, "User '%.*s' already exists (skipped)",
                           KAL_FMT(s->name.text));
        return KAL_OK;
    }
    KAL_TRY(kal_password_hash(s->secret, run->arena, &hash, err));
    user.password_hash = kal_cstr(hash);
    KAL_TRY(carry_out(run, change_create, &user, err));
    kal_result_message(run->result, 0, "User '%.*s' created successfully with role '%s'",
                       KAL_FMT(s->name.text), kal_role_name(user.role));
    return KAL_OK;
}

static kal_status may_alter(kal_run *run, const kal_sql_user_stmt *s, kal_error *err)
{
    bool is_self = kal_bytes_equal(s->name.text, kal_cstr(run->principal->user_id));
    if (is_self && !s->has_role)
        return KAL_OK;
    return kal_may_manage(run->principal, "user management", err);
}

kal_status kal_run_alter_user(kal_run *run, kal_error *err)
{
    const kal_sql_user_stmt *s = &run->statement->user;
    kal_user user;
    char *hash = NULL;

    KAL_TRY(may_alter(run, s, err));
    KAL_TRY(get_user(run, &user, err));
    KAL_TRY(may_touch_role(run->principal, user.role, err));
    if (s->has_role) {
        KAL_TRY(role_of(s, &user.role, err));
        KAL_TRY(may_touch_role(run->principal, user.role, err));
    } else if (s->has_email) {
        KAL_TRY(check_email(s, err));
        user.email = s->email;
    } else {
        KAL_TRY(check_auth(s, err));
        KAL_TRY(kal_password_hash(s->secret, run->arena, &hash, err));
        user.password_hash = kal_cstr(hash);
        user.auth_type = KAL_STR("password");
    }
    KAL_TRY(carry_out(run, change_alter, &user, err));
    kal_result_message(run->result, 0, "User '%.*s' updated successfully", KAL_FMT(s->name.text));
    return KAL_OK;
}

kal_status kal_run_drop_user(kal_run *run, kal_error *err)
{
    const kal_sql_user_stmt *s = &run->statement->user;
    kal_user user;

    KAL_TRY(kal_may_manage(run->principal, "user management", err));
    kal_status status = get_user(run, &user, err);
    if (status == KAL_NOT_FOUND && s->if_exists) {
        kal_result_message(run->result, 0, "User '%.*s' does not exist (skipped)",
                           KAL_FMT(s->name.text));
        return KAL_OK;
    }
    KAL_TRY(status);
    KAL_TRY(may_touch_role(run->principal, user.role, err));
    if (s->erase)
        return kal_run_erase_user(run, &user, err);
    KAL_TRY(carry_out(run, change_drop, &user, err));
    kal_result_message(run->result, 0, "User '%.*s' dropped successfully", KAL_FMT(s->name.text));
    return KAL_OK;
}
