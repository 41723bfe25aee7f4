#include "catalog/role.h"

const kal_principal KAL_PRINCIPAL_SERVER = {.user_id = "system", .role = KAL_ROLE_SYSTEM};

static const struct {
    const char *name;
    const char *aliases; /* blank-separated */
} ROLES[] = {
#define ROLE_ROW(name, text, aliases) [KAL_ROLE_##name] = {text, aliases},
    KAL_ROLE_LIST(ROLE_ROW)
#undef ROLE_ROW
};

const char *kal_role_name(kal_role role)
{
    return ROLES[role].name;
}

static bool is_one_of(kal_bytes text, const char *words)
{
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        if (kal_bytes_equal_nocase(text, kal_bytes_of(words, len)))
            return true;
        words += len;
        words += *words == ' ';
    }
    return false;
}

bool kal_role_parse(kal_bytes text, kal_role *role_out)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(ROLES); i++) {
        if (kal_bytes_equal_nocase(text, kal_cstr(ROLES[i].name)) ||
            is_one_of(text, ROLES[i].aliases)) {
            *role_out = (kal_role)i;
            return true;
        }
    }
    return false;
}
