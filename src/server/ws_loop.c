#include "server/ws_internal.h"

enum { WRITE_BYTES_PER_TURN = 1024 * 1024 };

/* It only has to be there: a loop with an idle handle does not wait. */
static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

void kal_ws_loop_update(kal_ws_loop *loop)
{
    bool busy = loop->wants_turn || !kal_list_empty(&loop->dirty);
    bool active = uv_is_active((uv_handle_t *)&loop->idle) != 0;

    if (busy && !active && !uv_is_closing((uv_handle_t *)&loop->idle))
        uv_idle_start(&loop->idle, on_idle);
    else if (!busy && active)
        uv_idle_stop(&loop->idle);
}

static void take_turn(kal_ws_loop *loop)
{
    kal_ws *some[WS_SOCKETS_PER_TURN];
    unsigned count = 0;
    size_t bytes = 0;

    if (loop->wants_turn)
        loop->wants_turn = loop->o.on_turn(loop->o.context, loop->o.index);
    while (count < WS_SOCKETS_PER_TURN && bytes < WRITE_BYTES_PER_TURN) {
        kal_list *link = kal_list_pop_front(&loop->dirty);
        if (link == NULL)
            break;
        some[count] = KAL_CONTAINER_OF(link, kal_ws, dirty);
        bytes += some[count++]->queue.bytes;
    }
    kal_ws_work(loop, some, count);
    kal_ws_loop_update(loop);
}

static void on_check(uv_check_t *check)
{
    take_turn(check->data);
}

void kal_ws_loop_wake(kal_ws_loop *loop)
{
    loop->wants_turn = loop->o.on_turn != NULL;
    take_turn(loop);
}

kal_status kal_ws_loop_open(kal_ws_loop *loop, const kal_ws_loop_options *options, kal_error *err)
{
    loop->o = *options;
    kal_list_init(&loop->open);
    loop->open_count = 0;
    kal_list_init(&loop->dirty);
    loop->batch = kal_send_batch_open(options->may_ring);
    if (uv_check_init(options->uv, &loop->check) != 0 ||
        uv_idle_init(options->uv, &loop->idle) != 0 || uv_check_start(&loop->check, on_check) != 0)
        return kal_error_set(err, KAL_IO, "cannot make the handles of an event loop");
    loop->check.data = loop;
    loop->idle.data = loop;
    return KAL_OK;
}

void kal_ws_loop_close_handles(kal_ws_loop *loop)
{
    if (!uv_is_closing((uv_handle_t *)&loop->check))
        uv_close((uv_handle_t *)&loop->check, NULL);
    if (!uv_is_closing((uv_handle_t *)&loop->idle))
        uv_close((uv_handle_t *)&loop->idle, NULL);
}

void kal_ws_loop_release(kal_ws_loop *loop)
{
    kal_send_batch_close(loop->batch);
    loop->batch = NULL;
}

void kal_ws_loop_tick(kal_ws_loop *loop)
{
    uint64_t now = uv_now(loop->o.uv);
    /* Closing takes none out of the list before libuv's next turn. */
    for (size_t left = kal_list_piece(loop->open_count); left > 0; left--)
        kal_ws_expire(KAL_CONTAINER_OF(kal_list_rotate(&loop->open), kal_ws, link), now);
}

void kal_ws_loop_drain(kal_ws_loop *loop, bool force)
{
    KAL_LIST_FOR_EACH (link, &loop->open) {
        kal_ws *ws = KAL_CONTAINER_OF(link, kal_ws, link);
        if (force)
            kal_ws_cut(ws);
        else
            kal_ws_close(ws, KAL_WS_CLOSE_GOING_AWAY, "the server is stopping");
    }
}
