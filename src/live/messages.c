/*
 * messages.c: what all kinds of subscriptions say alike.
 */
#include "live/live_internal.h"

void live_client_send(kal_live_client *client, const kal_message_head *head, kal_message_body *body)
{
    if (!client->ops->send(client->connection, head, body))
        client->is_full = true;
}

void live_write_batch_control(kal_message_writer *m, uint32_t batch_num, bool has_more,
                              const uint64_t *seq)
{
    const char *status = "loading_batch";

    if (seq != NULL && !has_more)
        status = "ready";
    else if (batch_num == 0)
        status = "loading";
    kal_message_key(m, "batch_control");
    kal_json_begin_object(&m->json);
    kal_json_key(&m->json, "batch_num");
    kal_json_u64(&m->json, batch_num);
    kal_json_key(&m->json, "has_more");
    kal_json_bool(&m->json, has_more);
    kal_json_key(&m->json, "status");
    kal_json_cstr(&m->json, status);
    kal_json_key(&m->json, "last_seq_id");
    if (seq != NULL)
        kal_json_u64(&m->json, *seq);
    else
        kal_json_null(&m->json);
    kal_json_end_object(&m->json);
}
