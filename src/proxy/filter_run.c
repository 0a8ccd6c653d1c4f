/* What filters are told of a request that has come to its answer, or to its end. */
#include "proxy/filter_run.h"

void filter_run_received(struct filter_run *f, struct http_head *answer)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->calls[i]->type->on_received)
            f->calls[i]->type->on_received(f->calls[i], answer);
}

void filter_run_answer(struct filter_run *f, struct http_head *answer)
{
    for (size_t i = f->n; i-- > 0;)
        if (f->calls[i]->type->on_answer)
            f->calls[i]->type->on_answer(f->calls[i], answer);
}

const struct filter_detour *filter_run_detour(const struct filter_run *f, uint16_t status)
{
    for (size_t i = f->n; i-- > 0;) {
        const struct filter_type *type = f->calls[i]->type;
        const struct filter_detour *to = type->detour ? type->detour(f->calls[i], status) : NULL;
        if (to)
            return to;
    }
    return NULL;
}

void filter_run_done(struct filter_run *f)
{
    for (size_t i = 0; i < f->at; i++)
        if (f->calls[i]->type->on_done)
            f->calls[i]->type->on_done(f->calls[i]);
    f->at = f->n = 0;
    json_decref(TAKE(f->metadata));
    chain_done(&f->body);
}
