/* Chooses the version of HTTP. Until then it owns the conn and a clock; then its memory, which is
 * large enough for either, becomes that version's connection. Its user hears nothing before, but
 * that it is over. */
#include "net/http_auto.h"

#include <errno.h>

#include "base/assert.h"
#include "net/http1_priv.h"
#include "net/http2_conn_priv.h"

enum {
    HEAD_TIMEOUT_MS = 10000,
    IDLE_TIMEOUT_MS = 90000,
    DRAIN_MS = 1000, /* for a request that is on its way when we are to go */
};

static const struct str preface = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24};

struct http_auto {
    struct http_conn base;
    struct loop_timer *timer;
    bool begun; /* the first bytes are there */
    bool draining;
    bool over;
};

union room {
    struct http_auto choosing;
    struct http1_conn http1;
    struct http2_conn http2;
};

static void done(struct http_auto *a)
{
    loop_timer_free(a->timer);
    free(a);
}

static void choose(struct http_auto *a, unsigned version)
{
    struct http_conn b = a->base;
    bool draining = a->draining;
    loop_timer_free(a->timer);
    if (version == 2)
        http2_conn_init((struct http2_conn *)(void *)a, b.conn, b.client, b.config, b.ops, b.user);
    else
        http1_conn_init((struct http1_conn *)(void *)a, b.conn, b.client, b.config, b.ops, b.user);
    if (draining)
        http_conn_shutdown((struct http_conn *)a);
    if (b.client && b.ops->on_open)
        b.ops->on_open((struct http_conn *)a, b.user);
}

/* 0: not agreed on. */
static unsigned version_of_alpn(const struct conn *c)
{
    struct tls_session *t = conn_tls(c);
    struct str alpn = t ? tls_session_alpn(t) : STR("");
    return str_is(alpn, "h2") ? 2 : alpn.n ? 1 : 0;
}

/* 0: it may still become either. */
static unsigned version_of_bytes(struct conn *c)
{
    char first[24];
    size_t n = MIN(conn_in(c)->n, sizeof(first));
    chain_copy(conn_in(c), first, n);
    if (memcmp(first, preface.p, n) != 0)
        return 1;
    return n == preface.n ? 2 : 0;
}

static void start_timer(struct http_auto *a, bool begun)
{
    const struct http_conn_config *c = a->base.config;
    uint64_t head_ms = c->head_timeout_ms ? c->head_timeout_ms : HEAD_TIMEOUT_MS;
    uint64_t idle_ms = a->draining           ? DRAIN_MS
                       : c->first_timeout_ms ? c->first_timeout_ms
                       : c->idle_timeout_ms  ? c->idle_timeout_ms
                                             : IDLE_TIMEOUT_MS;
    loop_timer_start(a->timer, begun ? head_ms : idle_ms);
}

static void on_open(struct conn *c, void *user)
{
    struct http_auto *a = user;
    unsigned version = version_of_alpn(c);
    if (version || a->base.client)
        choose(a, version);
    else
        start_timer(a, false);
}

static void on_data(struct conn *c, void *user)
{
    struct http_auto *a = user;
    unsigned version = version_of_bytes(c);
    if (version) {
        choose(a, version);
    } else if (conn_eof(c)) {
        conn_close_after_flush(c);
    } else if (!a->begun) {
        a->begun = true;
        start_timer(a, true);
    }
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    struct http_auto *a = user;
    (void)c;
    a->over = true;
    if (a->base.ops->on_close)
        a->base.ops->on_close(&a->base, code, text, a->base.user);
    done(a);
}

static void on_timer(void *user)
{
    struct http_auto *a = user;
    conn_close_after_flush(a->base.conn);
}

/* ---- for the user ---- */

static int open_stream(struct http_conn *hc, struct http_stream **ret)
{
    (void)hc;
    (void)ret;
    return -EAGAIN;
}

static void shut_down(struct http_conn *hc)
{
    struct http_auto *a = (struct http_auto *)hc;
    if (a->draining || a->over)
        return;
    a->draining = true;
    if (hc->client)
        conn_close_after_flush(hc->conn);
    else if (conn_is_open(hc->conn) && !a->begun)
        start_timer(a, false);
}

static void free_conn(struct http_conn *hc)
{
    struct http_auto *a = (struct http_auto *)hc;
    if (a->over)
        return; /* within on_close */
    conn_free(hc->conn);
    done(a);
}

static const struct http_conn_type auto_type = {
    .open = open_stream, .shutdown = shut_down, .free = free_conn};

static struct http_conn *auto_new(struct conn *c, bool client,
                                  const struct http_conn_config *config,
                                  const struct http_conn_ops *ops, void *user)
{
    static const struct conn_ops conn_ops = {
        .on_open = on_open, .on_data = on_data, .on_close = on_close};
    struct http_auto *a = xmalloc(sizeof(union room));
    *a = (struct http_auto){.base = {.type = &auto_type,
                                     .ops = ops,
                                     .user = user,
                                     .config = config ? config : &http_conn_defaults,
                                     .conn = c,
                                     .client = client}};
    a->timer = loop_timer_new(conn_loop(c), on_timer, a);
    ASSERT(!client || !conn_is_open(c)); /* else on_open has been */
    if (!client)
        start_timer(a, !conn_is_open(c));
    conn_set_ops(c, &conn_ops, a);
    return &a->base;
}

struct http_conn *http_auto_conn_new_server(struct conn *c, const struct http_conn_config *config,
                                            const struct http_conn_ops *ops, void *user)
{
    ASSERT(ops->on_request);
    return auto_new(c, false, config, ops, user);
}

struct http_conn *http_auto_conn_new_client(struct conn *c, const struct http_conn_config *config,
                                            const struct http_conn_ops *ops, void *user)
{
    return auto_new(c, true, config, ops, user);
}
