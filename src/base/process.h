/*
 * process.h: what the operating system says about this process and the disk under its data.
 *
 * Read when asked, from /proc and system calls (Linux): nothing is estimated. Only the use of the
 * processors needs memory, since it is a difference: a kal_cpu_window holds one sample a second.
 *
 * Threads: any; a kal_cpu_window by one at a time.
 * Source: proc(5), statvfs(3), getrusage(2).
 */
#ifndef KAL_BASE_PROCESS_H
#define KAL_BASE_PROCESS_H

#include "base/error.h"

typedef struct kal_process_info {
    uint64_t resident_bytes; /* VmRSS: in memory, mapped libraries too */
    uint64_t thread_count;
    uint64_t open_files; /* all descriptors: the sum of the next four */
    uint64_t open_regular;
    uint64_t open_directories;
    uint64_t open_sockets;
    uint64_t open_other;
    uint64_t open_files_limit; /* the soft limit; UINT64_MAX: none */
    uint64_t processor_count;  /* online */
} kal_process_info;

/* KAL_IO. */
KAL_MUST_CHECK kal_status kal_process_read(kal_process_info *info_out, kal_error *err);
/* Time of the processors that this process used, user and system. */
uint64_t kal_process_cpu_ns(void);
/* The same of the calling thread alone. */
uint64_t kal_thread_cpu_ns(void);
/* How long the threads that this process has now were ready to run and had to wait for a processor,
 * summed; false where the kernel does not say. Opens a file for each thread: some us each. */
bool kal_process_waited_ns(uint64_t *ns_out);
/* At least 1; allowed: those that the calling thread may run on. */
unsigned kal_processors_online(void);
unsigned kal_processors_allowed(void);

typedef struct kal_disk_info {
    uint64_t used_bytes;      /* that the files below the directory occupy, as du says */
    uint64_t available_bytes; /* of its file system, to this user */
} kal_disk_info;

/* Links are not followed; files that vanish meanwhile do not count. KAL_IO. */
KAL_MUST_CHECK kal_status kal_disk_read(const char *directory, kal_disk_info *info_out,
                                        kal_error *err);

/* ---- use of the processors ---- */

#define KAL_CPU_WINDOW_SECONDS 10

typedef struct kal_cpu_sample {
    uint64_t mono_ns;
    uint64_t cpu_ns;
} kal_cpu_sample;

typedef struct kal_cpu_window { /* zeroed: no samples */
    kal_cpu_sample samples[KAL_CPU_WINDOW_SECONDS];
    size_t len;
    size_t oldest;
} kal_cpu_window;

/* To be called once a second; the oldest sample goes. */
void kal_cpu_window_add(kal_cpu_window *window, kal_cpu_sample sample);
/* From the oldest sample until now, in percent of one processor: 200 = two were busy. 0 without
 * a sample before now. */
double kal_cpu_window_percent(const kal_cpu_window *window, kal_cpu_sample now);

#endif
