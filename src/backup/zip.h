/*
 * zip.h: a ZIP archive while it is written, in one pass, by libarchive. Only for this folder.
 *
 * Entries are as long as what is written into them; archives beyond 4 GiB are ZIP64. What was
 * written is on stable storage when finish answers KAL_OK.
 */
#ifndef KAL_BACKUP_ZIP_H
#define KAL_BACKUP_ZIP_H

#include "base/bytes.h"
#include "base/error.h"

typedef struct kal_zip kal_zip; /* opaque: kal_zip_close */

/* path: a new file. bytes_max: of the archive; beyond it KAL_LIMIT. KAL_EXISTS, KAL_IO. */
KAL_MUST_CHECK kal_status kal_zip_create(const char *path, uint64_t bytes_max, kal_zip **zip_out,
                                         kal_error *err);
/* The next entry; name in ASCII. */
KAL_MUST_CHECK kal_status kal_zip_begin(kal_zip *zip, const char *name, int64_t time_us,
                                        kal_error *err);
KAL_MUST_CHECK kal_status kal_zip_write(kal_zip *zip, kal_bytes bytes, kal_error *err);
KAL_MUST_CHECK kal_status kal_zip_finish(kal_zip *zip, uint64_t *bytes_out, kal_error *err);
void kal_zip_close(kal_zip *zip); /* NULL is allowed; without finish the file is there in part */

#endif
