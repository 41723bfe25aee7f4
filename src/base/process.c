#include "base/process.h"
#include "base/assert.h"
#include "base/bytes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_BYTES = 256,
    BLOCK_BYTES = 512, /* the unit of st_blocks, whatever the file system's is */
    NESTING_MAX = 32,  /* of directories; ours are three deep */
};

static kal_status cannot_read(const char *what, kal_error *err)
{
    return kal_error_set(err, KAL_IO, "cannot read %s: %s", what, strerror(errno));
}

/* ---- the process ---- */

/* "VmRSS:\t   12345 kB" and "Threads:\t12" */
static kal_status read_status(kal_process_info *info, kal_error *err)
{
    static const char PATH[] = "/proc/self/status";
    char line[LINE_BYTES];
    unsigned found = 0;
    FILE *file = fopen(PATH, "re"); /* owned */

    if (file == NULL)
        return cannot_read(PATH, err);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            info->resident_bytes = strtoull(line + 6, NULL, 10) * 1024;
            found++;
        } else if (strncmp(line, "Threads:", 8) == 0) {
            info->thread_count = strtoull(line + 8, NULL, 10);
            found++;
        }
    }
    fclose(file);
    if (found != 2)
        return kal_error_set(err, KAL_IO, "%s does not say memory and threads", PATH);
    return KAL_OK;
}

static void count_descriptor(kal_process_info *info, const struct stat *file)
{
    info->open_files++;
    if (S_ISREG(file->st_mode))
        info->open_regular++;
    else if (S_ISDIR(file->st_mode))
        info->open_directories++;
    else if (S_ISSOCK(file->st_mode))
        info->open_sockets++;
    else
        info->open_other++;
}

static kal_status read_descriptors(kal_process_info *info, kal_error *err)
{
    static const char PATH[] = "/proc/self/fd";
    const struct dirent *entry;
    struct stat file;
    DIR *directory = opendir(PATH); /* owned */

    if (directory == NULL)
        return cannot_read(PATH, err);
    while ((entry = readdir(directory)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        bool is_own = entry->d_name[0] == '.' || fd == dirfd(directory);
        if (!is_own && fstat(fd, &file) == 0)
            count_descriptor(info, &file);
    }
    closedir(directory);
    return KAL_OK;
}

unsigned kal_processors_online(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (unsigned)online;
}

unsigned kal_processors_allowed(void)
{
    cpu_set_t set; /* more processors than it has places: refused */
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    return kal_processors_online();
}

kal_status kal_process_read(kal_process_info *info_out, kal_error *err)
{
    struct rlimit limit = {0};

    *info_out = (kal_process_info){.processor_count = kal_processors_online()};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return cannot_read("the limit of open files", err);
    info_out->open_files_limit = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
    KAL_TRY(read_status(info_out, err));
    return read_descriptors(info_out, err);
}

static uint64_t nanoseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

uint64_t kal_process_cpu_ns(void)
{
    struct rusage usage;
    int failed = getrusage(RUSAGE_SELF, &usage);
    KAL_ASSERT(failed == 0);
    return nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
}

uint64_t kal_thread_cpu_ns(void)
{
    struct timespec used;
    KAL_ASSERT(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0);
    return (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
}

/* "ran waited times" of one thread, in ns. false: it has ended, or the kernel does not say. Source:
 * the kernel's sched-stats.rst. */
static bool thread_waited_ns(int tasks, const char *thread, uint64_t *ns_out)
{
    char text[LINE_BYTES];

    snprintf(text, sizeof text, "%s/schedstat", thread);
    int fd = openat(tasks, text, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    text[len > 0 ? len : 0] = 0;
    return sscanf(text, "%*u %" SCNu64, ns_out) == 1;
}

bool kal_process_waited_ns(uint64_t *ns_out)
{
    const struct dirent *entry;
    uint64_t waited = 0;
    bool said = false;
    DIR *tasks = opendir("/proc/self/task"); /* owned */

    *ns_out = 0;
    if (tasks == NULL)
        return false;
    while ((entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] == '.' || !thread_waited_ns(dirfd(tasks), entry->d_name, &waited))
            continue;
        *ns_out += waited;
        said = true;
    }
    closedir(tasks);
    return said;
}

/* ---- the disk ---- */

static kal_status add_directory(int fd, unsigned depth, uint64_t *bytes, kal_error *err);

/* What is gone by now counts nothing. */
static kal_status add_entry(int parent, const char *name, unsigned depth, uint64_t *bytes,
                            kal_error *err)
{
    struct stat file;

    if (fstatat(parent, name, &file, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? KAL_OK : cannot_read(name, err);
    *bytes += (uint64_t)file.st_blocks * BLOCK_BYTES;
    if (!S_ISDIR(file.st_mode))
        return KAL_OK;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? KAL_OK : cannot_read(name, err);
    return add_directory(fd, depth + 1, bytes, err);
}

/* Takes fd over. */
static kal_status add_directory(int fd, unsigned depth, uint64_t *bytes, kal_error *err)
{
    const struct dirent *entry;
    kal_status status = KAL_OK;
    DIR *directory = fdopendir(fd); /* owned */

    if (directory == NULL) {
        status = cannot_read("a directory", err);
        close(fd);
        return status;
    }
    if (depth > NESTING_MAX)
        status = kal_error_set(err, KAL_IO, "directories are nested deeper than %d", NESTING_MAX);
    while (status == KAL_OK && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = add_entry(fd, entry->d_name, depth, bytes, err);
    }
    closedir(directory);
    return status;
}

kal_status kal_disk_read(const char *directory, kal_disk_info *info_out, kal_error *err)
{
    struct statvfs system;
    struct stat own;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* add_directory takes it */

    *info_out = (kal_disk_info){0};
    if (fd < 0)
        return cannot_read(directory, err);
    if (fstatvfs(fd, &system) != 0 || fstat(fd, &own) != 0) {
        kal_status status = cannot_read(directory, err);
        close(fd);
        return status;
    }
    info_out->available_bytes = (uint64_t)system.f_bavail * system.f_frsize;
    info_out->used_bytes = (uint64_t)own.st_blocks * BLOCK_BYTES;
    return add_directory(fd, 0, &info_out->used_bytes, err);
}

/* ---- use of the processors ---- */

void kal_cpu_window_add(kal_cpu_window *window, kal_cpu_sample sample)
{
    if (window->len < KAL_CPU_WINDOW_SECONDS) {
        window->samples[window->len++] = sample;
        return;
    }
    window->samples[window->oldest] = sample;
    window->oldest = (window->oldest + 1) % KAL_CPU_WINDOW_SECONDS;
}

double kal_cpu_window_percent(const kal_cpu_window *window, kal_cpu_sample now)
{
    const kal_cpu_sample *from = &window->samples[window->oldest];
    if (window->len == 0 || now.mono_ns <= from->mono_ns || now.cpu_ns < from->cpu_ns)
        return 0;
    return 100.0 * (double)(now.cpu_ns - from->cpu_ns) / (double)(now.mono_ns - from->mono_ns);
}
