/*
 * The object store over a bucket, against a server that verifies signatures by itself and fails
 * when told to (tests/e2e/s3_server.mjs, run as a program); texts of SQL and JSON about storages;
 * XML.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "base/thread.h"
#include "storage/object_store_s3.h"
#include "storage/probe.h"
#include "storage/s3_xml.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ACCESS_KEY "AKIDEXAMPLE"
#define SECRET     "the/secret+of=tests"

/* ---- the server ---- */

typedef struct world {
    pid_t server;
    FILE *orders; /* to the server */
    FILE *answers;
    unsigned port;
    char endpoint[64];
    kal_s3_client *client;
    kal_object_store *store;
} world;

static void answer(world *w, char line[512])
{
    assert_non_null(fgets(line, 512, w->answers));
}

static void start_server(world *w)
{
    int to[2];
    int from[2];
    char line[512];

    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    w->server = fork();
    assert_true(w->server >= 0);
    if (w->server == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execlp("node", "node", KAL_TEST_ROOT "/tests/e2e/s3_server.mjs", (char *)NULL);
        _exit(1);
    }
    close(to[0]);
    close(from[1]);
    w->orders = fdopen(to[1], "w");
    w->answers = fdopen(from[0], "r");
    answer(w, line);
    assert_int_equal(sscanf(line, "{\"port\":%u}", &w->port), 1);
    snprintf(w->endpoint, sizeof w->endpoint, "http://127.0.0.1:%u", w->port);
}

/* An order; the numbers that the server answers. */
typedef struct state {
    unsigned requests;
    unsigned uploads;
    unsigned faults;
} state;

static state order(world *w, const char *json)
{
    char line[512];
    state s = {0};

    fprintf(w->orders, "%s\n", json);
    fflush(w->orders);
    answer(w, line);
    assert_int_equal(sscanf(line, "{\"requests\":%u,\"uploads\":%u,\"faults\":%u}", &s.requests,
                            &s.uploads, &s.faults),
                     3);
    return s;
}

static kal_s3_target target_of(const world *w, const char *secret)
{
    return (kal_s3_target){
        .location = {.endpoint = kal_cstr(w->endpoint),
                     .region = KAL_STR("us-east-1"),
                     .bucket = KAL_STR("bucket"),
                     .prefix = KAL_STR("some/prefix")},
        .credentials = {.access_key_id = KAL_STR(ACCESS_KEY),
                        .secret_access_key = kal_cstr(secret)},
    };
}

static void world_open(world *w)
{
    const kal_s3_client_options options = {
        .clock = kal_clock_system(), .connect_ms = 2000, .stall_ms = 1000, .pause_ms = 4};

    *w = (world){0};
    start_server(w);
    w->client = kal_s3_client_open(&options);
    const kal_s3_target target = target_of(w, SECRET);
    w->store = kal_object_store_open_s3(w->client, &target, KAL_S3_PART_BYTES_MIN);
}

static void world_close(world *w)
{
    int ended = 0;

    kal_object_store_close(w->store);
    kal_s3_client_close(w->client);
    fclose(w->orders);
    fclose(w->answers);
    assert_int_equal(waitpid(w->server, &ended, 0), w->server);
    assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
}

static void assert_no_secret(const kal_error *err)
{
    assert_null(strstr(err->message, SECRET));
    assert_null(strstr(err->message, ACCESS_KEY));
    assert_null(strstr(err->hint, SECRET));
    assert_null(strstr(err->hint, ACCESS_KEY));
}

/* The error names the object, the bucket and what the server said. */
static void assert_error(const kal_error *err, const char *object, const char *reason)
{
    assert_int_equal(err->status, KAL_IO);
    if (strstr(err->message, object) == NULL || strstr(err->message, "'bucket'") == NULL ||
        strstr(err->message, reason) == NULL)
        fail_msg("%s", err->message);
    assert_no_secret(err);
}

/* ---- objects ---- */

enum { KEY_COUNT = 6, CONTENT_MAX = 3000 };
static const char *const KEYS[KEY_COUNT] = {
    "a", "a.b", "%41/u=x +&", "b/c.tmp", "b/cc/\xc3\xa4'*:@;", "z/z/z/z"};

static void check_get(world *w, kal_rng *rng, const char *key, kal_bytes whole)
{
    uint64_t offset = kal_rng_below(rng, CONTENT_MAX + 10);
    size_t len = kal_rng_below(rng, CONTENT_MAX + 10);
    size_t start = offset < whole.len ? (size_t)offset : whole.len;
    size_t rest = whole.len - start;
    uint64_t size = 0;
    kal_status expected = whole.ptr == NULL ? KAL_NOT_FOUND : KAL_OK;
    kal_error err = KAL_ERROR_INIT;
    kal_buf out; /* owned */

    kal_buf_init(&out, NULL);
    kal_buf_append_cstr(&out, "before");
    kal_status status = kal_object_get(w->store, kal_cstr(key), offset, len, &out, &err);
    if (status != expected)
        fail_msg("%s: %s", key, err.message);
    size_t got = whole.ptr == NULL ? 0 : (len < rest ? len : rest);
    assert_int_equal(out.len, 6 + got);
    if (got > 0)
        assert_memory_equal(out.ptr + 6, whole.ptr + start, got);
    assert_int_equal(kal_object_size(w->store, kal_cstr(key), &size, NULL), expected);
    assert_int_equal(size, whole.len);
    kal_buf_release(&out);
}

static void check_list(world *w, const char *prefix, const kal_bytes *model)
{
    kal_object *objects = NULL;
    size_t count = 0;
    size_t expected = 0;
    kal_arena arena; /* owned */

    for (size_t k = 0; k < KEY_COUNT; k++)
        expected += model[k].ptr != NULL && strncmp(KEYS[k], prefix, strlen(prefix)) == 0;
    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_object_list(w->store, kal_cstr(prefix), &arena, &objects, &count, NULL),
                     KAL_OK);
    assert_int_equal(count, expected);
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < KEY_COUNT && !kal_bytes_equal(kal_cstr(KEYS[k]), objects[i].key))
            k++;
        assert_true(k < KEY_COUNT);
        assert_int_equal(objects[i].size, model[k].len);
    }
    kal_arena_release(&arena);
}

/* Goal: a bucket answers as a model, with keys of all kinds, listings of many pages, and a foreign
 * object beside the storage's prefix. */
static void test_against_model(void **s)
{
    static const char *const PREFIXES[] = {"", "a", "a/", "b/", "b/cc/\xc3\xa4", "zz", "%4"};
    kal_bytes model[KEY_COUNT] = {{0}};
    const char *given = getenv("KAL_TEST_SEED");
    uint64_t seed = given == NULL ? 1 : strtoull(given, NULL, 10);
    kal_rng rng;
    world w;

    (void)s;
    print_message("seed %llu\n", (unsigned long long)seed);
    kal_rng_seed(&rng, seed);
    world_open(&w);
    order(&w, "{\"set\":{\"pageSize\":2},\"put\":{\"bucket\":\"bucket\",\"key\":\"some/prefixes\","
              "\"size\":3}}");
    for (int i = 0; i < 400; i++) {
        size_t k = kal_rng_below(&rng, KEY_COUNT);
        kal_bytes key = kal_cstr(KEYS[k]);
        switch (kal_rng_below(&rng, 5)) {
        case 0: {
            size_t len = kal_rng_below(&rng, CONTENT_MAX);
            uint8_t *bytes = malloc(len + 1);
            kal_rng_fill(&rng, bytes, len);
            assert_int_equal(kal_object_put(w.store, key, kal_bytes_of(bytes, len), NULL), KAL_OK);
            free((void *)(uintptr_t)model[k].ptr);
            model[k] = kal_bytes_of(bytes, len);
            break;
        }
        case 1:
            assert_int_equal(kal_object_delete(w.store, key, NULL), KAL_OK);
            free((void *)(uintptr_t)model[k].ptr);
            model[k] = (kal_bytes){0};
            break;
        case 2:
            check_list(&w, PREFIXES[kal_rng_below(&rng, KAL_ARRAY_LEN(PREFIXES))], model);
            break;
        default:
            check_get(&w, &rng, KEYS[k], model[k]);
            break;
        }
    }
    for (size_t k = 0; k < KEY_COUNT; k++)
        free((void *)(uintptr_t)model[k].ptr);
    world_close(&w);
}

static void test_probe(void **s)
{
    world w;
    kal_storage_probe p;

    (void)s;
    world_open(&w);
    for (int extended = 0; extended <= 1; extended++) {
        kal_storage_probe_run(w.store, kal_clock_system(), extended == 1, &p);
        assert_string_equal(p.error.message, "");
        assert_string_equal(kal_storage_probe_status(&p), "healthy");
        assert_false(p.has_space);
    }
    world_close(&w);
}

/* ---- failures ---- */

static kal_status get_all(world *w, const char *key, kal_buf *out, kal_error *err)
{
    kal_buf_clear(out);
    return kal_object_get(w->store, kal_cstr(key), 0, 1000, out, err);
}

/* Goal: what may pass is tried again, and the answer is whole. */
static void test_passing_failures(void **s)
{
    static const char *const FAULTS[] = {
        "{\"fault\":{\"kind\":\"status\",\"status\":503,\"code\":\"SlowDown\",\"times\":2}}",
        "{\"fault\":{\"kind\":\"status\",\"status\":500,\"times\":3}}",
        "{\"fault\":{\"kind\":\"status\",\"status\":429,\"times\":1}}",
        "{\"fault\":{\"kind\":\"cut\",\"times\":2}}",
        "{\"fault\":{\"kind\":\"truncate\",\"times\":2}}",
        "{\"fault\":{\"kind\":\"lose\",\"times\":1}}",
    };
    kal_buf out; /* owned */
    world w;

    (void)s;
    world_open(&w);
    kal_buf_init(&out, NULL);
    for (size_t i = 0; i < KAL_ARRAY_LEN(FAULTS); i++) {
        order(&w, FAULTS[i]);
        assert_int_equal(kal_object_put(w.store, KAL_STR("k"), KAL_STR("0123456789"), NULL),
                         KAL_OK);
        /* What is left of a fault that PUT does not take, or took. */
        order(&w, FAULTS[i]);
        assert_int_equal(get_all(&w, "k", &out, NULL), KAL_OK);
        assert_true(kal_bytes_equal(kal_buf_bytes(&out), KAL_STR("0123456789")));
        assert_int_equal(order(&w, "{\"set\":{\"faults\":[]}}").faults, 0);
    }
    assert_true(kal_s3_client_counts(w.client).retries >= 12);
    assert_int_equal(kal_s3_client_counts(w.client).failures, 0);
    kal_buf_release(&out);
    world_close(&w);
}

/* Goal: what does not pass ends after few attempts, with an error that says what and where. */
static void test_lasting_failures(void **s)
{
    kal_error err = KAL_ERROR_INIT;
    kal_buf out; /* owned */
    world w;

    (void)s;
    world_open(&w);
    kal_buf_init(&out, NULL);
    assert_int_equal(kal_object_put(w.store, KAL_STR("k"), KAL_STR("0123456789"), NULL), KAL_OK);

    unsigned before = order(&w, "{\"fault\":{\"kind\":\"status\",\"status\":503,\"code\":"
                                "\"SlowDown\",\"times\":100}}")
                          .requests;
    assert_int_equal(get_all(&w, "k", &out, &err), KAL_IO);
    assert_error(&err, "'k'", "SlowDown (HTTP 503)");
    assert_int_equal(out.len, 0);
    assert_int_equal(order(&w, "{\"set\":{\"faults\":[]}}").requests, before + 4);

    order(&w, "{\"fault\":{\"kind\":\"slow\",\"times\":100}}");
    if (get_all(&w, "k", &out, &err) != KAL_OK) /* slow, but not for long */
        fail_msg("%s", err.message);
    order(&w, "{\"set\":{\"faults\":[]},\"fault\":{\"kind\":\"hold\",\"times\":100}}");
    assert_int_equal(get_all(&w, "k", &out, &err), KAL_IO);
    assert_error(&err, "'k'", "bytes/sec");
    order(&w, "{\"set\":{\"faults\":[]},\"release\":true}");

    before = order(&w, "{\"set\":{\"secret\":\"another\"}}").requests;
    assert_int_equal(get_all(&w, "k", &out, &err), KAL_IO);
    assert_error(&err, "'k'", "SignatureDoesNotMatch (HTTP 403)");
    assert_int_equal(kal_object_delete(w.store, KAL_STR("k"), &err), KAL_IO);
    assert_error(&err, "'k'", "SignatureDoesNotMatch (HTTP 403)");
    assert_int_equal(order(&w, "{\"set\":{\"secret\":\"" SECRET "\"}}").requests, before + 2);
    assert_int_equal(get_all(&w, "k", &out, &err), KAL_OK);

    kal_s3_target target = target_of(&w, SECRET);
    target.location.bucket = KAL_STR("no-bucket");
    kal_object_store *other = kal_object_store_open_s3(w.client, &target, 0);
    assert_int_equal(kal_object_get(other, KAL_STR("k"), 0, 10, &out, &err), KAL_IO);
    assert_non_null(strstr(err.message, "NoSuchBucket"));
    assert_int_equal(kal_object_delete(other, KAL_STR("k"), &err), KAL_IO);
    kal_object_store_close(other);
    target = target_of(&w, SECRET);
    target.location.endpoint = KAL_STR("http://127.0.0.1:1");
    other = kal_object_store_open_s3(w.client, &target, 0);
    assert_int_equal(kal_object_get(other, KAL_STR("k"), 0, 10, &out, &err), KAL_IO);
    assert_error(&err, "'k'", "http://127.0.0.1:1");
    kal_object_store_close(other);
    kal_buf_release(&out);
    world_close(&w);
}

/* Goal: more than was asked for is never taken. */
static void test_budget(void **s)
{
    kal_error err = KAL_ERROR_INIT;
    kal_budget budget;
    kal_buf out; /* owned */
    world w;

    (void)s;
    world_open(&w);
    order(&w, "{\"put\":{\"bucket\":\"bucket\",\"key\":\"some/prefix/big\",\"size\":3000000}}");
    kal_budget_init(&budget, NULL, 1000000);
    kal_buf_init(&out, &budget);
    assert_int_equal(kal_object_get(w.store, KAL_STR("big"), 0, 3000000, &out, &err), KAL_LIMIT);
    kal_buf_release(&out);
    world_close(&w);
}

static kal_status say_no(void *context, kal_error *err)
{
    _Atomic int *left = context;
    return --*left > 0 ? KAL_OK : kal_error_set(err, KAL_TIMEOUT, "the time is over");
}

/* Goal: whoever waits for an answer that does not come can be told to stop. */
static void test_poll(void **s)
{
    _Atomic int left = 3;
    const kal_object_poll poll = {say_no, &left};
    kal_error err = KAL_ERROR_INIT;
    kal_buf out; /* owned */
    world w;

    (void)s;
    world_open(&w);
    kal_buf_init(&out, NULL);
    order(&w, "{\"fault\":{\"kind\":\"hold\"}}");
    kal_object_store_watch(w.store, &poll);
    assert_int_equal(get_all(&w, "k", &out, &err), KAL_TIMEOUT);
    assert_string_equal(err.message, "the time is over");
    kal_object_store_watch(w.store, NULL);
    order(&w, "{\"release\":true}");
    assert_int_equal(get_all(&w, "k", &out, &err), KAL_NOT_FOUND);
    /* The same asked by the client of all requests, also before the first byte. */
    const kal_s3_client_options options = {.clock = kal_clock_system(), .poll = &poll};
    const kal_s3_target target = target_of(&w, SECRET);
    kal_s3_client *client = kal_s3_client_open(&options);
    kal_object_store *store = kal_object_store_open_s3(client, &target, 0);
    assert_int_equal(kal_object_put(store, KAL_STR("k"), KAL_STR("x"), &err), KAL_TIMEOUT);
    kal_object_store_close(store);
    kal_s3_client_close(client);
    kal_buf_release(&out);
    world_close(&w);
}

/* ---- in parts ---- */

enum { BIG = 11 * 1024 * 1024 + 17 };

static void make_file(char path[64], uint8_t **bytes_out)
{
    kal_rng rng;
    uint8_t *bytes = malloc(BIG);

    snprintf(path, 64, "/tmp/kal-s3-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    kal_rng_seed(&rng, 7);
    kal_rng_fill(&rng, bytes, BIG);
    assert_int_equal(write(fd, bytes, BIG), BIG);
    close(fd);
    *bytes_out = bytes;
}

static void test_parts(void **s)
{
    static const char *const PASSING[] = {
        "{\"state\":true}",
        "{\"fault\":{\"match\":\"partNumber=2\",\"kind\":\"status\",\"status\":503,\"times\":2}}",
        "{\"fault\":{\"match\":\"partNumber=3\",\"kind\":\"cut\"}}",
        "{\"fault\":{\"match\":\"uploads\",\"kind\":\"cut\"}}",
        "{\"fault\":{\"method\":\"POST\",\"match\":\"uploadId\",\"kind\":\"lose\"}}",
    };
    static const char *const LASTING[] = {
        "{\"fault\":{\"match\":\"partNumber=2\",\"kind\":\"status\",\"status\":503,\"times\":4}}",
        "{\"fault\":{\"match\":\"partNumber=3\",\"kind\":\"status\",\"status\":403,\"code\":"
        "\"AccessDenied\"}}",
        "{\"fault\":{\"method\":\"POST\",\"match\":\"uploadId\",\"kind\":\"late\"}}",
    };
    kal_error err = KAL_ERROR_INIT;
    char path[64];
    uint8_t *bytes = NULL; /* owned */
    kal_buf out;           /* owned */
    world w;

    (void)s;
    world_open(&w);
    make_file(path, &bytes);
    kal_buf_init(&out, NULL);
    for (size_t i = 0; i < KAL_ARRAY_LEN(PASSING); i++) {
        order(&w, PASSING[i]);
        assert_int_equal(kal_object_put_file(w.store, KAL_STR("t/big"), path, &err), KAL_OK);
        kal_buf_clear(&out);
        assert_int_equal(kal_object_get(w.store, KAL_STR("t/big"), 0, BIG + 1, &out, &err), KAL_OK);
        assert_int_equal(out.len, BIG);
        assert_memory_equal(out.ptr, bytes, BIG);
        assert_int_equal(order(&w, "{\"state\":true}").faults, 0);
        assert_int_equal(kal_object_delete(w.store, KAL_STR("t/big"), NULL), KAL_OK);
    }
    for (size_t i = 0; i < KAL_ARRAY_LEN(LASTING); i++) {
        uint64_t size = 0;
        order(&w, LASTING[i]);
        assert_int_equal(kal_object_put_file(w.store, KAL_STR("t/big"), path, &err), KAL_IO);
        assert_error(&err, "'t/big'", "HTTP");
        assert_int_equal(kal_object_size(w.store, KAL_STR("t/big"), &size, NULL), KAL_NOT_FOUND);
    }
    assert_int_equal(order(&w, "{\"state\":true}").uploads, 0);
    assert_int_equal(kal_object_put_file(w.store, KAL_STR("t/no"), "/nowhere/file", &err), KAL_IO);
    kal_buf_release(&out);
    free(bytes);
    unlink(path);
    world_close(&w);
}

/* Goal: what a crash left of an upload goes with the object. Method: a part fails, and so does
 * taking the upload back. */
static void test_left_uploads(void **s)
{
    char path[64];
    uint8_t *bytes = NULL; /* owned */
    world w;

    (void)s;
    world_open(&w);
    make_file(path, &bytes);
    order(&w, "{\"fault\":{\"match\":\"partNumber=2\",\"kind\":\"status\",\"status\":400}}");
    order(&w, "{\"fault\":{\"method\":\"DELETE\",\"kind\":\"status\",\"status\":400}}");
    assert_int_equal(kal_object_put_file(w.store, KAL_STR("t/big"), path, NULL), KAL_IO);
    assert_int_equal(order(&w, "{\"state\":true}").uploads, 1);
    assert_int_equal(kal_object_delete(w.store, KAL_STR("t/bi"), NULL), KAL_OK);
    assert_int_equal(order(&w, "{\"state\":true}").uploads, 1); /* another object's */
    assert_int_equal(kal_object_delete(w.store, KAL_STR("t/big"), NULL), KAL_OK);
    assert_int_equal(order(&w, "{\"state\":true}").uploads, 0);
    free(bytes);
    unlink(path);
    world_close(&w);
}

/* ---- threads ---- */

typedef struct worker {
    world *w;
    unsigned number;
    unsigned failures;
} worker;

static void put_get_delete(void *context)
{
    worker *me = context;
    char key[32];
    kal_buf out; /* owned */

    kal_buf_init(&out, NULL);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "t/%u", me->number);
        kal_buf_clear(&out);
        if (kal_object_put(me->w->store, kal_cstr(key), kal_cstr(key), NULL) != KAL_OK ||
            kal_object_get(me->w->store, kal_cstr(key), 0, 100, &out, NULL) != KAL_OK ||
            !kal_bytes_equal(kal_buf_bytes(&out), kal_cstr(key)) ||
            kal_object_delete(me->w->store, kal_cstr(key), NULL) != KAL_OK)
            me->failures++;
    }
    kal_buf_release(&out);
}

static void test_threads(void **s)
{
    worker workers[4];
    pthread_t threads[4];
    world w;

    (void)s;
    world_open(&w);
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (worker){.w = &w, .number = i};
        assert_int_equal(
            kal_thread_start(&threads[i], "objects", 0, put_get_delete, &workers[i], NULL), KAL_OK);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].failures, 0);
    }
    world_close(&w);
}

/* ---- texts ---- */

static void test_buckets(void **s)
{
    static const char *const BAD[] = {"",     "s3://",  "ab",         "s3:///x",    "Upper-case",
                                      "-abc", "abc/..", "abc//x",     "abc/a b",    "abc/.tmp-x",
                                      "a_bc", "s3://a", "s3://abc/%", "https://x/y"};
    kal_s3_location l = {0};

    (void)s;
    assert_int_equal(kal_s3_parse_bucket(KAL_STR("s3://my-bucket/a/b=1/"), &l, NULL), KAL_OK);
    assert_true(kal_bytes_equal(l.bucket, KAL_STR("my-bucket")));
    assert_true(kal_bytes_equal(l.prefix, KAL_STR("a/b=1")));
    assert_int_equal(kal_s3_parse_bucket(KAL_STR("my.bucket"), &l, NULL), KAL_OK);
    assert_int_equal(l.prefix.len, 0);
    for (size_t i = 0; i < KAL_ARRAY_LEN(BAD); i++)
        assert_int_equal(kal_s3_parse_bucket(kal_cstr(BAD[i]), &l, NULL), KAL_INVALID);
}

static void test_endpoints(void **s)
{
    static const char *const GOOD[][2] = {
        {"https://S3.Example.com", "https://s3.example.com"},
        {"http://localhost:80/", "http://localhost"},
        {"https://host:443", "https://host"},
        {"http://[::1]:9000", "http://[::1]:9000"},
        {"http://10.0.0.1:9000", "http://10.0.0.1:9000"},
    };
    static const char *const BAD[] = {"",
                                      "s3.example.com",
                                      "ftp://host",
                                      "file:///etc/passwd",
                                      "http://",
                                      "http://user:pw@host",
                                      "http://host/path",
                                      "http://host?x=1",
                                      "http://host:0",
                                      "http://host:65536",
                                      "http://host:",
                                      "http://[::1",
                                      "http://a b"};
    kal_s3_location l = {.region = KAL_STR("eu-west-1")};
    kal_arena arena; /* owned */

    (void)s;
    kal_arena_init(&arena, NULL);
    for (size_t i = 0; i < KAL_ARRAY_LEN(GOOD); i++) {
        assert_int_equal(kal_s3_parse_endpoint(kal_cstr(GOOD[i][0]), &arena, &l, NULL), KAL_OK);
        assert_true(kal_bytes_equal(l.endpoint, kal_cstr(GOOD[i][1])));
    }
    for (size_t i = 0; i < KAL_ARRAY_LEN(BAD); i++)
        assert_int_equal(kal_s3_parse_endpoint(kal_cstr(BAD[i]), &arena, &l, NULL), KAL_INVALID);
    assert_int_equal(kal_s3_parse_endpoint((kal_bytes){0}, &arena, &l, NULL), KAL_OK);
    assert_true(kal_bytes_equal(l.endpoint, KAL_STR("https://s3.eu-west-1.amazonaws.com")));
    kal_arena_release(&arena);
}

static void test_credentials(void **s)
{
    static const char *const BAD[][2] = {
        {"", "not valid JSON"},
        {"{\"access_key_id\":\"hush\",", "not valid JSON"},
        {"[\"hush\"]", "must be a JSON object"},
        {"{\"access_key_id\":\"a\"}", "'secret_access_key' of CREDENTIALS is missing"},
        {"{\"secret_access_key\":\"hush\"}", "'access_key_id' of CREDENTIALS is missing"},
        {"{\"access_key_id\":\"a\",\"secret_access_key\":7}", "'secret_access_key'"},
        {"{\"access_key_id\":\"a\",\"secret_access_key\":\"hush hush\"}", "without blanks"},
        {"{\"access_key_id\":\"a\\r\\nx\",\"secret_access_key\":\"hush\"}", "'access_key_id'"},
        {"{\"access_key_id\":\"a\",\"secret_access_key\":\"hush\",\"secret\":\"hush\"}", "unknown"},
    };
    kal_s3_credentials c;
    kal_arena arena; /* owned */

    (void)s;
    kal_arena_init(&arena, NULL);
    for (size_t i = 0; i < KAL_ARRAY_LEN(BAD); i++) {
        kal_error err = KAL_ERROR_INIT;
        assert_int_equal(kal_s3_parse_credentials(kal_cstr(BAD[i][0]), &arena, &c, &err),
                         KAL_INVALID);
        if (strstr(err.message, BAD[i][1]) == NULL || strstr(err.message, "hush") != NULL)
            fail_msg("%s", err.message);
    }
    assert_int_equal(
        kal_s3_parse_credentials(KAL_STR("{\"access_key_id\":\"a\",\"secret_access_key\":\"b/+=\","
                                         "\"session_token\":\"t\",\"endpoint\":\"http://h\"}"),
                                 &arena, &c, NULL),
        KAL_OK);
    assert_true(kal_bytes_equal(c.signing.secret_access_key, KAL_STR("b/+=")));
    assert_true(kal_bytes_equal(c.signing.session_token, KAL_STR("t")));
    assert_true(kal_bytes_equal(c.endpoint, KAL_STR("http://h")));
    kal_arena_release(&arena);
}

static kal_s3_location at(const char *endpoint, const char *bucket, const char *prefix)
{
    return (kal_s3_location){
        .endpoint = kal_cstr(endpoint), .bucket = kal_cstr(bucket), .prefix = kal_cstr(prefix)};
}

static void test_overlap(void **s)
{
    const struct {
        kal_s3_location a;
        kal_s3_location b;
        bool overlap;
    } CASES[] = {
        {at("http://h", "b", ""), at("http://h", "b", "x"), true},
        {at("http://h", "b", "x"), at("http://h", "b", "x"), true},
        {at("http://h", "b", "x"), at("http://h", "b", "x/y"), true},
        {at("http://h", "b", "x"), at("http://h", "b", "xy"), false},
        {at("http://h", "b", "x"), at("http://h", "c", "x"), false},
        {at("http://h", "b", "x"), at("http://g", "b", "x"), false},
        {at("https://s3.a.amazonaws.com", "b", ""), at("https://s3.b.amazonaws.com", "b", ""),
         true},
    };

    (void)s;
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        assert_int_equal(kal_s3_overlap(&CASES[i].a, &CASES[i].b), CASES[i].overlap);
        assert_int_equal(kal_s3_overlap(&CASES[i].b, &CASES[i].a), CASES[i].overlap);
    }
}

/* ---- XML ---- */

static void test_xml(void **s)
{
    static const char *const BAD[] = {
        "",
        "no xml",
        "<a>",
        "<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>k</Key><Size>1</Size>"
        "</Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<!DOCTYPE x [<!ENTITY e 'aaaa'>]><ListBucketResult>&e;</ListBucketResult>",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a>"
        "</a></a></a></a></a></a></a></a>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%4</Key><Size>1</Size>"
        "</Contents></ListBucketResult>",
    };
    char code[65];
    kal_s3_page page;
    kal_bytes id;
    kal_arena arena; /* owned */

    (void)s;
    kal_arena_init(&arena, NULL);
    for (size_t i = 0; i < KAL_ARRAY_LEN(BAD); i++) {
        kal_error err = KAL_ERROR_INIT;
        assert_int_equal(kal_s3_xml_page(kal_cstr(BAD[i]), &arena, &page, &err), KAL_IO);
        assert_true(err.message[0] != '\0');
    }
    assert_int_equal(
        kal_s3_xml_page(KAL_STR("<x:ListBucketResult xmlns:x='y'><x:EncodingType>url"
                                "</x:EncodingType><x:Contents><x:Key>a%2Fb+c%C3%A4</x:Key>"
                                "<x:Size>7</x:Size></x:Contents></x:ListBucketResult>"),
                        &arena, &page, NULL),
        KAL_OK);
    assert_int_equal(page.count, 1);
    assert_true(kal_bytes_equal(page.keys[0], KAL_STR("a/b c\xc3\xa4")));
    assert_int_equal(page.sizes[0], 7);
    assert_null(page.upload_ids);
    assert_int_equal(kal_s3_xml_upload_id(KAL_STR("<InitiateMultipartUploadResult><UploadId>a&amp;b"
                                                  "</UploadId></InitiateMultipartUploadResult>"),
                                          &arena, &id, NULL),
                     KAL_OK);
    assert_true(kal_bytes_equal(id, KAL_STR("a&b")));
    kal_s3_xml_error_code(KAL_STR(" \n<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>"),
                          code);
    assert_string_equal(code, "NoSuchKey");
    kal_s3_xml_error_code(KAL_STR("<Error><Code>No such\nkey</Code></Error>"), code);
    assert_string_equal(code, "");
    kal_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_passing_failures),
        cmocka_unit_test(test_lasting_failures),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_poll),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_left_uploads),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_xml),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
