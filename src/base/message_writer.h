/*
 * message_writer.h: writes the members of a message (base/message.h) and counts them.
 *
 *     kal_message_begin -> kal_message_key, value -> ... -> kal_message_end
 */
#ifndef KAL_BASE_MESSAGE_WRITER_H
#define KAL_BASE_MESSAGE_WRITER_H

#include "base/json_writer.h"
#include "base/message.h"

typedef struct kal_message_writer {
    kal_buf members; /* owned: kal_message_end or kal_message_drop */
    kal_json_writer json;
    uint32_t count;
} kal_message_writer;

/* Begins with the member "type" unless that is NULL. */
void kal_message_begin(kal_message_writer *m, const char *type, kal_budget *budget);
/* A value is to follow, by m->json. */
void kal_message_key(kal_message_writer *m, const char *key);
void kal_message_text(kal_message_writer *m, const char *key, kal_bytes text);
/* The members "code", "message" and, if there is one, "hint". */
void kal_message_error(kal_message_writer *m, const kal_error *err);
/* One reference, or NULL, as kal_message_body_make(). */
KAL_MUST_CHECK kal_message_body *kal_message_end(kal_message_writer *m);
void kal_message_drop(kal_message_writer *m);

#endif
