/*
 * direct_write.c: statements that are bound to keys, from operations to result. Outside a
 * transaction the operations go to the lane; inside, to the transaction's overlay.
 */
#include "base/assert.h"
#include "exec/dml.h"

enum { READ_AHEAD = 128 };

struct kal_direct_write {
    kal_dml dml;
    kal_write *write; /* owned */
};

kal_status kal_direct_write_prepare(kal_run *run, kal_direct_write **direct_out, kal_error *err)
{
    kal_direct_write *direct = KAL_NEW(run->arena, kal_direct_write);
    bool is_insert = run->statement->kind == KAL_STMT_INSERT;

    *direct_out = NULL;
    direct->write = kal_write_open(run->exec->tables, run->budget);
    kal_status status = is_insert ? kal_insert_prepare(run, &direct->dml, direct->write, err)
                                  : kal_change_prepare(run, &direct->dml, direct->write, err);
    if (status == KAL_OK) {
        *direct_out = direct;
        return KAL_OK;
    }
    kal_write_close(direct->write);
    return status == KAL_END ? KAL_OK : status;
}

kal_write *kal_direct_write_of(kal_direct_write *direct)
{
    return direct->write;
}

kal_status kal_direct_write_finish(kal_direct_write *direct, kal_run *run, kal_error *err)
{
    KAL_TRY(kal_write_status(direct->write, err));
    return kal_dml_result(run, &direct->dml, direct->write, err);
}

void kal_direct_write_close(kal_direct_write *direct)
{
    if (direct != NULL)
        kal_write_close(direct->write);
}

/* The rows that operations from `first` on will meet, if they look at them: those of a segment are
 * read together, one by one they would cost a query each. */
static kal_status read_ahead(kal_run *run, kal_write *write, size_t first, size_t count,
                             kal_view_wanted *wanted, bool *has_read_out, kal_error *err)
{
    const kal_write_op *op = kal_write_op_at(write, first);

    *has_read_out = !op->existence_only && op->key.len > 0;
    if (!*has_read_out) /* nor any other: they are of one statement */
        return KAL_OK;
    for (size_t i = 0; i < count; i++)
        wanted[i] = (kal_view_wanted){.key = kal_write_op_at(write, first + i)->key};
    return kal_view_get_many(run->view, op->table, wanted, count, run->arena, err);
}

static kal_status apply_ops(kal_run *run, kal_write *write, kal_error *err)
{
    kal_view_wanted wanted[READ_AHEAD];
    size_t count = kal_write_op_count(write);

    for (size_t first = 0; first < count; first += READ_AHEAD) {
        size_t n = count - first < READ_AHEAD ? count - first : READ_AHEAD;
        bool has_read = false;
        KAL_TRY(read_ahead(run, write, first, n, wanted, &has_read, err));
        for (size_t i = 0; i < n; i++)
            KAL_TRY(kal_dml_apply_to_overlay(run, run->view, run->overlay,
                                             kal_write_op_at(write, first + i),
                                             has_read ? &wanted[i] : NULL, err));
    }
    return KAL_OK;
}

static kal_status apply_in_transaction(kal_run *run, kal_direct_write *direct, kal_error *err)
{
    size_t mark = kal_overlay_mark(run->overlay);

    kal_status status = apply_ops(run, direct->write, err);
    if (status == KAL_OK)
        status = kal_dml_result(run, &direct->dml, direct->write, err);
    if (status != KAL_OK)
        kal_overlay_rollback(run->overlay, mark);
    return status;
}

static kal_status run_direct(kal_run *run, kal_direct_write *direct, kal_error *err)
{
    if (run->overlay != NULL)
        return apply_in_transaction(run, direct, err);
    if (kal_write_op_count(direct->write) > 0)
        KAL_TRY(kal_write_commit(direct->write, err));
    return kal_direct_write_finish(direct, run, err);
}

kal_status kal_run_insert(kal_run *run, kal_error *err)
{
    kal_direct_write *direct = NULL; /* owned */
    KAL_TRY(kal_direct_write_prepare(run, &direct, err));
    KAL_ASSERT(direct != NULL);
    kal_status status = run_direct(run, direct, err);
    kal_direct_write_close(direct);
    return status;
}

static kal_status run_change(kal_run *run, kal_error *err)
{
    kal_direct_write *direct = NULL; /* owned */
    KAL_TRY(kal_direct_write_prepare(run, &direct, err));
    if (direct == NULL)
        return kal_change_run_prepared(run, err);
    kal_status status = run_direct(run, direct, err);
    kal_direct_write_close(direct);
    return status;
}

kal_status kal_run_update(kal_run *run, kal_error *err)
{
    return run_change(run, err);
}

kal_status kal_run_delete(kal_run *run, kal_error *err)
{
    return run_change(run, err);
}
