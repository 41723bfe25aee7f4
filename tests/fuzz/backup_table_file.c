/*
 * backup_table_file.c: any text as tables/t.json, namespace.json and users.txt of the backup of a
 * namespace. Each is refused with a message, or what was read is written and read back as itself;
 * what is taken for a table is a valid one, and names only files of its own.
 */
#include "backup/table_file.h"
#include "backup/users.h"
#include "base/assert.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const kal_bytes NAMESPACE = KAL_STR("app");
static const kal_bytes NAME = KAL_STR("tables/t.json");

static void check_table(const kal_table_file *file, kal_arena *arena)
{
    kal_table_file back;
    kal_buf first;  /* owned */
    kal_buf second; /* owned */
    kal_error err = KAL_ERROR_INIT;

    KAL_ASSERT(file->version_count > 0);
    KAL_ASSERT(kal_table_definition_validate(kal_table_file_def(file), &err) == KAL_OK);
    for (size_t i = 0; i < file->file_count; i++)
        KAL_ASSERT(kal_bytes_starts_with(file->files[i], KAL_STR("tables/t.")) &&
                   memmem(file->files[i].ptr, file->files[i].len, "/.", 2) == NULL);
    kal_buf_init(&first, NULL);
    kal_buf_init(&second, NULL);
    kal_table_file_write(file, &first);
    KAL_ASSERT(kal_table_file_read(kal_buf_bytes(&first), NAME, NAMESPACE, arena, &back, &err) ==
               KAL_OK);
    kal_table_file_write(&back, &second);
    KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(&first), kal_buf_bytes(&second)));
    kal_buf_release(&first);
    kal_buf_release(&second);
}

static void check_users(kal_bytes text)
{
    kal_error err = KAL_ERROR_INIT;
    kal_backup_user user = {0};
    kal_status status;

    while ((status = kal_users_next(&text, &user, &err)) == KAL_OK)
        KAL_ASSERT(user.user_no > 0 && user.user_id.len > 0 &&
                   user.user_id.len <= KAL_USER_ID_BYTES_MAX &&
                   memchr(user.user_id.ptr, '\n', user.user_id.len) == NULL);
    KAL_ASSERT(status == KAL_END || (status == KAL_CORRUPT && err.message[0] != '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_bytes text = kal_bytes_of(data, size);
    kal_arena arena; /* owned */
    kal_table_file file;
    kal_namespace_info info;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    kal_status status = kal_table_file_read(text, NAME, NAMESPACE, &arena, &file, &err);
    if (status == KAL_OK)
        check_table(&file, &arena);
    else
        KAL_ASSERT(err.status == status && err.message[0] != '\0');
    status = kal_namespace_file_read(text, NAMESPACE, &arena, &info, &err);
    KAL_ASSERT(status == KAL_OK || (err.status == status && err.message[0] != '\0'));
    check_users(text);
    kal_arena_release(&arena);
    return 0;
}
