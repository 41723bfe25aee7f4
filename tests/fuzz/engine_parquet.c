/*
 * fuzz: a Parquet file of any bytes: an error that names it, or the rows of one that was sealed.
 */
#include "engine/parquet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kal_parquet *open_once(void)
{
    static kal_parquet *parquet; /* for the life of the process */
    const kal_parquet_options options = {KAL_TEST_DUCKDB, 0, 1};
    if (parquet == NULL && kal_parquet_open(&options, &parquet, NULL) != KAL_OK)
        abort();
    return parquet;
}

static kal_status read_all(const char *path, kal_error *err)
{
    const kal_parquet_scan_args args = {.path = path};
    uint64_t numbers[64];
    kal_value none[1];
    kal_parquet_scan *scan = NULL;
    size_t rows = 0;

    kal_status status = kal_parquet_scan_open(open_once(), &args, &scan, err);
    do {
        if (status == KAL_OK)
            status = kal_parquet_scan_next(scan, 64, none, numbers, &rows, err);
    } while (status == KAL_OK && rows > 0);
    kal_parquet_scan_close(scan);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    kal_error err = KAL_ERROR_INIT;
    int fd = memfd_create("parquet", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    kal_status status = read_all(path, &err);
    if (status != KAL_OK && (status != KAL_CORRUPT || strstr(err.message, path) == NULL))
        abort();
    close(fd);
    return 0;
}
