#include "base/files.h"
#include "unit/base/seed.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct fixture {
    char folder[64];
    char path[256]; /* of the name asked for last */
} fixture;

static int set_up(void **state)
{
    static fixture f;
    snprintf(f.folder, sizeof f.folder, "kal_files_XXXXXX");
    *state = &f;
    return mkdtemp(f.folder) == NULL ? -1 : 0;
}

static const char *in_folder(fixture *f, const char *name)
{
    snprintf(f->path, sizeof f->path, "%s/%s", f->folder, name);
    return f->path;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    DIR *dir = opendir(f->folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        remove(in_folder(f, entry->d_name)); /* "." and ".." refuse */
    closedir(dir);
    return rmdir(f->folder);
}

static size_t count_names(const fixture *f)
{
    size_t count = 0;
    DIR *dir = opendir(f->folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.' ? 1 : 0;
    closedir(dir);
    return count;
}

static void assert_file(const kal_files *files, const char *path, kal_bytes expected)
{
    kal_buf content;
    kal_buf_init(&content, NULL);
    assert_int_equal(kal_files_read(files, path, &content, NULL), KAL_OK);
    assert_true(kal_bytes_equal(kal_buf_bytes(&content), expected));
    kal_buf_release(&content);
}

/* What both backends promise, on a path whose folder exists. */
static void check_promises(const kal_files *files, const char *path)
{
    kal_buf out;
    kal_error err = KAL_ERROR_INIT;
    uint8_t large[100000];
    memset(large, 'x', sizeof large);
    kal_buf_init(&out, NULL);
    assert_int_equal(kal_files_read(files, path, &out, &err), KAL_NOT_FOUND);
    assert_int_equal(kal_files_remove(files, path, &err), KAL_OK);
    assert_int_equal(kal_files_replace(files, path, KAL_STR("old"), 0600, &err), KAL_OK);
    assert_file(files, path, KAL_STR("old"));
    assert_int_equal(kal_files_replace(files, path, kal_bytes_of(large, sizeof large), 0600, &err),
                     KAL_OK);
    assert_file(files, path, kal_bytes_of(large, sizeof large));

    kal_budget budget;
    kal_budget_init(&budget, NULL, 50000);
    kal_buf bounded;
    kal_buf_init(&bounded, &budget);
    kal_buf_append_cstr(&bounded, "kept");
    assert_int_equal(kal_files_read(files, path, &bounded, &err), KAL_LIMIT);
    assert_int_equal(bounded.len, 4);
    assert_true(budget.used <= 50000);
    kal_buf_release(&bounded);

    assert_int_equal(kal_files_replace(files, path, (kal_bytes){0}, 0600, &err), KAL_OK);
    kal_buf_append_cstr(&out, "before");
    assert_int_equal(kal_files_read(files, path, &out, &err), KAL_OK); /* appends nothing */
    assert_int_equal(out.len, 6);
    assert_int_equal(kal_files_remove(files, path, &err), KAL_OK);
    assert_int_equal(kal_files_read(files, path, &out, &err), KAL_NOT_FOUND);
    kal_buf_release(&out);

    int first = -1;
    int second = -1;
    assert_int_equal(kal_files_lock(files, path, &first, &err), KAL_OK);
    assert_int_equal(kal_files_lock(files, path, &second, &err), KAL_BUSY);
    assert_non_null(strstr(err.message, path));
    kal_files_unlock(files, first);
    assert_int_equal(kal_files_lock(files, path, &second, &err), KAL_OK);
    kal_files_unlock(files, second);
}

/* Goal: both backends keep the same promises. */
static void test_system_promises(void **state)
{
    fixture *f = *state;
    check_promises(kal_files_system(), in_folder(f, "a"));
}

static void test_memory_promises(void **state)
{
    kal_files *files = kal_files_mem(1, 0);
    (void)state;
    check_promises(files, "folder/a");
    kal_files_close(files);
    kal_files_close(NULL);
}

/* Goal: replacing keeps no temporary, sets the mode, and never follows half a write. Method: a
 * reader that holds the old file open still sees all of it. */
static void test_replace(void **state)
{
    fixture *f = *state;
    const kal_files *files = kal_files_system();
    struct stat info;
    char old[4] = "";
    const char *path = in_folder(f, "token");
    assert_int_equal(kal_files_replace(files, path, KAL_STR("old"), 0600, NULL), KAL_OK);
    FILE *reader = fopen(path, "rb");
    assert_non_null(reader);
    assert_int_equal(kal_files_replace(files, path, KAL_STR("newer"), 0600, NULL), KAL_OK);
    assert_int_equal(fread(old, 1, 3, reader), 3);
    assert_memory_equal(old, "old", 3);
    fclose(reader);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(count_names(f), 1);
}

/* Goal: what the system refuses is told in words, and leaves no temporary. Method: a target that is
 * a directory, a missing parent, reading a directory. */
static void test_system_refusals(void **state)
{
    fixture *f = *state;
    const kal_files *files = kal_files_system();
    kal_error err = KAL_ERROR_INIT;
    kal_buf out;
    kal_buf_init(&out, NULL);
    assert_int_equal(kal_files_make_dir(files, in_folder(f, "dir"), &err), KAL_OK);
    assert_int_equal(kal_files_replace(files, f->path, KAL_STR("x"), 0600, &err), KAL_IO);
    assert_int_equal(count_names(f), 1);
    assert_int_equal(kal_files_read(files, f->path, &out, &err), KAL_IO);
    assert_non_null(strstr(err.message, f->path));
    assert_int_equal(kal_files_replace(files, in_folder(f, "none/x"), KAL_STR("x"), 0600, &err),
                     KAL_IO);
    assert_non_null(strstr(err.message, "No such file"));
    assert_int_equal(kal_files_read(files, in_folder(f, "none/x"), &out, &err), KAL_NOT_FOUND);
    int lock = 0;
    assert_int_equal(kal_files_lock(files, in_folder(f, "none/x"), &lock, &err), KAL_IO);
    assert_int_equal(lock, -1);
    kal_buf_release(&out);
}

/* Goal: directories are made with their parents, privately, and again without harm; a file in the
 * way is refused. */
static void test_make_dir(void **state)
{
    fixture *f = *state;
    const kal_files *files = kal_files_system();
    kal_error err = KAL_ERROR_INIT;
    struct stat info;
    assert_int_equal(kal_files_make_dir(files, in_folder(f, "p//q/r/"), &err), KAL_OK);
    assert_int_equal(kal_files_make_dir(files, in_folder(f, "p/q/r"), &err), KAL_OK);
    assert_int_equal(stat(in_folder(f, "p/q/r"), &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(kal_files_replace(files, in_folder(f, "file"), KAL_STR(""), 0600, &err),
                     KAL_OK);
    assert_int_equal(kal_files_make_dir(files, in_folder(f, "file"), &err), KAL_IO);
    assert_int_equal(kal_files_make_dir(files, in_folder(f, "file/x"), &err), KAL_IO);
    assert_int_equal(kal_files_make_dir(files, "", &err), KAL_IO);
    assert_int_equal(kal_files_make_dir(files, "/", &err), KAL_OK);
    assert_int_equal(rmdir(in_folder(f, "p/q/r")), 0);
    assert_int_equal(rmdir(in_folder(f, "p/q")), 0);
    assert_int_equal(rmdir(in_folder(f, "p")), 0);
}

/* Goal: another process is kept out, and a process that ends lets go. Method: a child takes the
 * lock and exits without unlocking. */
static void test_path_holds(void **state)
{
    (void)state;
    assert_true(kal_path_holds("/a/b", "/a/b"));
    assert_true(kal_path_holds("/a/b", "/a/b/c"));
    assert_true(kal_path_holds("/", "/a"));
    assert_false(kal_path_holds("/a/b", "/a/bc"));
    assert_false(kal_path_holds("/a/b", "/a"));
}

static void test_empty_dir(void **state)
{
    fixture *f = *state;
    const kal_files *files = kal_files_system();
    kal_error err = KAL_ERROR_INIT;
    char inner[128];

    snprintf(inner, sizeof inner, "%s/inner", f->folder);
    assert_int_equal(kal_files_empty_dir(inner, &err), KAL_IO);
    assert_int_equal(kal_files_make_dir(files, inner, &err), KAL_OK);
    assert_int_equal(kal_files_make_dir(files, in_folder(f, "inner/dir"), &err), KAL_OK);
    assert_int_equal(kal_files_replace(files, in_folder(f, "inner/file"), KAL_STR("x"), 0600, &err),
                     KAL_OK);
    assert_int_equal(kal_files_replace(files, in_folder(f, "kept"), KAL_STR("x"), 0600, &err),
                     KAL_OK);
    assert_int_equal(symlink("../kept", in_folder(f, "inner/link")), 0);
    assert_int_equal(symlink(".", in_folder(f, "inner/link_to_dir")), 0);
    assert_int_equal(kal_files_empty_dir(inner, &err), KAL_OK);
    assert_file(files, in_folder(f, "kept"), KAL_STR("x"));
    assert_int_equal(rmdir(in_folder(f, "inner/dir")), 0);
    assert_int_equal(rmdir(inner), 0); /* nothing else is left in it */
}

static void test_lock_of_another_process(void **state)
{
    fixture *f = *state;
    const kal_files *files = kal_files_system();
    const char *path = in_folder(f, "LOCK");
    int taken[2];
    int finish[2];
    char byte = 0;
    int lock = -1;
    assert_int_equal(pipe(taken), 0);
    assert_int_equal(pipe(finish), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool held = kal_files_lock(files, path, &lock, NULL) == KAL_OK;
        held = write(taken[1], held ? "y" : "n", 1) == 1 && held;
        held = read(finish[0], &byte, 1) == 1 && held;
        _exit(held ? 0 : 1);
    }
    assert_true(pid > 0);
    assert_int_equal(read(taken[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(kal_files_lock(files, path, &lock, NULL), KAL_BUSY);
    assert_int_equal(write(finish[1], "x", 1), 1);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(kal_files_lock(files, path, &lock, NULL), KAL_OK);
    kal_files_unlock(files, lock);
    for (size_t i = 0; i < 2; i++) {
        close(taken[i]);
        close(finish[i]);
    }
}

typedef struct outcome {
    unsigned failed;
    unsigned kept_old;
    unsigned took_new;
} outcome;

/* One run of replaces under failures; after each, the file is the old or the new one in full. */
static outcome run_failing(uint64_t seed)
{
    kal_files *files = kal_files_mem(seed, 300);
    outcome o = {0};
    char current[16] = "";
    bool exists = false;
    for (int i = 0; i < 200; i++) {
        char next[16];
        kal_buf seen;
        kal_buf_init(&seen, NULL);
        snprintf(next, sizeof next, "content %d", i);
        kal_status status = kal_files_replace(files, "f", kal_cstr(next), 0600, NULL);
        assert_true(status == KAL_OK || status == KAL_IO);
        kal_status read = KAL_IO;
        while (read == KAL_IO)
            read = kal_files_read(files, "f", &seen, NULL);
        bool is_new = read == KAL_OK && kal_bytes_equal(kal_buf_bytes(&seen), kal_cstr(next));
        bool is_old =
            exists ? read == KAL_OK && kal_bytes_equal(kal_buf_bytes(&seen), kal_cstr(current))
                   : read == KAL_NOT_FOUND;
        assert_true(is_new || (status == KAL_IO && is_old));
        o.failed += status == KAL_IO ? 1 : 0;
        o.kept_old += status == KAL_IO && is_old ? 1 : 0;
        o.took_new += status == KAL_IO && is_new ? 1 : 0;
        exists = exists || is_new;
        if (is_new)
            memcpy(current, next, sizeof next);
        kal_buf_release(&seen);
    }
    kal_files_close(files);
    return o;
}

/* Goal: the memory backend fails as a disk does, and by its seed. Method: many failing replaces;
 * both outcomes of a failure occur, never a mixture, and the same seed repeats the run. */
static void test_memory_failures(void **state)
{
    kal_rng rng;
    (void)state;
    uint64_t seed = kal_test_seed(&rng);
    outcome first = run_failing(seed);
    outcome again = run_failing(seed);
    assert_memory_equal(&first, &again, sizeof first);
    assert_in_range(first.failed, 30, 90); /* 60 expected */
    assert_true(first.kept_old > 0);
    assert_true(first.took_new > 0);

    kal_files *broken = kal_files_mem(seed, 1000);
    kal_error err = KAL_ERROR_INIT;
    assert_int_equal(kal_files_make_dir(broken, "d", &err), KAL_IO);
    assert_int_equal(kal_files_replace(broken, "f", KAL_STR("x"), 0600, &err), KAL_IO);
    assert_non_null(strstr(err.message, "cannot write 'f'"));
    kal_files_close(broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_system_promises, set_up, tear_down),
        cmocka_unit_test(test_memory_promises),
        cmocka_unit_test_setup_teardown(test_replace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_system_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_make_dir, set_up, tear_down),
        cmocka_unit_test(test_path_holds),
        cmocka_unit_test_setup_teardown(test_empty_dir, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock_of_another_process, set_up, tear_down),
        cmocka_unit_test(test_memory_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
