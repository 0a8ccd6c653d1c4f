#pragma once
/* One question of the proxy's own to a cluster: one try, one answer. Whoever asks embeds it,
 * zeroed.
 */

#include "proxy/worker.h"

enum { FETCH_ANSWER_MAX = 1024 * 1024 };

struct fetch {
    /* The asker's, set before it begins. head and body are borrowed until it is over. */
    struct http_head *head;
    const struct chain *body; /* NULL: none */
    uint64_t timeout_ms;      /* 0: none */
    bool drops_answer;        /* nobody wants its body: on_answer() gets an empty one */
    /* Its answer, whole; NULL: none came. Both are gone when it returns. It is over before that,
     * and may be freed. Never called from inside fetch_start. */
    void (*on_answer)(const struct http_head *answer, struct str body, void *user);
    void *user;

    /* Its own. */
    struct worker *worker;
    struct upstream_wait wait;
    struct http_stream *stream; /* NULL: not yet, or no more */
    struct loop_timer *timer;
    struct http_head *answer;   /* the stream's */
    struct http_head *trailers; /* the same; NULL: none */
    struct chain got;
    bool reused; /* its stream is on a connection that has carried others */
};

/* -EHOSTUNREACH: no endpoint; -EBUSY: a circuit breaker is open. Then there is no answer. */
int fetch_start(struct fetch *f, struct worker *w, struct cluster *c) NODISCARD;
void fetch_cancel(struct fetch *f); /* no answer comes any more; harmless if it is over */
