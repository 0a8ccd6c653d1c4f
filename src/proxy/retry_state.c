/* One request's retries. */
#include "proxy/retry_state.h"

struct retry_state *retry_state_new(const struct retry_policy *p, const struct http_head *request,
                                    struct cluster *c, unsigned priority, struct arena *a)
{
    struct retry_state *s = arena_alloc(a, sizeof(*s));
    if (!s)
        return NULL;
    s->policy = p;
    s->on = retry_policy_on(p, request);
    s->cluster = c;
    s->priority = (uint8_t)priority;
    return s;
}

static void give_place(struct retry_state *s)
{
    if (s->counted)
        breaker_give(&s->cluster->breakers.of[s->priority].retries);
    s->counted = false;
}

void retry_state_done(struct retry_state *s)
{
    give_place(s);
    chain_done(&s->replay);
}

void retry_state_keep(struct retry_state *s, const struct chain *data)
{
    s->sent = true;
    if (s->no_replay || s->replay.n + data->n > RETRY_REPLAY_MAX) {
        s->no_replay = true;
        chain_done(&s->replay);
        return;
    }
    chain_share(&s->replay, data, data->n);
}

void retry_state_tried(struct retry_state *s, const struct endpoint *e)
{
    if (s->n_tried < RETRY_TRIED_MAX)
        s->tried[s->n_tried++] = e;
}

void retry_state_taken(struct retry_state *s)
{
    s->try_deadline_ms = 0;
    if (s->n_retries && !s->given_up)
        stats_inc(s->stats, CLUSTER_STAT_RQ_RETRY_SUCCESS);
}

/* What stands in the way of another try: its counter; 0: nothing. */
static unsigned obstacle(struct retry_state *s)
{
    if (s->n_retries >= s->policy->retries_max) {
        s->exhausted = true;
        return CLUSTER_STAT_RQ_RETRY_LIMIT;
    }
    if (s->no_replay)
        return CLUSTER_STAT_RQ_ABANDONED;
    return breakers_take_retry(&s->cluster->breakers, s->priority) ? 0
                                                                   : CLUSTER_STAT_RQ_RETRY_OVERFLOW;
}

bool retry_state_again(struct retry_state *s, uint64_t random, uint64_t *ret_wait_ms)
{
    give_place(s);
    unsigned why_not = obstacle(s);
    stats_inc(s->stats, why_not ? why_not : CLUSTER_STAT_RQ_RETRY);
    s->given_up = why_not;
    if (why_not)
        return false;
    s->counted = true;
    s->n_retries++;
    *ret_wait_ms = retry_policy_wait_ms(s->policy, s->n_retries, random);
    return true;
}
