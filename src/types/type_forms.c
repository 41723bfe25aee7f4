#include "types/type_forms.h"
#include "base/assert.h"
#include "base/cache_line.h"
#include "types/arrow.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { INDEX_SLOTS = 32768 }; /* of each direction back: far more than types there can be */

typedef _Atomic(const kal_type_forms *) forms_slot;

/* Written once each, by whoever comes first. */
static forms_slot plain[KAL_TYPE_TAG_MAX + 1];
static forms_slot decimals[KAL_DECIMAL_PRECISION_MAX + 1][KAL_DECIMAL_PRECISION_MAX + 1];
static forms_slot embeddings[KAL_EMBEDDING_DIM_MAX + 1];
/* Open addressing by the texts; never removed from. */
static forms_slot by_arrow[INDEX_SLOTS];
static forms_slot by_duckdb[INDEX_SLOTS];

static _Atomic size_t capacity = KAL_TYPE_CACHE_SIZE_DEFAULT;
static _Atomic size_t interned; /* types with parameters */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic bool ready; /* keep_plain() is done */

/* ---- counting ---- */

/* One thread's counts; only it writes them. */
typedef struct tally {
    struct tally *next;
    _Atomic uint64_t hits;
    _Atomic uint64_t misses;
} tally;

static pthread_mutex_t tallies_lock = PTHREAD_MUTEX_INITIALIZER; /* protects the next two */
static tally *tallies;
static tally ended; /* of threads that are gone */
static pthread_key_t tally_key;
/* The model that costs no call: this is never part of a library that is loaded later. */
static _Thread_local tally *own __attribute__((tls_model("initial-exec")));

static void end_tally(void *of_thread)
{
    tally *t = of_thread;
    pthread_mutex_lock(&tallies_lock);
    for (tally **at = &tallies; *at != NULL; at = &(*at)->next) {
        if (*at != t)
            continue;
        *at = t->next;
        break;
    }
    ended.hits += t->hits;
    ended.misses += t->misses;
    pthread_mutex_unlock(&tallies_lock);
    free(t);
}

static tally *new_tally(void)
{
    tally *t = calloc(1, sizeof *t); /* owned by the thread: end_tally */
    if (t == NULL)
        kal_die("out of memory: counts of a thread");
    pthread_mutex_lock(&tallies_lock);
    t->next = tallies;
    tallies = t;
    pthread_mutex_unlock(&tallies_lock);
    pthread_setspecific(tally_key, t);
    own = t;
    return t;
}

static inline void add_one(_Atomic uint64_t *counter)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + 1, memory_order_relaxed);
}

static void count(bool hit)
{
    tally *t = own != NULL ? own : new_tally();
    add_one(hit ? &t->hits : &t->misses);
}

/* ---- texts as numbers ---- */

/* A text of at most 16 bytes is its length, its first and its last 8 bytes, which overlap; none of
 * ours is longer. */
enum { WORDS_BYTES_MAX = 16 };

static inline kal_text_words words_of(const char *text, size_t len)
{
    const uint8_t *bytes = (const uint8_t *)text;
    if (len >= 8)
        return (kal_text_words){kal_load_le64(bytes), kal_load_le64(bytes + len - 8), len};
    if (len >= 4)
        return (kal_text_words){kal_load_le32(bytes), kal_load_le32(bytes + len - 4), len};
    if (len == 0)
        return (kal_text_words){0};
    return (kal_text_words){bytes[0], (uint64_t)bytes[len / 2] << 8 | bytes[len - 1], len};
}

static inline bool same_words(const kal_text_words *a, const kal_text_words *b)
{
    return a->head == b->head && a->tail == b->tail && a->len == b->len;
}

static inline uint32_t hash_words(const kal_text_words *w)
{
    return (uint32_t)(((w->tail * 3 ^ w->head ^ w->len << 56) * UINT64_C(0x9E3779B97F4A7C15)) >>
                      48) %
           INDEX_SLOTS;
}

/* ---- computing ---- */

static const char *const ARROW_FORMATS[KAL_TYPE_TAG_MAX + 1] = {
    [KAL_TYPE_NULL] = "n",           [KAL_TYPE_BOOLEAN] = "b",      [KAL_TYPE_INT] = "i",
    [KAL_TYPE_BIGINT] = "l",         [KAL_TYPE_DOUBLE] = "g",       [KAL_TYPE_FLOAT] = "f",
    [KAL_TYPE_TEXT] = "u",           [KAL_TYPE_TIMESTAMP] = "tsu:", [KAL_TYPE_DATE] = "tdD",
    [KAL_TYPE_DATETIME] = "tsu:UTC", [KAL_TYPE_TIME] = "ttu",       [KAL_TYPE_JSON] = "u",
    [KAL_TYPE_BYTES] = "z",          [KAL_TYPE_EMBEDDING] = "+w:",  [KAL_TYPE_UUID] = "w:16",
    [KAL_TYPE_DECIMAL] = "d:",       [KAL_TYPE_SMALLINT] = "s",     [KAL_TYPE_FILE] = "u",
};

static void arrow_format(kal_type type, char out[KAL_TYPE_NAME_BYTES])
{
    const char *base = ARROW_FORMATS[type.tag];
    if (type.tag == KAL_TYPE_EMBEDDING)
        snprintf(out, KAL_TYPE_NAME_BYTES, "%s%u", base, type.dim);
    else if (type.tag == KAL_TYPE_DECIMAL)
        snprintf(out, KAL_TYPE_NAME_BYTES, "%s%u,%u", base, type.precision, type.scale);
    else
        snprintf(out, KAL_TYPE_NAME_BYTES, "%s", base);
}

static char *append_metadata_text(char *p, const char *text)
{
    int32_t len = (int32_t)strlen(text);
    memcpy(p, &len, sizeof len);
    memcpy(p + sizeof len, text, (size_t)len);
    return p + sizeof len + len;
}

/* int32 count, then length and bytes of key and value, native-endian. */
static uint32_t arrow_metadata(const char *sql, char *out)
{
    const int32_t pairs = 1;
    memcpy(out, &pairs, sizeof pairs);
    char *p = append_metadata_text(out + sizeof pairs, KAL_ARROW_TYPE_KEY);
    return (uint32_t)(append_metadata_text(p, sql) - out);
}

static uint16_t reply_json(kal_type type, char *out)
{
    const char *name = kal_type_reply_name((kal_type_tag)type.tag);
    int len = 0;
    if (type.tag == KAL_TYPE_EMBEDDING)
        len = snprintf(out, KAL_REPLY_JSON_BYTES, "{\"%s\":%u}", name, type.dim);
    else if (type.tag == KAL_TYPE_DECIMAL)
        len = snprintf(out, KAL_REPLY_JSON_BYTES, "{\"%s\":{\"precision\":%u,\"scale\":%u}}", name,
                       type.precision, type.scale);
    else
        len = snprintf(out, KAL_REPLY_JSON_BYTES, "\"%s\"", name);
    KAL_ASSERT(len > 0 && len < KAL_REPLY_JSON_BYTES);
    return (uint16_t)len;
}

static uint16_t arrow_json(kal_type type, char *out)
{
    kal_buf text; /* owned */
    kal_buf_init(&text, NULL);
    kal_arrow_type_json(type, &text);
    KAL_ASSERT(text.len < KAL_ARROW_JSON_BYTES);
    memcpy(out, text.ptr, text.len);
    uint16_t len = (uint16_t)text.len;
    kal_buf_release(&text);
    return len;
}

static void compute(kal_type type, kal_type_forms *out)
{
    *out = (kal_type_forms){.type = type};
    kal_type_name(type, out->sql);
    kal_type_duckdb_name(type, out->duckdb);
    arrow_format(type, out->arrow_format);
    out->arrow_metadata_bytes = arrow_metadata(out->sql, out->arrow_metadata);
    out->arrow_json_len = arrow_json(type, out->arrow_json);
    out->reply_json_len = reply_json(type, out->reply_json);
    out->sql_words = words_of(out->sql, strlen(out->sql));
    out->duckdb_words = words_of(out->duckdb, strlen(out->duckdb));
}

/* ---- recognising texts ---- */

/* Where the SQL form stands in metadata of our making. */
enum { METADATA_HEAD = 3 * sizeof(int32_t) + sizeof KAL_ARROW_TYPE_KEY - 1 };

/* The length of the value in metadata that begins as ours does; negative: it does not. */
static inline int32_t metadata_value(const char *metadata)
{
    enum { KEY_BYTES = sizeof KAL_ARROW_TYPE_KEY - 1 };
    static const char KEY[] = KAL_ARROW_TYPE_KEY;
    const uint8_t *p = (const uint8_t *)metadata;
    const uint8_t *key = (const uint8_t *)KEY;

    _Static_assert(KEY_BYTES >= 8 && KEY_BYTES <= 16, "two words that overlap");
    /* One after the other: there is no more of it than it says. */
    if (kal_load_le32(p) != 1 || kal_load_le32(p + 4) != KEY_BYTES)
        return -1;
    if (kal_load_le64(p + 8) != kal_load_le64(key) ||
        kal_load_le64(p + KEY_BYTES) != kal_load_le64(key + KEY_BYTES - 8))
        return -1;
    int32_t value_bytes = (int32_t)kal_load_le32(p + 8 + KEY_BYTES);
    return value_bytes <= WORDS_BYTES_MAX ? value_bytes : -1;
}

static void index_put(forms_slot *index, uint32_t at, const kal_type_forms *forms)
{
    const kal_type_forms *free_slot = NULL;
    while (!atomic_compare_exchange_strong(&index[at], &free_slot, forms)) {
        at = (at + 1) % INDEX_SLOTS;
        free_slot = NULL;
    }
}

/* FILE is JSON in DuckDB, by name too. */
static bool is_read_back(kal_type type)
{
    return type.tag != KAL_TYPE_FILE && type.tag != KAL_TYPE_NULL;
}

static void make_findable(const kal_type_forms *forms)
{
    if (forms->type.tag != KAL_TYPE_NULL)
        index_put(by_arrow, hash_words(&forms->sql_words), forms);
    if (is_read_back(forms->type) && forms->duckdb_words.len <= WORDS_BYTES_MAX)
        index_put(by_duckdb, hash_words(&forms->duckdb_words), forms);
}

/* ---- keeping ---- */

/* False: somebody was faster. */
static bool keep(forms_slot *slot, kal_type type)
{
    const kal_type_forms *known = NULL;
    kal_type_forms *made = kal_cache_lines_alloc(sizeof *made, "type"); /* kept for ever */
    compute(type, made);
    if (!atomic_compare_exchange_strong(slot, &known, made)) {
        free(made);
        return false;
    }
    make_findable(made);
    return true;
}

static void keep_plain(void)
{
    if (pthread_key_create(&tally_key, end_tally) != 0)
        kal_die("no key for counts of threads");
    for (unsigned tag = 0; tag <= KAL_TYPE_TAG_MAX; tag++) {
        if (tag != KAL_TYPE_DECIMAL && tag != KAL_TYPE_EMBEDDING)
            keep(&plain[tag], kal_type_of((kal_type_tag)tag));
    }
    atomic_store_explicit(&ready, true, memory_order_release);
}

static inline void get_ready(void)
{
    if (KAL_UNLIKELY(!atomic_load_explicit(&ready, memory_order_acquire)))
        pthread_once(&once, keep_plain);
}

static inline forms_slot *slot_of(kal_type type)
{
    if (type.tag == KAL_TYPE_DECIMAL)
        return &decimals[type.precision][type.scale];
    if (type.tag == KAL_TYPE_EMBEDDING)
        return &embeddings[type.dim];
    return &plain[type.tag];
}

/* Takes a place for one more type with parameters, if there is one. */
static bool take_place(void)
{
    size_t now = atomic_load(&interned);
    while (now < atomic_load(&capacity)) {
        if (atomic_compare_exchange_weak(&interned, &now, now + 1))
            return true;
    }
    return false;
}

/* The quick ways below make no call, so that they need no frame: whatever is the first time (of the
 * process, the thread, the type), or is not recognised, goes the slow way, which starts over. */

static __attribute__((noinline)) const kal_type_forms *meet(kal_type type, kal_type_forms *scratch)
{
    forms_slot *slot = slot_of(type);
    KAL_ASSERT(type.tag == KAL_TYPE_NULL || kal_type_valid(type));
    get_ready();
    const kal_type_forms *known = atomic_load_explicit(slot, memory_order_acquire);
    count(known != NULL);
    if (known != NULL) /* plain ones, at the first call */
        return known;
    if (!take_place()) {
        compute(type, scratch);
        return scratch;
    }
    if (!keep(slot, type))
        atomic_fetch_sub(&interned, 1);
    return atomic_load_explicit(slot, memory_order_acquire);
}

/* The table's places are for any parameters a kal_type can name, valid or not. */
static bool has_place(kal_type type)
{
    return type.tag <= KAL_TYPE_TAG_MAX && type.precision <= KAL_DECIMAL_PRECISION_MAX &&
           type.scale <= KAL_DECIMAL_PRECISION_MAX && type.dim <= KAL_EMBEDDING_DIM_MAX;
}

const kal_type_forms *kal_type_forms_of(kal_type type, kal_type_forms *scratch)
{
    KAL_ASSERT(has_place(type));
    const kal_type_forms *known = atomic_load_explicit(slot_of(type), memory_order_acquire);
    if (KAL_UNLIKELY(known == NULL || own == NULL))
        return meet(type, scratch);
    add_one(&own->hits);
    return known;
}

/* NULL: none has these words. */
static inline const kal_type_forms *find_sql(const kal_text_words *words)
{
    const kal_type_forms *forms = NULL;
    for (uint32_t at = hash_words(words);; at = (at + 1) % INDEX_SLOTS) {
        forms = atomic_load_explicit(&by_arrow[at], memory_order_acquire);
        if (forms == NULL || same_words(&forms->sql_words, words))
            return forms;
    }
}

static inline const kal_type_forms *find_duckdb(const kal_text_words *words)
{
    const kal_type_forms *forms = NULL;
    for (uint32_t at = hash_words(words);; at = (at + 1) % INDEX_SLOTS) {
        forms = atomic_load_explicit(&by_duckdb[at], memory_order_acquire);
        if (forms == NULL || same_words(&forms->duckdb_words, words))
            return forms;
    }
}

/* Short texts: a loop beats a call. */
static inline bool same_text(const char *a, const char *b)
{
    while (*a == *b && *a != '\0')
        a++, b++;
    return *a == *b;
}

/* NULL: not ours. */
static inline const kal_type_forms *recognise_arrow(const char *format, const char *metadata)
{
    int32_t len = metadata == NULL ? -1 : metadata_value(metadata);
    if (len < 0)
        return NULL;
    kal_text_words words = words_of(metadata + METADATA_HEAD, (size_t)len);
    const kal_type_forms *forms = find_sql(&words);
    if (forms == NULL || format == forms->arrow_format) /* as we export it */
        return forms;
    return same_text(forms->arrow_format, format) ? forms : NULL;
}

static __attribute__((noinline)) bool of_arrow_slowly(const char *format, const char *metadata,
                                                      kal_type *type_out)
{
    get_ready();
    const kal_type_forms *forms = recognise_arrow(format, metadata);
    if (metadata != NULL && metadata_value(metadata) >= 0)
        count(forms != NULL);
    if (forms != NULL)
        *type_out = forms->type;
    return forms != NULL;
}

bool kal_type_of_arrow(const char *format, const char *metadata, kal_type *type_out)
{
    const kal_type_forms *forms = recognise_arrow(format, metadata);
    if (KAL_UNLIKELY(forms == NULL || own == NULL))
        return of_arrow_slowly(format, metadata, type_out);
    add_one(&own->hits);
    *type_out = forms->type;
    return true;
}

/* A name that is not kept: as it is written in SQL, where DuckDB's names are aliases. */
static bool parse_duckdb(kal_bytes name, kal_type *type_out)
{
    unsigned dim = 0;
    int end = 0;
    char text[KAL_TYPE_NAME_BYTES];

    if (name.len >= sizeof text)
        return false;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    if (sscanf(text, "FLOAT[%u]%n", &dim, &end) == 1 && end == (int)name.len) {
        *type_out = kal_type_embedding(dim);
        return kal_type_valid(*type_out);
    }
    return kal_type_parse(name, type_out, NULL) == KAL_OK;
}

/* NULL: no name that is kept. */
static inline const kal_type_forms *recognise_duckdb(kal_bytes name)
{
    if (name.len == 0 || name.len > WORDS_BYTES_MAX)
        return NULL;
    kal_text_words words = words_of((const char *)name.ptr, name.len);
    return find_duckdb(&words);
}

static __attribute__((noinline)) bool of_duckdb_slowly(kal_bytes name, kal_type *type_out)
{
    if (name.len == 0 || name.len >= KAL_TYPE_NAME_BYTES)
        return false;
    get_ready();
    const kal_type_forms *forms = recognise_duckdb(name);
    count(forms != NULL);
    if (forms == NULL)
        return parse_duckdb(name, type_out);
    *type_out = forms->type;
    return true;
}

bool kal_type_of_duckdb(kal_bytes name, kal_type *type_out)
{
    const kal_type_forms *forms = recognise_duckdb(name);
    if (KAL_UNLIKELY(forms == NULL || own == NULL))
        return of_duckdb_slowly(name, type_out);
    add_one(&own->hits);
    *type_out = forms->type;
    return true;
}

/* ---- settings, telling ---- */

void kal_type_cache_count(bool hit)
{
    get_ready();
    count(hit);
}

void kal_type_cache_set_size(size_t size)
{
    atomic_store(&capacity, size);
}

kal_type_cache_stats kal_type_cache_get_stats(void)
{
    kal_type_cache_stats stats = {.capacity = atomic_load(&capacity)};

    get_ready();
    pthread_mutex_lock(&tallies_lock);
    stats.hits = ended.hits;
    stats.misses = ended.misses;
    for (const tally *t = tallies; t != NULL; t = t->next) {
        stats.hits += atomic_load_explicit(&t->hits, memory_order_relaxed);
        stats.misses += atomic_load_explicit(&t->misses, memory_order_relaxed);
    }
    pthread_mutex_unlock(&tallies_lock);
    stats.size = KAL_TYPE_COUNT - 2 + atomic_load(&interned);
    return stats;
}
