#include "base/message_writer.h"

void kal_message_begin(kal_message_writer *m, const char *type, kal_budget *budget)
{
    kal_buf_init(&m->members, budget);
    kal_json_writer_init(&m->json, &m->members);
    kal_json_begin_members(&m->json);
    m->count = 0;
    if (type != NULL)
        kal_message_text(m, "type", kal_cstr(type));
}

void kal_message_key(kal_message_writer *m, const char *key)
{
    kal_json_key(&m->json, key);
    m->count++;
}

void kal_message_text(kal_message_writer *m, const char *key, kal_bytes text)
{
    kal_message_key(m, key);
    kal_json_string(&m->json, text);
}

void kal_message_error(kal_message_writer *m, const kal_error *err)
{
    kal_message_text(m, "code", kal_cstr(err->code));
    kal_message_text(m, "message", kal_cstr(err->message));
    if (err->hint[0] != '\0')
        kal_message_text(m, "hint", kal_cstr(err->hint));
}

kal_message_body *kal_message_end(kal_message_writer *m)
{
    return kal_message_body_make(&m->members, m->count);
}

void kal_message_drop(kal_message_writer *m)
{
    kal_buf_release(&m->members);
}
