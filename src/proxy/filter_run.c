/* What filters are told of a request that has come to its answer, or to its end. */
#include "proxy/filter_run.h"

void filter_run_answer(struct filter_run *f, struct http_head *answer)
{
    const struct filter *filters = f->request->http->filters->filters;
    for (size_t i = f->n; i-- > 0;)
        if (!f->calls[i].off && filters[i].type->on_answer)
            filters[i].type->on_answer(&f->calls[i], answer);
}

void filter_run_done(struct filter_run *f)
{
    const struct filter *filters = f->request->http->filters->filters;
    for (size_t i = 0; i < f->at; i++)
        if (!f->calls[i].off && filters[i].type->on_done)
            filters[i].type->on_done(&f->calls[i]);
    f->at = f->n = 0;
    chain_done(&f->body);
}
