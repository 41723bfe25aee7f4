/*
 * standalone_main.c: drives a fuzz target without libFuzzer, as a quick test: every file of the
 * corpus as it is, then seeded mutations of them.
 *
 *   fuzz_NAME CORPUS_FOLDER     KAL_FUZZ_RUNS mutations (20000), seed KAL_TEST_SEED (fixed)
 *   fuzz_NAME FILE              that file alone: to look at a crash
 *
 * On a crash the input that did it is left in fuzz_NAME.crash, in the current folder.
 */
#include "base/assert.h"
#include "base/buf.h"
#include "base/files.h"
#include "base/rng.h"
#include "base/vec.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Of the sanitizers' run time; absent without them. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

enum { INPUT_BYTES_MAX = 64 * 1024, EDITS_MAX = 6 };

typedef KAL_VEC(kal_buf) kal_corpus;

static struct {
    const uint8_t *ptr; /* a copy on the heap of exactly its size: overruns show under ASan */
    size_t len;
    char crash_path[256];
} current;

static void save_current(void)
{
    FILE *file = fopen(current.crash_path, "wb");
    if (file == NULL)
        return;
    fwrite(current.ptr, 1, current.len, file);
    fclose(file);
    fprintf(stderr, "the input is in %s\n", current.crash_path);
}

static void on_abort(int signal_number)
{
    save_current();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void run_one(kal_bytes input)
{
    uint8_t *copy = malloc(input.len);
    if (copy == NULL && input.len > 0)
        kal_die("out of memory: %zu bytes", input.len);
    if (input.len > 0)
        memcpy(copy, input.ptr, input.len);
    current.ptr = copy;
    current.len = input.len;
    LLVMFuzzerTestOneInput(copy, input.len);
    free(copy);
}

static void read_file(const char *path, kal_corpus *corpus)
{
    kal_buf content;
    kal_error err = KAL_ERROR_INIT;
    kal_buf_init(&content, NULL);
    if (kal_files_read(kal_files_system(), path, &content, &err) != KAL_OK)
        kal_die("cannot read '%s': %s", path, err.message);
    kal_vec_push(corpus, content);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Sorted by name: the order decides what a seed means. */
static void read_corpus(const char *folder, kal_corpus *corpus)
{
    struct dirent **names = NULL;
    int count = scandir(folder, &names, NULL, by_name);
    if (count < 0)
        kal_die("cannot read corpus '%s'", folder);
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            read_file(path, corpus);
        free(names[i]);
    }
    free(names);
}

static kal_bytes pick(kal_rng *rng, const kal_corpus *corpus)
{
    return kal_buf_bytes(&corpus->items[kal_rng_below(rng, corpus->len)]);
}

/* Puts bytes at a place of the input, moving what follows. */
static void insert(kal_buf *input, size_t at, kal_bytes piece)
{
    if (input->len + piece.len > INPUT_BYTES_MAX)
        return;
    kal_buf tail;
    kal_buf_init(&tail, NULL);
    kal_buf_append(&tail, input->ptr + at, input->len - at);
    kal_buf_truncate(input, at);
    kal_buf_append_bytes(input, piece);
    kal_buf_append_bytes(input, kal_buf_bytes(&tail));
    kal_buf_release(&tail);
}

static kal_bytes slice(kal_rng *rng, kal_bytes from)
{
    size_t start = (size_t)kal_rng_below(rng, from.len + 1);
    size_t len = (size_t)kal_rng_below(rng, from.len - start + 1);
    return kal_bytes_of(from.ptr + start, len);
}

/* Bytes that mean something to one format or another, and the edges of integers. */
static uint8_t odd_byte(kal_rng *rng)
{
    static const uint8_t ODD[] =
        "\0\x01\x7F\x80\xFF\xC0\xED\xF4\"'\\{}[]():;,.-+*/%<>=?@#$_ \t\r\n0Ee";
    if (kal_rng_chance(rng, 1, 2))
        return ODD[kal_rng_below(rng, sizeof ODD - 1)];
    return (uint8_t)kal_rng_next(rng);
}

static void edit(kal_rng *rng, const kal_corpus *corpus, kal_buf *input)
{
    size_t at = (size_t)kal_rng_below(rng, input->len + 1);
    uint8_t byte = odd_byte(rng);
    switch (kal_rng_below(rng, 6)) {
    case 0: /* flip a bit */
        if (at < input->len)
            input->ptr[at] ^= (uint8_t)(1u << kal_rng_below(rng, 8));
        break;
    case 1: /* replace a byte */
        if (at < input->len)
            input->ptr[at] = byte;
        break;
    case 2: /* insert a byte, sometimes many times */
        for (uint64_t i = kal_rng_chance(rng, 1, 8) ? kal_rng_below(rng, 100) : 1; i-- > 0;)
            insert(input, at, kal_bytes_of(&byte, 1));
        break;
    case 3: { /* cut a piece out of the middle */
        size_t len = (size_t)kal_rng_below(rng, input->len - at + 1);
        memmove(input->ptr + at, input->ptr + at + len, input->len - at - len);
        kal_buf_truncate(input, input->len - len);
        break;
    }
    case 4: /* splice in a piece of any corpus file */
        insert(input, at, slice(rng, pick(rng, corpus)));
        break;
    default: /* cut the end off, rarely */
        if (kal_rng_chance(rng, 1, 4))
            kal_buf_truncate(input, at);
        break;
    }
}

static void run_mutations(const kal_corpus *corpus, uint64_t runs, uint64_t seed)
{
    kal_buf input;
    kal_rng rng;
    kal_buf_init(&input, NULL);
    kal_rng_seed(&rng, seed);
    for (uint64_t i = 0; i < runs; i++) {
        kal_buf_clear(&input);
        kal_buf_reserve(&input, 1); /* an empty input still has an address */
        kal_buf_append_bytes(&input, pick(&rng, corpus));
        for (uint64_t edits = 1 + kal_rng_below(&rng, EDITS_MAX); edits-- > 0;)
            edit(&rng, corpus, &input);
        run_one(kal_buf_bytes(&input));
    }
    kal_buf_release(&input);
}

static uint64_t number_from_env(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text == NULL ? fallback : strtoull(text, NULL, 10);
}

static void install_crash_report(const char *program)
{
    const char *slash = strrchr(program, '/');
    snprintf(current.crash_path, sizeof current.crash_path, "%s.crash",
             slash == NULL ? program : slash + 1);
    signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(save_current);
}

int main(int argc, char **argv)
{
    kal_corpus corpus = {0};
    struct stat info;
    if (argc != 2 || stat(argv[1], &info) != 0)
        kal_die("usage: %s CORPUS_FOLDER | FILE", argv[0]);
    install_crash_report(argv[0]);
    if (S_ISDIR(info.st_mode))
        read_corpus(argv[1], &corpus);
    else
        read_file(argv[1], &corpus);
    if (corpus.len == 0)
        kal_die("corpus '%s' is empty", argv[1]);

    for (size_t i = 0; i < corpus.len; i++)
        run_one(kal_buf_bytes(&corpus.items[i]));
    uint64_t runs = S_ISDIR(info.st_mode) ? number_from_env("KAL_FUZZ_RUNS", 20000) : 0;
    uint64_t seed = number_from_env("KAL_TEST_SEED", 20261123);
    printf("%zu files, then %" PRIu64 " mutations with KAL_TEST_SEED=%" PRIu64 "\n", corpus.len,
           runs, seed);
    fflush(stdout);
    run_mutations(&corpus, runs, seed);
    for (size_t i = 0; i < corpus.len; i++)
        kal_buf_release(&corpus.items[i]);
    kal_vec_release(&corpus);
    return 0;
}
