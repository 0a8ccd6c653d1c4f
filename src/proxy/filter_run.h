#pragma once
/* The calls of one request's filters, of those that are on: what has been asked, and what comes
 * back. In the stream's arena. */

#include "base/chain.h"
#include "proxy/filter_config.h"
#include "proxy/request_priv.h"

struct filter_run {
    struct request *request;
    void (*then)(struct request *r); /* when all have been asked */
    size_t n, at;                    /* the next one to ask */
    uint64_t collect_max;
    bool collecting;
    bool last_wait;    /* then the request takes too long */
    struct chain body; /* gathered and not sent yet */
    json_t *metadata;  /* what they say to one another */
    struct filter_call *calls[];
};

void filter_run_received(struct filter_run *f, struct http_head *answer);
/* Asked in the opposite order, of an answer that is about to go out. */
void filter_run_answer(struct filter_run *f, struct http_head *answer);
/* Is the answer to another request to go out instead of one with that status? NULL: no. */
const struct filter_detour *filter_run_detour(const struct filter_run *f, uint16_t status);
void filter_run_done(struct filter_run *f);
