/*
 * exports.h: EXPORT USER DATA: a user's own rows as one file to be downloaded.
 *
 * An export is a job (user_export) that writes DATA/exports/<job_id>.zip. It belongs to whoever
 * asked for it: he sees it in SHOW EXPORT and may fetch it; so may dba and system. To everybody
 * else there is no such export. It goes when it is older than export_retention_s, and soon after
 * its owner, or the user whose rows it has, is dropped.
 */
#ifndef KAL_EXEC_EXPORTS_H
#define KAL_EXEC_EXPORTS_H

#include "exec/exec_internal.h"

/* Directory, job and clean-up; after the jobs are opened and before they are started. */
KAL_MUST_CHECK kal_status kal_exports_open(kal_exec *exec, kal_exports **exports_out,
                                           kal_error *err);
/* Removes what nobody may fetch any more, now: for whoever erases a user. It happens by itself
 * twice a minute. KAL_IO. */
KAL_MUST_CHECK kal_status kal_exports_clean(kal_exports *exports, kal_error *err);
void kal_exports_close(kal_exports *exports); /* after the jobs have stopped; NULL is allowed */

#endif
