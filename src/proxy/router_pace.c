/* An answer's body at no more than so many bytes a second. What has come and may not go yet is
 * held, one reading at most, and the endpoint is held back meanwhile; one timer of the worker's
 * says when to go on. What a quiet answer has not used it does not get later, but for a quarter of
 * a second.
 */
#include "proxy/router_pace.h"

enum {
    QUEUE_HIGH = 64 * 1024, /* as of any answer */
    BURST_MS = 250,         /* that much of the rate goes at once */
    STEP_MS = 125,          /* and no smaller pieces, unless it is the last */
};
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

struct pace {
    uint64_t per_s, before; /* bytes; those that go without a limit */
    uint64_t burst_ns;      /* one byte's time at least */
    uint64_t paid_ns;       /* when what has gone will have had its time */
    struct chain held;
    bool end; /* the answer's, behind what is held */
    struct loop_timer *timer;
    void (*heard)(struct request *r);
};

void router_pace_begin(struct request *r, uint64_t bytes_per_s, uint64_t before)
{
    struct pace *p = arena_alloc(http_stream_arena(r->down), sizeof(*p));
    if (!p) /* it is no protection: the answer goes as it comes */
        return;
    p->per_s = bytes_per_s;
    p->before = before;
    p->burst_ns = MAX(BURST_MS * NS_PER_MS, NS_PER_S / bytes_per_s + NS_PER_MS);
    r->pace = p;
}

static uint64_t now_ns(const struct request *r)
{
    return loop_now_ms(worker_loop(r->worker)) * NS_PER_MS;
}

/* How many of what is held may go now. */
static size_t may_go(struct pace *p, uint64_t now)
{
    size_t n = (size_t)MIN((uint64_t)p->held.n, p->before);
    p->before -= n;
    p->paid_ns = MAX(p->paid_ns, now);
    uint64_t left_ns = p->burst_ns - MIN(p->paid_ns - now, p->burst_ns);
    size_t more = (size_t)MIN((uint64_t)(p->held.n - n), left_ns / NS_PER_MS * p->per_s / 1000);
    p->paid_ns += more * NS_PER_S / p->per_s;
    return n + more;
}

/* Until the next piece of what is held may go. */
static uint64_t wait_ms(const struct pace *p, uint64_t now)
{
    uint64_t byte_ns = NS_PER_S / p->per_s + NS_PER_MS;
    uint64_t piece_ns =
        MIN(p->held.n * NS_PER_S / p->per_s + NS_PER_MS, MAX(STEP_MS * NS_PER_MS, byte_ns));
    uint64_t due_ns = p->paid_ns + piece_ns - MIN(p->burst_ns, p->paid_ns + piece_ns);
    return due_ns > now ? (due_ns - now + NS_PER_MS - 1) / NS_PER_MS : 1;
}

/* A client that reads slower than it may is waited for: router_pace_drained(). */
static void go(struct request *r)
{
    struct pace *p = r->pace;
    struct chain piece = {0};
    uint64_t now = now_ns(r);
    if (http_stream_queued(r->down) <= QUEUE_HIGH) {
        size_t n = may_go(p, now);
        bool end = p->end && n == p->held.n;
        chain_move(&piece, &p->held, n);
        r->sent_bytes += n;
        p->heard(r);
        if (n || end)
            http_stream_send_data(r->down, &piece, end);
        if (end)
            return;
    }
    if (!p->held.n) {
        if (r->up && http_stream_queued(r->down) <= QUEUE_HIGH)
            http_stream_resume(r->up);
        return;
    }
    if (r->up)
        http_stream_pause(r->up);
    if (http_stream_queued(r->down) <= QUEUE_HIGH)
        loop_timer_start(p->timer, wait_ms(p, now));
}

static void on_timer(void *user)
{
    go(user);
}

void router_pace_data(struct request *r, struct chain *data, bool end,
                      void (*heard)(struct request *r))
{
    struct pace *p = r->pace;
    p->heard = heard;
    if (!p->timer)
        p->timer = worker_timer_take(r->worker, on_timer, r);
    chain_move_all(&p->held, data);
    p->end = end;
    go(r);
}

void router_pace_drained(struct request *r)
{
    if (r->pace->held.n && !loop_timer_is_started(r->pace->timer))
        go(r);
    else if (r->up && !r->pace->held.n)
        http_stream_resume(r->up);
}

void router_pace_flush(struct request *r)
{
    struct pace *p = r->pace;
    r->sent_bytes += p->held.n;
    if (p->held.n)
        http_stream_send_data(r->down, &p->held, false);
    loop_timer_stop(p->timer);
}

void router_pace_done(struct request *r)
{
    struct pace *p = TAKE(r->pace);
    chain_done(&p->held);
    worker_timer_give(r->worker, TAKE(p->timer));
}
