/*
 * backup.h: copies of the whole database while it runs, and what they are restored to.
 *
 * A backup is a directory:
 *
 *     backup.json     format, server version, time, and each other file with size and SHA-256
 *     token-secret    the key that signs tokens
 *     rocksdb/        the store as it was at one moment
 *     segments/       the segments that its manifests have, by number, from whatever storage
 *
 * A restored database has all its segments in its storage `local`: what lies in other storages is
 * the database's that was backed up.
 *
 * It is made under another name beside its own and renamed when everything in it is on stable
 * storage, so what has the name is whole. Restoring checks every file against backup.json, into a
 * directory that does not exist yet or is empty, and is likewise there in whole or not at all.
 *
 * Threads: any; calls block for as long as the files take to read.
 * Source: design sections 7 (seqs after a restore), 8.
 */
#ifndef KAL_BACKUP_BACKUP_H
#define KAL_BACKUP_BACKUP_H

#include "table/table.h"

/* A restored database goes on with seqs that are higher by this than those of the backup: nobody
 * has seen them, whatever was written after the backup was made. */
#define KAL_BACKUP_SEQ_DISTANCE (UINT64_C(1) << 20)

/* Asked between pieces of work; anything but KAL_OK ends it with that. */
typedef struct kal_backup_poll {
    kal_status (*go_on)(void *context, kal_error *err);
    void *context;
    /* NULL, or told now and then how far the rows of a table are. */
    void (*note)(void *context, kal_bytes table_name, uint64_t rows);
} kal_backup_poll;

/* The name of the folder of segments, and what a restored one is called in the storage `local`. */
#define KAL_BACKUP_SEGMENTS "segments"
#define KAL_BACKUP_RESTORED "restored"

/* All are borrowed. */
typedef struct kal_backup_source {
    kal_kv *kv;
    kal_catalog *catalog;
    kal_tables *tables;
    const kal_principal *actor;
    const char *data_dir;              /* of token-secret */
    kal_segment_open_store open_store; /* of the storages that hold segments */
    void *context;
    const kal_clock *clock;
    kal_parquet *parquet;
    bool is_scheduled; /* the server itself wanted it */
} kal_backup_source;

typedef enum kal_backup_state {
    KAL_BACKUP_GOOD,
    KAL_BACKUP_MISSING,
    KAL_BACKUP_SIZE,     /* another one than backup.json says */
    KAL_BACKUP_CHECKSUM, /* likewise */
} kal_backup_state;

typedef struct kal_backup_file {
    kal_bytes name; /* "rocksdb/000012.sst" */
    uint64_t size_bytes;
    kal_bytes sha256; /* hex */
    kal_backup_state state;
} kal_backup_file;

typedef struct kal_backup {
    kal_bytes version;      /* of the server that made it */
    kal_bytes namespace_id; /* the one it is of; empty: it is of the whole database */
    bool is_scheduled;
    int64_t created_at_us;
    kal_backup_file *files; /* by name */
    size_t file_count;
    uint64_t size_bytes; /* of all */
} kal_backup;

/* For who keeps backups in it: KAL_INVALID: it is the data directory or lies in it, also by links,
 * where the server's own files and those of backups would be each other's end. KAL_NOT_FOUND. */
KAL_MUST_CHECK kal_status kal_backup_check_outside(const char *directory, const char *data_dir,
                                                   kal_error *err);
/* path: absolute, nothing there yet, its parent is, outside of data_dir. KAL_INVALID, KAL_EXISTS,
 * KAL_IO (no space, no permission: names the file), and what poll says. Nothing is left behind
 * then. */
KAL_MUST_CHECK kal_status kal_backup_make(const kal_backup_source *source, kal_bytes path,
                                          const kal_backup_poll *poll, kal_arena *arena,
                                          kal_backup *out, kal_error *err);
/* Reads every file of a backup and says how it is. KAL_NOT_FOUND, KAL_CORRUPT: backup.json itself
 * is not there, or is none; KAL_UNSUPPORTED: of a newer format. */
KAL_MUST_CHECK kal_status kal_backup_check(kal_bytes path, const kal_backup_poll *poll,
                                           kal_arena *arena, kal_backup *out, kal_error *err);
/* Only what backup.json says, nothing checked. */
KAL_MUST_CHECK kal_status kal_backup_describe(kal_bytes path, kal_arena *arena, kal_backup *out,
                                              kal_error *err);
/* Removes a backup, or what is left of one: no half of it keeps the name. What fails stays. */
void kal_backup_remove(const char *path);
/* Makes data_dir out of a backup. KAL_EXISTS: there is something in it; KAL_CORRUPT: a file is not
 * what backup.json says, by name; else as kal_backup_check(). */
KAL_MUST_CHECK kal_status kal_backup_restore(const char *path, const char *data_dir,
                                             kal_arena *arena, kal_backup *out, kal_error *err);

const char *kal_backup_state_name(kal_backup_state state); /* "good" */

#endif
