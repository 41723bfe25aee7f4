/*
 * object_store_s3.h: an object store over a bucket of an S3 server (s3_http.h says how it is
 * asked).
 *
 * A file larger than a part is sent in parts, one after the other; a failure takes them back, and
 * deleting an object takes back what a crash left of sending it. An object appears as a whole, with
 * its last request. Nothing here relies on a listing, a rename or a condition in a request.
 *
 * Errors name object, bucket, server and the server's own code; never credentials.
 */
#ifndef KAL_STORAGE_OBJECT_STORE_S3_H
#define KAL_STORAGE_OBJECT_STORE_S3_H

#include "storage/s3_http.h"

#define KAL_S3_PART_BYTES_DEFAULT (16u * 1024 * 1024)
#define KAL_S3_PART_BYTES_MIN     (5u * 1024 * 1024) /* of servers, for all parts but the last */

/* Sends no request. client is borrowed until the store is closed, target copied.
 * part_bytes: 0 = KAL_S3_PART_BYTES_DEFAULT. */
kal_object_store *kal_object_store_open_s3(kal_s3_client *client, const kal_s3_target *target,
                                           uint64_t part_bytes);

#endif
