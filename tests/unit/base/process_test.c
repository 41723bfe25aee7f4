/* Goal: what process.h says changes as the process does. Method: open files, start threads, touch
 * memory, write files, burn a processor, and look at the differences. */
#include "base/clock.h"
#include "base/process.h"
#include "base/thread.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1024 * 1024 };

static kal_process_info read_process(void)
{
    kal_process_info info;
    kal_error err = KAL_ERROR_INIT;
    assert_int_equal(kal_process_read(&info, &err), KAL_OK);
    assert_int_equal(info.open_files, info.open_regular + info.open_directories +
                                          info.open_sockets + info.open_other);
    return info;
}

static void descriptors_are_counted_by_kind(void **state)
{
    char path[] = "/tmp/kalamdb-process-XXXXXX";
    int sockets[2];
    int pipes[2];

    (void)state;
    kal_process_info before = read_process();
    int regular = mkstemp(path);
    int directory = open("/", O_RDONLY | O_DIRECTORY);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    assert_int_equal(pipe(pipes), 0);
    kal_process_info after = read_process();
    assert_int_equal(after.open_regular - before.open_regular, 1);
    assert_int_equal(after.open_directories - before.open_directories, 1);
    assert_int_equal(after.open_sockets - before.open_sockets, 2);
    assert_int_equal(after.open_other - before.open_other, 2);
    const int fds[] = {regular, directory, sockets[0], sockets[1], pipes[0], pipes[1]};
    for (size_t i = 0; i < KAL_ARRAY_LEN(fds); i++)
        close(fds[i]);
    unlink(path);
    assert_int_equal(read_process().open_files, before.open_files);
    assert_true(before.open_files_limit >= before.open_files);
    assert_int_equal(before.processor_count, sysconf(_SC_NPROCESSORS_ONLN));
}

static void wait_for_end(void *context)
{
    char byte;
    ssize_t ignored = read(*(const int *)context, &byte, 1);
    (void)ignored;
}

static void threads_are_counted(void **state)
{
    int pipes[2];
    pthread_t thread;
    kal_error err = KAL_ERROR_INIT;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    uint64_t before = read_process().thread_count;
    assert_int_equal(kal_thread_start(&thread, "waits", 0, wait_for_end, &pipes[0], &err), KAL_OK);
    assert_int_equal(read_process().thread_count, before + 1);
    close(pipes[1]);
    pthread_join(thread, NULL);
    close(pipes[0]);
}

static void touched_memory_is_resident(void **state)
{
    enum { BYTES = 64 * MIB };

    (void)state;
    uint64_t before = read_process().resident_bytes;
    volatile char *memory = malloc(BYTES);
    assert_non_null(memory);
    for (size_t i = 0; i < BYTES; i += 1024)
        memory[i] = 1;
    uint64_t after = read_process().resident_bytes;
    free((void *)(uintptr_t)memory);
    /* The kernel counts pages in batches per thread, so it may be some of them behind. */
    assert_in_range(after - before, BYTES - 4 * MIB, BYTES + 32 * MIB);
}

static void write_file(const char *directory, const char *name, size_t bytes)
{
    char path[256];
    static char block[64 * 1024];

    memset(block, 'x', sizeof block);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    for (size_t done = 0; done < bytes; done += sizeof block)
        assert_int_equal(write(fd, block, sizeof block), sizeof block);
    assert_int_equal(fsync(fd), 0); /* blocks are given out by now */
    close(fd);
}

static void files_below_a_directory_take_space(void **state)
{
    char directory[] = "/tmp/kalamdb-disk-XXXXXX";
    char path[256];
    kal_disk_info empty;
    kal_disk_info full;
    kal_error err = KAL_ERROR_INIT;

    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(kal_disk_read(directory, &empty, &err), KAL_OK);
    assert_true(empty.available_bytes > 0);
    snprintf(path, sizeof path, "%s/below", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(directory, "a", MIB);
    write_file(path, "b", 2 * MIB);
    snprintf(path, sizeof path, "%s/loop", directory);
    assert_int_equal(symlink(directory, path), 0); /* is not followed */
    assert_int_equal(kal_disk_read(directory, &full, &err), KAL_OK);
    assert_in_range(full.used_bytes - empty.used_bytes, 3 * MIB, 3 * MIB + 64 * 1024);
    const char *const names[] = {"below/b", "a", "loop", "below", ""};
    for (size_t i = 0; i < KAL_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        assert_int_equal(remove(path), 0);
    }
    assert_int_equal(kal_disk_read(directory, &full, &err), KAL_IO);
    assert_non_null(strstr(err.message, "kalamdb-disk"));
}

static void processor_time_is_used(void **state)
{
    volatile uint64_t sum = 0;

    (void)state;
    uint64_t before = kal_process_cpu_ns();
    while (kal_process_cpu_ns() - before < 20000000)
        sum += 1;
    assert_true(sum > 0);
}

static void the_window_forgets_after_ten_samples(void **state)
{
    const uint64_t second = 1000000000;
    kal_cpu_window window = {0};
    kal_cpu_sample now = {.mono_ns = 5 * second, .cpu_ns = second};

    (void)state;
    assert_true(kal_cpu_window_percent(&window, now) == 0);
    kal_cpu_window_add(&window, now);
    assert_true(kal_cpu_window_percent(&window, now) == 0);
    now = (kal_cpu_sample){.mono_ns = 7 * second, .cpu_ns = 2 * second};
    assert_true(kal_cpu_window_percent(&window, now) == 50);
    /* Busy on two processors for ten seconds: what was before is forgotten. */
    for (int i = 0; i < KAL_CPU_WINDOW_SECONDS; i++) {
        kal_cpu_window_add(&window, now);
        now.mono_ns += second;
        now.cpu_ns += 2 * second;
    }
    assert_true(kal_cpu_window_percent(&window, now) == 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_are_counted_by_kind),
        cmocka_unit_test(threads_are_counted),
        cmocka_unit_test(touched_memory_is_resident),
        cmocka_unit_test(files_below_a_directory_take_space),
        cmocka_unit_test(processor_time_is_used),
        cmocka_unit_test(the_window_forgets_after_ten_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
