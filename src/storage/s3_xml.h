/*
 * s3_xml.h: the few XML answers of S3 that are read: a page of a listing, an upload's id, an error.
 *
 * The text comes from a server that may be anybody: it has at most KAL_S3_XML_BYTES_MAX bytes, no
 * document type (so no entities of its own), bounded depth and texts.
 */
#ifndef KAL_STORAGE_S3_XML_H
#define KAL_STORAGE_S3_XML_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#define KAL_S3_XML_BYTES_MAX (8u * 1024 * 1024)
#define KAL_S3_XML_TEXT_MAX  4096u /* bytes of one element's text */
#define KAL_S3_XML_DEPTH_MAX 16u

/* One page of ListObjectsV2, or of ListMultipartUploads. */
typedef struct kal_s3_page {
    kal_bytes *keys;       /* arena, decoded */
    uint64_t *sizes;       /* of objects; NULL: a page of uploads, or an empty one */
    kal_bytes *upload_ids; /* the other way round */
    size_t count;
    bool is_truncated;
    kal_bytes next; /* the continuation token; empty: none */
} kal_s3_page;

/* KAL_IO with the reason: not well formed, or without what must be there. KAL_LIMIT: the arena. */
KAL_MUST_CHECK kal_status kal_s3_xml_page(kal_bytes text, kal_arena *arena, kal_s3_page *out,
                                          kal_error *err);
KAL_MUST_CHECK kal_status kal_s3_xml_upload_id(kal_bytes text, kal_arena *arena, kal_bytes *out,
                                               kal_error *err);
/* Code of an error's document: letters, digits and '.', at most 64; "" when there is none. Also for
 * an answer that begins as a success and turns out to be an error. */
void kal_s3_xml_error_code(kal_bytes text, char out[65]);

#endif
