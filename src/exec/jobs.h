/*
 * jobs.h: the server's jobs: which kinds there are, and the statements about them.
 *
 * A kind of job is registered by the file that does it, with the function named here; KILL JOB and
 * SHOW JOBS are for dba and system.
 */
#ifndef KAL_EXEC_JOBS_H
#define KAL_EXEC_JOBS_H

#include "exec/exec_internal.h"

/* Opens exec->jobs with what needs nothing else registered; kal_jobs_start() comes last. */
KAL_MUST_CHECK kal_status kal_exec_open_jobs(kal_exec *exec, kal_error *err);
void kal_erase_register(kal_exec *exec);
/* Once the jobs run: goes on with the erasing of users that has not come to its end. */
KAL_MUST_CHECK kal_status kal_erase_resume(kal_exec *exec, kal_error *err);
/* Also removes what a restoration has left that was interrupted. KAL_IO, KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_backup_register(kal_exec *exec, kal_error *err);
/* Backups that the server makes by itself, if that is set (backup_schedule.c); before the jobs are
 * started. KAL_INVALID. */
KAL_MUST_CHECK kal_status kal_backup_schedule_start(kal_exec *exec, kal_error *err);
/* A job that makes a backup of everything, for the server itself. As kal_jobs_submit(). */
KAL_MUST_CHECK kal_status kal_backup_schedule(kal_exec *exec, kal_bytes path, kal_error *err);

#endif
