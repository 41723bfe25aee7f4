/*
 * Parquet files when things go wrong: damage of every kind, odd names, full disks, cancelling,
 * files that go away. KAL_TEST_SEED chooses another seed, KAL_TEST_COUNT more rounds.
 */
#include "engine/parquet_internal.h"
#include "unit/engine/parquet_model.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- damaged files ---- */

static uint8_t *slurp(const char *path, size_t *len_out)
{
    struct stat info;
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &info), 0);
    uint8_t *bytes = malloc((size_t)info.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)info.st_size, in), info.st_size);
    fclose(in);
    *len_out = (size_t)info.st_size;
    return bytes;
}

static void spit(const char *path, const uint8_t *bytes, size_t len)
{
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

/* The file's clock ticks every few milliseconds: here each content has a time of its own. */
static void spit_anew(const char *path, const uint8_t *bytes, size_t len)
{
    static long ticks;
    ticks++;
    const struct timespec times[2] = {{ticks, 0}, {ticks, 0}};
    spit(path, bytes, len);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void check_damage(world *w, const reading *r)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = read_whatever(w, r, &err);

    if (status != KAL_CORRUPT || err.status != status)
        fail_msg("%s: %s", kal_status_name(status), err.message);
    if (strstr(err.message, w->path) == NULL)
        fail_msg("%s", err.message);
}

static size_t damage(kal_rng *rng, uint8_t *bytes, size_t len)
{
    uint64_t kind = kal_rng_below(rng, 8);
    size_t tail = len < 2000 ? len : 2000; /* the footer: where the numbers are that lead on */

    if (kind == 0)
        return kal_rng_below(rng, len);
    if (kind == 1) {
        size_t at = kal_rng_below(rng, len);
        size_t count = kal_rng_below(rng, len - at) % 64;
        kal_rng_fill(rng, bytes + at, count);
        return len;
    }
    size_t flips = kind < 5 ? 1 : 1 + kal_rng_below(rng, 8);
    for (size_t i = 0; i < flips; i++) {
        size_t at = kind % 2 == 0 ? kal_rng_below(rng, len) : len - 1 - kal_rng_below(rng, tail);
        bytes[at] ^= (uint8_t)(1U << kal_rng_below(rng, 8));
    }
    return len;
}

static void test_damaged_files(void **state)
{
    enum { DAMAGES = 40 };
    uint64_t seed = test_seed();
    unsigned count = test_count(20);
    world w;

    (void)state;
    world_open(&w);
    for (unsigned i = 0; i < count; i++, seed++) {
        model m;
        reading r;
        size_t len = 0;
        print_message("seed %llu\n", (unsigned long long)seed);
        model_init(&m, seed);
        random_columns(&m);
        random_rows(&m, 1 + kal_rng_below(&m.rng, 3000));
        must_write(&w, &m, (kal_compression)kal_rng_below(&m.rng, 4), 2048);
        uint8_t *whole = slurp(w.path, &len);
        uint8_t *damaged = malloc(len);
        assert_non_null(damaged);
        for (int k = 0; k < DAMAGES; k++) {
            memcpy(damaged, whole, len);
            size_t left = damage(&m.rng, damaged, len);
            if (left == len && memcmp(damaged, whole, len) == 0)
                continue;
            spit_anew(w.path, damaged, left);
            random_reading(&m, &r);
            check_damage(&w, &r);
        }
        spit_anew(w.path, whole, len); /* nothing is left of all that */
        read_all(&m, &r);
        compare(&w, &m, &r);
        unlink(w.path);
        free(damaged);
        free(whole);
        model_release(&m);
    }
    world_close(&w);
}

/* ---- names of files ---- */

static void test_odd_paths(void **state)
{
    static const char *const NAMES[] = {"it's.parquet", "a*b.parquet",  "a?b.parquet",
                                        "[ab].parquet", "a\"b.parquet", "k=v/x=1/f.parquet",
                                        "\\.parquet",   "~/f.parquet",  "s3:/b/f",
                                        "ü f.parquet",  "{uuid}"};
    world w;
    model m;
    reading r;

    (void)state;
    world_open(&w);
    for (size_t i = 0; i < KAL_ARRAY_LEN(NAMES); i++) {
        char command[256];
        model_init(&m, 100 + i);
        snprintf(w.path, sizeof w.path, "%s/%s", w.directory, NAMES[i]);
        char *slash = strrchr(w.path, '/');
        *slash = '\0';
        snprintf(command, sizeof command, "mkdir -p '%s'", w.path);
        assert_int_equal(system(command), 0);
        *slash = '/';
        random_columns(&m);
        random_rows(&m, 100);
        must_write(&w, &m, KAL_COMPRESSION_ZSTD, 0);
        read_all(&m, &r);
        compare(&w, &m, &r);
        model_release(&m);
    }
    /* A pattern is a name, also where it is nobody's and something matches it. */
    kal_error err = KAL_ERROR_INIT;
    kal_parquet_scan *scan = NULL;
    r = (reading){0};
    snprintf(w.path, sizeof w.path, "%s/*.parquet", w.directory);
    assert_int_equal(open_reading(&w, &r, &scan, &err), KAL_IO);
    assert_non_null(strstr(err.message, w.path));
    world_close(&w);
}

/* ---- refusals and failures ---- */

static void test_refusals(void **state)
{
    kal_error err = KAL_ERROR_INIT;
    kal_parquet_scan *scan = NULL;
    world w;
    model m;
    reading r;

    (void)state;
    world_open(&w);
    small_model(&m, 100);
    must_write(&w, &m, KAL_COMPRESSION_NONE, 0);
    assert_int_equal(write_model(&w, &m, KAL_COMPRESSION_NONE, 0, &err), KAL_EXISTS);
    read_all(&m, &r);
    compare(&w, &m, &r); /* left alone */

    r.columns[1].name = kal_cstr("other");
    assert_int_equal(open_reading(&w, &r, &scan, &err), KAL_CORRUPT);
    assert_non_null(strstr(err.message, w.path));
    read_all(&m, &r);
    r.columns[1].file_type = r.columns[1].type = kal_type_of(KAL_TYPE_TEXT);
    assert_int_equal(open_reading(&w, &r, &scan, &err), KAL_CORRUPT);
    assert_non_null(strstr(err.message, "'noise'"));

    snprintf(w.path, sizeof w.path, "%s/none/f.parquet", w.directory);
    assert_int_equal(open_reading(&w, &r, &scan, &err), KAL_IO);
    assert_int_equal(write_model(&w, &m, KAL_COMPRESSION_NONE, 0, &err), KAL_IO);
    assert_non_null(strstr(err.message, w.path));
    snprintf(w.path, sizeof w.path, "%s", w.directory);
    assert_int_equal(open_reading(&w, &r, &scan, &err), KAL_IO);
    snprintf(w.path, sizeof w.path, "%s/pipe", w.directory);
    assert_int_equal(mkfifo(w.path, 0600), 0);
    assert_int_equal(open_reading(&w, &r, &scan, &err), KAL_IO);
    assert_null(scan);

    snprintf(w.path, sizeof w.path, "%s/new", w.directory);
    m.columns[0].name = kal_cstr("");
    assert_int_equal(write_model(&w, &m, KAL_COMPRESSION_NONE, 0, &err), KAL_INVALID);
    m.columns[0].name = kal_cstr("id");
    m.columns[0].not_null = true;
    *(kal_value *)(uintptr_t)cell(&m, 50, 0) = kal_value_null(m.columns[0].type);
    assert_int_equal(write_model(&w, &m, KAL_COMPRESSION_NONE, 0, &err), KAL_INVALID);
    assert_string_equal(err.message, "column 'id' must not be NULL");
    model_release(&m);
    world_close(&w);
}

static void test_no_library(void **state)
{
    const kal_parquet_options options = {"/nowhere/libduckdb.so", 0, 0};
    kal_error err = KAL_ERROR_INIT;
    world w;
    model m;

    (void)state;
    world_open(&w);
    kal_parquet_close(w.parquet);
    assert_int_equal(kal_parquet_open(&options, &w.parquet, NULL), KAL_OK);
    small_model(&m, 1);
    assert_int_equal(write_model(&w, &m, KAL_COMPRESSION_NONE, 0, &err), KAL_IO);
    assert_non_null(strstr(err.message, options.library_path));
    assert_int_equal(access(w.path, F_OK), -1);
    model_release(&m);
    world_close(&w);
}

/* Every size a disk could be full at: an error with the path, and never a file that reads. */
static void test_full_disk(void **state)
{
    struct rlimit before;
    struct stat info;
    world w;
    model m;

    (void)state;
    world_open(&w);
    small_model(&m, 6000);
    must_write(&w, &m, KAL_COMPRESSION_NONE, 2048);
    assert_int_equal(stat(w.path, &info), 0);
    const uint64_t whole = (uint64_t)info.st_size;
    const uint64_t limits[] = {0,          3,          4,        1000, whole / 2, whole - 2000,
                               whole - 17, whole - 16, whole - 1};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (size_t i = 0; i < KAL_ARRAY_LEN(limits); i++) {
        kal_error err = KAL_ERROR_INIT;
        const struct rlimit limited = {limits[i], before.rlim_max};
        unlink(w.path);
        setrlimit(RLIMIT_FSIZE, &limited);
        kal_status status = write_model(&w, &m, KAL_COMPRESSION_NONE, 2048, &err);
        setrlimit(RLIMIT_FSIZE, &before);
        if (status != KAL_IO || strstr(err.message, w.path) == NULL ||
            strstr(err.message, "File too large") == NULL)
            fail_msg("at %llu: %s: %s", (unsigned long long)limits[i], kal_status_name(status),
                     err.message);
        reading r;
        read_all(&m, &r);
        if (access(w.path, F_OK) == 0)
            assert_int_equal(read_whatever(&w, &r, &err), KAL_CORRUPT);
    }
    unlink(w.path);
    must_write(&w, &m, KAL_COMPRESSION_NONE, 2048);
    model_release(&m);
    world_close(&w);
}

/* An internal error of DuckDB's ends its instance for all that come later, and for no one else. */
static void test_broken_instance(void **state)
{
    kal_parquet_session broken;
    kal_error err = KAL_ERROR_INIT;
    kal_parquet_scan *scan = NULL;
    kal_value values[2];
    size_t rows = 0;
    world w;
    model m;
    reading r;

    (void)state;
    world_open(&w);
    small_model(&m, 6000);
    must_write(&w, &m, KAL_COMPRESSION_ZSTD, 0);
    read_all(&m, &r);
    assert_int_equal(open_reading(&w, &r, &scan, NULL), KAL_OK);
    assert_int_equal(kal_parquet_session_begin(w.parquet, w.path, &broken, NULL), KAL_OK);
    const kal_parquet_instance *first = w.parquet->current;
    assert_int_equal(kal_parquet_failed(&broken, "INTERNAL Error: oh\n\nlong stack", &err),
                     KAL_INTERNAL);
    assert_non_null(strstr(err.message, w.path));
    assert_null(strstr(err.message, "stack"));
    compare(&w, &m, &r); /* in another instance */
    assert_ptr_not_equal(w.parquet->current, first);
    kal_parquet_session_end(&broken);
    for (int i = 0; i < 6000; i++) /* goes on where it is */
        assert_int_equal(kal_parquet_scan_next(scan, 1, values, NULL, &rows, NULL), KAL_OK);
    assert_int_equal(rows, 1);
    kal_parquet_scan_close(scan); /* the last one closes the broken instance */
    compare(&w, &m, &r);
    model_release(&m);
    world_close(&w);
}

/* ---- cancelling, time-outs, closing early ---- */

typedef struct failing {
    model *m;
    size_t fails_after; /* rows */
    _Atomic bool *cancel;
} failing;

static kal_status next_or_fail(void *context, size_t rows_max, kal_value *values, size_t *rows_out,
                               kal_error *err)
{
    failing *f = context;
    if (f->m->next >= f->fails_after) {
        if (f->cancel == NULL)
            return kal_error_set(err, KAL_BUSY, "it's the source");
        atomic_store(f->cancel, true);
    }
    return next_rows(f->m, rows_max, values, rows_out, err);
}

static void test_ends_of_writes(void **state)
{
    _Atomic bool cancel = false;
    kal_error err = KAL_ERROR_INIT;
    kal_parquet_written written;
    world w;
    model m;

    (void)state;
    world_open(&w);
    small_model(&m, 6000);
    failing f = {&m, 3000, NULL};
    const kal_parquet_source source = {&f, next_or_fail};
    const kal_parquet_write_args args = {
        .path = w.path, .columns = m.columns, .column_count = m.column_count, .cancelled = &cancel};
    assert_int_equal(kal_parquet_write(w.parquet, &args, &source, &written, &err), KAL_BUSY);
    assert_string_equal(err.message, "it's the source");
    unlink(w.path);
    f.cancel = &cancel;
    m.next = 0;
    assert_int_equal(kal_parquet_write(w.parquet, &args, &source, &written, &err), KAL_CANCELLED);
    unlink(w.path);
    must_write(&w, &m, KAL_COMPRESSION_ZSTD, 0);
    model_release(&m);
    world_close(&w);
}

static kal_status give_answer(const void *answer, kal_error *err)
{
    kal_status status = *(const kal_status *)answer;
    return status == KAL_OK ? KAL_OK : kal_error_set(err, status, "it ends here");
}

static void test_ends_of_scans(void **state)
{
    world w;
    model m;
    reading r;

    (void)state;
    world_open(&w);
    kal_parquet_close(w.parquet);
    const kal_parquet_options options = {KAL_TEST_DUCKDB, (size_t)1 << 30, 2};
    assert_int_equal(kal_parquet_open(&options, &w.parquet, NULL), KAL_OK);
    small_model(&m, 60000);
    must_write(&w, &m, KAL_COMPRESSION_ZSTD, 0);
    read_all(&m, &r);
    kal_value values[2];
    for (int i = 0; i < 40; i++) {
        kal_status answer = KAL_OK;
        kal_error err = KAL_ERROR_INIT;
        kal_parquet_scan *scan = NULL;
        kal_budget budget;
        size_t rows = 0;
        kal_status status = KAL_OK;

        kal_budget_init(&budget, NULL, i % 4 == 3 ? 1000 : 100000000);
        const kal_parquet_scan_args args = {
            .path = w.path,
            .columns = r.columns,
            .column_count = r.column_count,
            .check = give_answer,
            .check_context = &answer,
            .budget = &budget,
        };
        assert_int_equal(kal_parquet_scan_open(w.parquet, &args, &scan, &err), KAL_OK);
        for (int k = 0; k < i * 100 && status == KAL_OK; k++)
            status = kal_parquet_scan_next(scan, 1, values, NULL, &rows, &err);
        if (i % 4 == 1)
            answer = KAL_CANCELLED;
        else if (i % 4 == 2)
            answer = KAL_TIMEOUT;
        for (int k = 0; i % 4 != 0 && status == KAL_OK && k < 60000; k++)
            status = kal_parquet_scan_next(scan, 1, values, NULL, &rows, &err);
        static const kal_status EXPECTED[] = {KAL_OK, KAL_CANCELLED, KAL_TIMEOUT, KAL_LIMIT};
        assert_int_equal(status, EXPECTED[i % 4]);
        kal_parquet_scan_close(scan);
        assert_int_equal(budget.used, 0);
    }
    model_release(&m);
    world_close(&w);
}

/* What was opened is read to the end, whatever becomes of its name. */
static void test_removed_while_read(void **state)
{
    kal_parquet_scan *scan = NULL;
    size_t rows = 0;
    size_t total = 0;
    world w;
    model m;
    reading r;
    kal_value *values = calloc(BATCH_MAX * 2, sizeof *values);

    (void)state;
    world_open(&w);
    small_model(&m, 60000);
    must_write(&w, &m, KAL_COMPRESSION_ZSTD, 0);
    read_all(&m, &r);
    assert_int_equal(open_reading(&w, &r, &scan, NULL), KAL_OK);
    unlink(w.path);
    model another;
    small_model(&another, 10);
    must_write(&w, &another, KAL_COMPRESSION_ZSTD, 0);
    do {
        assert_int_equal(kal_parquet_scan_next(scan, BATCH_MAX, values, NULL, &rows, NULL), KAL_OK);
        total += rows;
    } while (rows > 0);
    assert_int_equal(total, 60000);
    kal_parquet_scan_close(scan);
    compare(&w, &another, &r);
    free(values);
    model_release(&another);
    model_release(&m);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_files),      cmocka_unit_test(test_odd_paths),
        cmocka_unit_test(test_refusals),           cmocka_unit_test(test_no_library),
        cmocka_unit_test(test_full_disk),          cmocka_unit_test(test_broken_instance),
        cmocka_unit_test(test_ends_of_writes),     cmocka_unit_test(test_ends_of_scans),
        cmocka_unit_test(test_removed_while_read),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGXFSZ, SIG_IGN); /* a limit stands for a full disk */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
