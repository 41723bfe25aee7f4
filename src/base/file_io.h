/*
 * file_io.h: steps of reading and writing files, for those who put them together: interrupted calls
 * are repeated, descriptors are not inherited. Each answers 0 or errno.
 */
#ifndef KAL_BASE_FILE_IO_H
#define KAL_BASE_FILE_IO_H

#include "base/bytes.h"

/* As open(2): -1 with errno set. */
int kal_file_open(const char *path, int flags, unsigned mode);
int kal_file_write_all(int fd, kal_bytes content);
/* Brings what was written to stable storage and closes; error: of what was done with fd before,
 * which then is the answer. */
int kal_file_sync_close(int fd, int error);
/* Makes the names in a directory durable. */
int kal_file_sync_directory(const char *directory);
/* In the one that holds path. */
int kal_file_sync_directory_of(const char *path);
/* Brings all that was written to the file system which fd is of to stable storage, files and names,
 * whoever wrote it. Failures of writing since fd was opened are told. */
int kal_file_sync_system(int fd);

#endif
