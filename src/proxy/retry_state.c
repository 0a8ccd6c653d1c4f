/* One request's retries. */
#include "proxy/retry_state.h"

struct retry_state *retry_state_new(const struct retry_policy *p, struct cluster *c,
                                    unsigned priority, struct arena *a)
{
    struct retry_state *s = arena_alloc(a, sizeof(*s));
    if (!s)
        return NULL;
    s->policy = p;
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

bool retry_state_again(struct retry_state *s, uint64_t random, uint64_t *ret_wait_ms)
{
    give_place(s);
    if (s->n_retries >= s->policy->retries_max) {
        s->exhausted = true;
        return false;
    }
    if (s->no_replay || !breakers_take_retry(&s->cluster->breakers, s->priority))
        return false;
    s->counted = true;
    s->n_retries++;
    *ret_wait_ms = retry_policy_wait_ms(s->policy, s->n_retries, random);
    return true;
}
