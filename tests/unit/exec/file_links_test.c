/*
 * Links to files of segments.
 *
 * Goal: a file is known only when it was the same before and after it was checked, and only as long
 * as it stays that; links of files that are gone are taken away, and no others. Method: files in a
 * directory that are written, replaced, cut, changed and removed.
 */
#include "exec/file_links.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct world {
    char directory[64];
    char links_dir[80];
    char target[96];
    kal_file_links *links;
    kal_arena arena;
    kal_error err;
} world;

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int open_world(void **state)
{
    world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    w->err = KAL_ERROR_INIT;
    snprintf(w->directory, sizeof w->directory, "/tmp/kalamdb-links-XXXXXX");
    assert_non_null(mkdtemp(w->directory));
    snprintf(w->links_dir, sizeof w->links_dir, "%s/links", w->directory);
    snprintf(w->target, sizeof w->target, "%s/target", w->directory);
    assert_int_equal(mkdir(w->links_dir, 0700), 0);
    write_file(w->target, "the file of a segment");
    kal_arena_init(&w->arena, NULL);
    w->links = kal_file_links_open(w->links_dir);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;
    char command[128];

    kal_file_links_close(w->links);
    kal_arena_release(&w->arena);
    snprintf(command, sizeof command, "rm -r %s", w->directory);
    assert_int_equal(system(command), 0);
    free(w);
    return 0;
}

static bool find(world *w, uint32_t segment_id, const char **path, kal_file_identity *identity)
{
    return kal_file_links_find(w->links, segment_id, &w->arena, path, identity);
}

/* What a statement does. False: it had to check the file. */
static bool use(world *w, uint32_t segment_id, bool is_checked)
{
    const char *path = NULL;
    kal_file_identity before;

    if (find(w, segment_id, &path, &before))
        return true;
    assert_int_equal(kal_file_links_add(w->links, segment_id, path, w->target,
                                        is_checked ? &before : NULL, &w->err),
                     KAL_OK);
    return false;
}

static void make_known(world *w, uint32_t segment_id)
{
    for (int i = 0; i < 3 && !use(w, segment_id, true); i++)
        ;
    assert_true(use(w, segment_id, true));
}

static void is_known_while_it_stays_the_same(void **state)
{
    world *w = *state;
    char other[112];
    char command[640];

    assert_false(use(w, 7, true)); /* makes the link */
    assert_false(use(w, 7, true)); /* the same before and after */
    assert_true(use(w, 7, true));
    assert_true(use(w, 7, true));

    /* Another file with the same contents. */
    snprintf(other, sizeof other, "%s.other", w->target);
    write_file(other, "the file of a segment");
    assert_int_equal(rename(other, w->target), 0);
    assert_false(use(w, 7, true));
    make_known(w, 7);

    assert_int_equal(truncate(w->target, 3), 0);
    assert_false(use(w, 7, true));
    make_known(w, 7);

    /* Other bytes, while size and time of writing stay. */
    snprintf(command, sizeof command,
             "touch -r %s %s.time && printf x | dd of=%s conv=notrunc status=none && touch -r "
             "%s.time %s",
             w->target, w->target, w->target, w->target, w->target);
    usleep(20000); /* a tick of the file system's clock */
    assert_int_equal(system(command), 0);
    assert_false(use(w, 7, true));
    make_known(w, 7);

    assert_int_equal(unlink(w->target), 0);
    assert_false(use(w, 7, true));
    assert_false(use(w, 7, true)); /* nothing is no file, however often */
    assert_false(use(w, 7, true));
}

static void is_not_known_what_was_not_checked(void **state)
{
    world *w = *state;
    const char *path = NULL;
    kal_file_identity before;
    char other[112];

    for (int i = 0; i < 4; i++)
        assert_false(use(w, 7, false));

    /* Replaced while it was checked. */
    assert_false(find(w, 7, &path, &before));
    snprintf(other, sizeof other, "%s.other", w->target);
    write_file(other, "another file");
    assert_int_equal(rename(other, w->target), 0);
    assert_int_equal(kal_file_links_add(w->links, 7, path, w->target, &before, &w->err), KAL_OK);
    assert_false(find(w, 7, &path, &before));
}

/* Numbers far from each other may share a place. */
static void segments_are_told_apart(void **state)
{
    world *w = *state;

    make_known(w, 7);
    for (uint32_t step = 1; step != 0; step <<= 1)
        assert_false(use(w, 7 + step, true));
    for (uint32_t step = 1; step != 0; step <<= 1) {
        make_known(w, 7 + step);
        make_known(w, 7);
    }
}

static void links_of_files_that_are_gone_go(void **state)
{
    world *w = *state;
    const char *path = NULL;
    const char *gone = NULL;
    kal_file_identity identity;
    char other[112];
    struct stat info;

    make_known(w, 7);
    assert_true(find(w, 7, &path, &identity));
    snprintf(other, sizeof other, "%s.other", w->target);
    write_file(other, "another file");
    assert_false(find(w, 8, &gone, &identity));
    assert_int_equal(kal_file_links_add(w->links, 8, gone, other, &identity, &w->err), KAL_OK);
    kal_file_links_sweep(w->links);
    assert_int_equal(lstat(gone, &info), 0);
    assert_int_equal(unlink(other), 0);
    kal_file_links_sweep(w->links);
    assert_int_not_equal(lstat(gone, &info), 0);
    assert_int_equal(lstat(path, &info), 0);
    assert_true(use(w, 7, true));

    /* It comes back. */
    write_file(other, "another file");
    assert_int_equal(kal_file_links_add(w->links, 8, gone, other, NULL, &w->err), KAL_OK);
    assert_int_equal(stat(gone, &info), 0);
}

static void a_link_that_cannot_be_made_is_an_error(void **state)
{
    world *w = *state;

    assert_int_equal(
        kal_file_links_add(w->links, 7, "/tmp/kalamdb-links-none/x", w->target, NULL, &w->err),
        KAL_IO);
    assert_non_null(strstr(w->err.message, "cannot make '/tmp/kalamdb-links-none/x'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_known_while_it_stays_the_same, open_world, close_world),
        cmocka_unit_test_setup_teardown(is_not_known_what_was_not_checked, open_world, close_world),
        cmocka_unit_test_setup_teardown(segments_are_told_apart, open_world, close_world),
        cmocka_unit_test_setup_teardown(links_of_files_that_are_gone_go, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_link_that_cannot_be_made_is_an_error, open_world,
                                        close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
