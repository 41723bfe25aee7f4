#include "base/message.h"
#include "base/assert.h"
#include "base/msgpack.h"

#include <stdlib.h>

enum { STORED_HEAD_BYTES = 5, GZIP_HEAD_BYTES = 10, TRIMMED_BYTES = 4 };

_Static_assert(GZIP_HEAD_BYTES + STORED_HEAD_BYTES + KAL_MSGPACK_MAP_BYTES_MAX ==
                   KAL_MESSAGE_LEAD_BYTES_MAX,
               "the longest lead fits");

/* A text and what compresses it, one per wire format. */
typedef struct body_form {
    kal_buf plain;
    kal_buf packed; /* deflated, with its end; empty when that is no gain */
    bool is_made;
    bool is_packed; /* it was tried */
    uint32_t crc32; /* of plain; set with packed */
    kal_crc32_operator crc32_operator;
} body_form;

struct kal_message_body {
    uint32_t references;
    uint32_t member_count;
    kal_message_note note;
    kal_budget *budget;
    body_form forms[2]; /* by kal_wire; JSON is there from the start, with the closing brace */
};

struct kal_message_head {
    kal_buf json;    /* {members, */
    kal_buf msgpack; /* without the map's head */
    uint32_t member_count;
};

/* ---- the body ---- */

kal_message_body *kal_message_body_make(kal_buf *members, uint32_t member_count)
{
    kal_budget *budget = members->budget;
    kal_message_body *body = NULL;

    kal_buf_append_byte(members, '}');
    if (!kal_buf_failed(members) && kal_budget_charge(budget, sizeof *body)) {
        body = calloc(1, sizeof *body);
        if (body == NULL)
            kal_die("out of memory: message");
        body->references = 1;
        body->member_count = member_count;
        body->budget = budget;
        body->forms[KAL_WIRE_JSON].plain = *members;
        body->forms[KAL_WIRE_JSON].is_made = true;
        kal_buf_init(&body->forms[KAL_WIRE_MSGPACK].plain, budget);
        for (int wire = 0; wire < 2; wire++)
            kal_buf_init(&body->forms[wire].packed, budget);
        kal_buf_init(members, budget);
    }
    kal_buf_release(members);
    return body;
}

kal_message_body *kal_message_body_retain(kal_message_body *body)
{
    if (body != NULL)
        body->references++;
    return body;
}

void kal_message_body_release(kal_message_body *body)
{
    if (body == NULL || --body->references > 0)
        return;
    for (int wire = 0; wire < 2; wire++) {
        kal_buf_release(&body->forms[wire].plain);
        kal_buf_release(&body->forms[wire].packed);
    }
    kal_budget_release(body->budget, sizeof *body);
    free(body);
}

kal_message_note *kal_message_body_note(kal_message_body *body)
{
    return &body->note;
}

kal_bytes kal_message_body_members(const kal_message_body *body)
{
    const kal_buf *json = &body->forms[KAL_WIRE_JSON].plain;
    return kal_bytes_of(json->ptr, json->len - 1);
}

static kal_status make_plain(kal_message_body *body, body_form *form, kal_error *err)
{
    uint32_t count = 0;
    if (form->is_made)
        return KAL_OK;
    kal_status status = KAL_OK;
    if (body->member_count > 0)
        status = kal_msgpack_members(kal_message_body_members(body), &form->plain, &count, err);
    if (status == KAL_OK && count != body->member_count)
        status = kal_error_set(err, KAL_INVALID, "a message of %u members was made with %u",
                               body->member_count, count);
    if (status != KAL_OK)
        kal_buf_release(&form->plain);
    else
        form->is_made = true;
    return status;
}

/* Worked out in a buffer of its own, since zlib wants more room than its result takes. */
static kal_status make_packed(body_form *form, kal_error *err)
{
    kal_buf work;
    if (form->is_packed)
        return KAL_OK;
    kal_buf_init(&work, form->plain.budget);
    kal_status status = kal_deflate(kal_buf_bytes(&form->plain), &work, err);
    if (status == KAL_OK && work.len < form->plain.len) {
        kal_buf_append_bytes(&form->packed, kal_buf_bytes(&work));
        if (kal_buf_failed(&form->packed)) {
            kal_buf_release(&form->packed);
            status = kal_error_set(err, KAL_LIMIT, "no memory left to compress a message");
        } else {
            form->crc32 = kal_crc32(kal_buf_bytes(&form->plain));
            form->crc32_operator = kal_crc32_operator_of(form->plain.len);
        }
    }
    kal_buf_release(&work);
    form->is_packed = status == KAL_OK;
    return status;
}

/* ---- the head ---- */

kal_status kal_message_head_make(kal_bytes members, kal_budget *budget, kal_message_head **head_out,
                                 kal_error *err)
{
    *head_out = NULL;
    if (members.len > KAL_MESSAGE_HEAD_BYTES_MAX)
        return kal_error_set(err, KAL_LIMIT, "the head of a message is longer than %d bytes",
                             KAL_MESSAGE_HEAD_BYTES_MAX);
    if (!kal_budget_charge(budget, sizeof(kal_message_head)))
        return kal_error_set(err, KAL_LIMIT, "no memory left for the head of a message");
    kal_message_head *head = calloc(1, sizeof *head);
    if (head == NULL)
        kal_die("out of memory: message");
    kal_buf_init(&head->json, budget);
    kal_buf_init(&head->msgpack, budget);
    kal_buf_append_byte(&head->json, '{');
    kal_buf_append_bytes(&head->json, members);
    kal_buf_append_byte(&head->json, ',');
    kal_status status = kal_msgpack_members(members, &head->msgpack, &head->member_count, err);
    if (status == KAL_OK && (kal_buf_failed(&head->json) || kal_buf_failed(&head->msgpack)))
        status = kal_error_set(err, KAL_LIMIT, "no memory left for the head of a message");
    if (status != KAL_OK) {
        kal_message_head_free(head);
        return status;
    }
    *head_out = head;
    return KAL_OK;
}

void kal_message_head_free(kal_message_head *head)
{
    if (head == NULL)
        return;
    kal_budget *budget = head->json.budget;
    kal_buf_release(&head->json);
    kal_buf_release(&head->msgpack);
    kal_budget_release(budget, sizeof *head);
    free(head);
}

/* ---- together ---- */

static void lead_append(kal_message *m, const void *bytes, size_t len)
{
    KAL_ASSERT(m->lead_len + len <= sizeof m->lead);
    memcpy(m->lead + m->lead_len, bytes, len);
    m->lead_len = (uint8_t)(m->lead_len + len);
}

/* The text before the body: in JSON all of it is m->head, in MessagePack the map's head comes
 * first, for which the caller left room in `own`. Returns that head's length. */
static size_t text_before(const kal_message_head *head, const kal_message_body *body, kal_wire wire,
                          kal_message *m, uint8_t own[KAL_MSGPACK_MAP_BYTES_MAX])
{
    uint32_t of_head = head == NULL ? 0 : head->member_count;
    uint32_t of_body = body == NULL ? 0 : body->member_count;

    if (wire == KAL_WIRE_MSGPACK) {
        m->head = head == NULL ? (kal_bytes){0} : kal_buf_bytes(&head->msgpack);
        return kal_msgpack_map_head(of_head + of_body, own);
    }
    m->head = of_head == 0 ? KAL_STR("{") : kal_buf_bytes(&head->json);
    if (of_head > 0 && of_body == 0) /* no comma */
        m->head.len--;
    return 0;
}

/* A gzip file's end: the block that says so, crc32 and length of what it holds. */
static void write_gzip_tail(kal_message *m, const body_form *form, const uint8_t *own,
                            size_t own_len, size_t plain_len)
{
    uint32_t crc = kal_crc32(kal_bytes_of(own, own_len));
    uint32_t of_head = kal_crc32(m->head);
    if (own_len == 0)
        crc = of_head;
    else
        crc = kal_crc32_combine(crc, of_head, kal_crc32_operator_of(m->head.len));
    crc = kal_crc32_combine(crc, form->crc32, form->crc32_operator);
    memcpy(m->tail, "\x01\x00\x00\xFF\xFF", 5);
    kal_store_le32(m->tail + 5, crc);
    kal_store_le32(m->tail + 9, (uint32_t)plain_len);
    m->tail_len = KAL_MESSAGE_TAIL_BYTES_MAX;
}

/* What `packing` makes of the message; false when it does not get shorter. */
static bool pack(kal_message *m, const body_form *form, kal_packing packing, const uint8_t *own,
                 size_t own_len)
{
    static const uint8_t GZIP_HEAD[GZIP_HEAD_BYTES] = {0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF};
    uint8_t stored[STORED_HEAD_BYTES] = {0};
    bool gzip = packing == KAL_PACK_GZIP;
    size_t prefix = own_len + m->head.len;
    size_t plain_len = prefix + form->plain.len;
    size_t middle = form->packed.len - (gzip ? 0 : TRIMMED_BYTES);
    size_t around = STORED_HEAD_BYTES + (gzip ? GZIP_HEAD_BYTES + KAL_MESSAGE_TAIL_BYTES_MAX : 0);

    if (form->packed.len == 0 || around + prefix + middle >= plain_len || prefix > UINT16_MAX)
        return false;
    if (gzip) {
        lead_append(m, GZIP_HEAD, sizeof GZIP_HEAD);
        write_gzip_tail(m, form, own, own_len, plain_len);
    }
    kal_store_le16(stored + 1, (uint16_t)prefix);
    kal_store_le16(stored + 3, (uint16_t)~prefix);
    lead_append(m, stored, sizeof stored);
    lead_append(m, own, own_len);
    m->middle = kal_bytes_of(form->packed.ptr, middle);
    m->packing = packing;
    m->len = around + prefix + middle;
    return true;
}

static bool worth_packing(const kal_message *m, const body_form *form, size_t own_len,
                          kal_packing packing, size_t window_bytes)
{
    if (packing == KAL_PACK_PLAIN ||
        own_len + m->head.len + form->plain.len < KAL_MESSAGE_PACK_BYTES_MIN)
        return false;
    return packing == KAL_PACK_GZIP || form->plain.len <= window_bytes ||
           window_bytes >= KAL_DEFLATE_WINDOW_BYTES;
}

kal_status kal_message_make(const kal_message_head *head, kal_message_body *body, kal_wire wire,
                            kal_packing packing, size_t window_bytes, kal_message *m,
                            kal_error *err)
{
    uint8_t own[KAL_MSGPACK_MAP_BYTES_MAX];

    *m = (kal_message){.packing = KAL_PACK_PLAIN};
    size_t own_len = text_before(head, body, wire, m, own);
    if (body != NULL) {
        body_form *form = &body->forms[wire];
        KAL_TRY(make_plain(body, form, err));
        /* without memory for compressing, there still is the text */
        if (worth_packing(m, form, own_len, packing, window_bytes) &&
            make_packed(form, NULL) == KAL_OK && pack(m, form, packing, own, own_len))
            return KAL_OK;
        m->middle = kal_buf_bytes(&form->plain);
    } else if (wire == KAL_WIRE_JSON) {
        m->middle = KAL_STR("}");
    }
    lead_append(m, own, own_len);
    m->len = own_len + m->head.len + m->middle.len;
    return KAL_OK;
}

void kal_message_write_prefix(const kal_message *message, uint8_t *out)
{
    memcpy(out, message->lead, message->lead_len);
    if (message->head.len > 0)
        memcpy(out + message->lead_len, message->head.ptr, message->head.len);
}
