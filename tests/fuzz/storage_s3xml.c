/*
 * storage_s3xml.c: any text as the answer of an S3 server: refused with a reason, or what was read
 * of it is whole: as many sizes or upload ids as keys, and a way on where there is more.
 */
#include "base/assert.h"
#include "storage/s3_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_page(const kal_s3_page *page)
{
    size_t bytes = 0;
    for (size_t i = 0; i < page->count; i++) {
        bytes += page->keys[i].len;
        if (page->sizes != NULL)
            bytes += page->sizes[i] == 0;
        if (page->upload_ids != NULL)
            bytes += page->upload_ids[i].len;
    }
    KAL_ASSERT(bytes <= 3 * KAL_S3_XML_BYTES_MAX);
    KAL_ASSERT(page->count == 0 || page->sizes != NULL || page->upload_ids != NULL);
    KAL_ASSERT(!page->is_truncated || page->sizes == NULL || page->next.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_bytes text = kal_bytes_of(data, size);
    kal_s3_page page;
    kal_bytes id = {0};
    char code[65];
    kal_error err = KAL_ERROR_INIT;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    kal_status status = kal_s3_xml_page(text, &arena, &page, &err);
    if (status == KAL_OK)
        check_page(&page);
    else
        KAL_ASSERT(err.status == status && err.message[0] != '\0');
    status = kal_s3_xml_upload_id(text, &arena, &id, NULL);
    KAL_ASSERT(status != KAL_OK || id.len > 0);
    kal_s3_xml_error_code(text, code);
    KAL_ASSERT(strspn(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.") ==
               strlen(code));
    kal_arena_release(&arena);
    return 0;
}
