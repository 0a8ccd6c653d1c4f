#pragma once
/* What a request with a retry policy keeps: how often it was sent, and what it takes to send it
 * again. In the arena of its stream. */

#include "base/chain.h"
#include "proxy/retry_policy.h"
#include "proxy/worker.h"

enum {
    RETRY_REPLAY_MAX = 1024 * 1024, /* of a body, kept to be sent again; of a longer one none is */
    RETRY_TRIED_MAX = 8,            /* endpoints that are remembered */
};

struct retry_state {
    const struct retry_policy *policy;
    uint32_t on;             /* retry_policy_on() */
    struct cluster *cluster; /* whose circuit breaker of retries counts it */
    uint8_t priority;
    bool counted;
    bool no_replay; /* the body is longer than is kept: it is sent once */
    bool sent;      /* a part of it has gone out */
    bool exhausted; /* would have been sent again, had it not been often enough */
    bool given_up;  /* the policy wanted another try, and there was none */
    unsigned n_retries;
    struct stats_cell *stats; /* the worker's of the cluster; NULL: not sent yet */
    uint32_t n_tried;
    uint64_t at_ms;           /* of the next try; 0: none waits */
    uint64_t try_deadline_ms; /* of the answer to this try; 0: none */
    uint64_t try_idle_ms;     /* when nothing was heard of the endpoint for too long; 0: none */
    bool was_late;            /* the try before took too long */
    struct chain replay;
    const struct endpoint *tried[RETRY_TRIED_MAX];
};

/* NULL: no memory. */
struct retry_state *retry_state_new(const struct retry_policy *p, const struct http_head *request,
                                    struct cluster *c, unsigned priority, struct arena *a);
void retry_state_done(struct retry_state *s);
/* A piece of the body goes out. */
void retry_state_keep(struct retry_state *s, const struct chain *data);
/* An answer is the one that goes on. */
void retry_state_taken(struct retry_state *s);
/* One try has failed in a way that the policy retries: true, and *ret_wait_ms says when to try
 * again. */
bool retry_state_again(struct retry_state *s, uint64_t random, uint64_t *ret_wait_ms);
void retry_state_tried(struct retry_state *s, const struct endpoint *e);
