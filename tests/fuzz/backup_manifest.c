/*
 * backup_manifest.c: any text as backup.json. It is refused with a message, or what was read is
 * written and read back as itself, and no name in it leads out of the backup.
 */
#include "backup/manifest.h"
#include "base/assert.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const kal_backup *backup, kal_arena *arena)
{
    kal_backup back;
    kal_buf first;  /* owned */
    kal_buf second; /* owned */
    kal_error err = KAL_ERROR_INIT;

    for (size_t i = 0; i < backup->file_count; i++) {
        kal_bytes name = backup->files[i].name;
        KAL_ASSERT(name.len > 0 && name.ptr[0] != '/' &&
                   memmem(name.ptr, name.len, "/.", 2) == NULL);
    }
    kal_buf_init(&first, NULL);
    kal_buf_init(&second, NULL);
    kal_manifest_write(backup, &first);
    KAL_ASSERT(kal_manifest_read(kal_buf_bytes(&first), arena, &back, &err) == KAL_OK);
    kal_manifest_write(&back, &second);
    KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(&first), kal_buf_bytes(&second)));
    KAL_ASSERT(back.size_bytes == backup->size_bytes);
    kal_buf_release(&first);
    kal_buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_arena arena; /* owned */
    kal_backup backup;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    kal_status status = kal_manifest_read(kal_bytes_of(data, size), &arena, &backup, &err);
    if (status == KAL_OK)
        check(&backup, &arena);
    else
        KAL_ASSERT(err.status == status && err.message[0] != '\0');
    kal_arena_release(&arena);
    return 0;
}
