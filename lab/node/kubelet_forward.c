/* `kubectl port-forward`: connections to ports of a pod, over SPDY (each is two streams: data, and
 * what went wrong) or over a WebSocket's channels.
 *
 * A session lives as long as its connection, whatever becomes of the pod; what it forwards are
 * connections of their own, which end with the pod's processes. Nothing here looks at the bytes. */
#include "lab/node/kubelet_forward.h"

#include <errno.h>

#include "lab/node/spdy_session.h"

enum { LANES_MAX = SPDY_STREAMS_MAX / 2, ID_BYTES = 64 };

/* The two streams of one connection, which find one another by the client's number for it. */
struct pair {
    struct forward *forward;
    struct list_node node;
    char id[ID_BYTES];
    struct spdy_stream *data, *error; /* NULL: not yet, or no more */
    uint16_t port;
    struct forward_lane *lane;
    bool started;
};

struct forward {
    struct node *of;
    char *key; /* of the pod: it may be another one by then */
    struct spdy_session *session;
    struct list_node pairs;
};

static void pair_free(struct pair *p)
{
    if (p->data)
        spdy_stream_set_user(p->data, NULL);
    if (p->error)
        spdy_stream_set_user(p->error, NULL);
    forward_lane_free(p->lane);
    list_remove(&p->node);
    free(p);
}

/* ---- the pod's side ---- */

static void lane_send(struct str bytes, void *user)
{
    struct pair *p = user;
    if (p->data)
        spdy_stream_send(p->data, bytes);
}

/* Ends our side of a stream, and forgets it. */
static void stream_end(struct spdy_stream **st)
{
    struct spdy_stream *s = TAKE(*st);
    if (!s)
        return;
    spdy_stream_set_user(s, NULL);
    spdy_stream_end(s);
}

static void lane_over(const char *reason, void *user)
{
    struct pair *p = user;
    if (reason && p->error)
        spdy_stream_send(p->error, str_from(reason));
    stream_end(&p->data);
    stream_end(&p->error);
    pair_free(p);
}

static void lane_more(void *user)
{
    struct pair *p = user;
    spdy_session_resume(p->forward->session);
}

static bool lane_is_full(void *user)
{
    struct pair *p = user;
    return spdy_session_is_full(p->forward->session);
}

static const struct forward_lane_ops lane_ops = {lane_send, lane_over, lane_more, lane_is_full};

/* ---- the client's side ---- */

static struct pair *pair_of(struct forward *f, struct str id)
{
    LIST_FOREACH (node, &f->pairs)
        if (str_is(id, CONTAINER_OF(node, struct pair, node)->id))
            return CONTAINER_OF(node, struct pair, node);
    struct pair *p = NEW(struct pair);
    p->forward = f;
    memcpy(p->id, id.p, MIN(id.n, sizeof(p->id) - 1));
    list_add_tail(&f->pairs, &p->node);
    return p;
}

static void pair_start(struct pair *p)
{
    AUTO_DONE(buf) struct buf reason = {0};
    struct pod *pod = map_find_cstr(&p->forward->of->pods, p->forward->key);
    p->started = true;
    if (pod)
        p->lane = forward_lane_new(pod, p->port, &lane_ops, p, &reason);
    else
        buf_addf(&reason, "pod %s is not on this node any more", p->forward->key);
    if (!p->lane)
        lane_over(buf_cstr(&reason), p);
}

static bool on_stream(struct spdy_session *s, struct spdy_stream *st, void *user)
{
    struct forward *f = user;
    struct str type = spdy_session_header(s, "streamtype"),
               id = spdy_session_header(s, "requestid");
    uint64_t port;
    bool data = str_is(type, "data");
    if ((!data && !str_is(type, "error")) || id.n >= ID_BYTES ||
        str_to_u64(spdy_session_header(s, "port"), &port) < 0 || port < 1 || port > UINT16_MAX)
        return false;
    struct pair *p = pair_of(f, id);
    if (p->started || (data ? p->data : p->error))
        return false;
    *(data ? &p->data : &p->error) = st;
    spdy_stream_set_user(st, p);
    p->port = (uint16_t)port;
    if (p->data && p->error)
        pair_start(p);
    return true;
}

static bool on_data(struct spdy_stream *st, struct str bytes, bool end, void *user)
{
    struct pair *p = spdy_stream_user(st);
    bool more = true;
    (void)user;
    if (!p || st != p->data || !p->lane)
        return true;
    if (bytes.n)
        more = forward_lane_take(p->lane, bytes);
    if (end)
        forward_lane_take_end(p->lane);
    return more;
}

static void on_reset(struct spdy_stream *st, void *user)
{
    struct pair *p = spdy_stream_user(st);
    (void)user;
    if (!p)
        return;
    *(st == p->data ? &p->data : &p->error) = NULL;
    if (!p->data)
        pair_free(p);
}

static void on_drain(struct spdy_session *s, void *user)
{
    struct forward *f = user;
    (void)s;
    LIST_FOREACH (node, &f->pairs)
        if (CONTAINER_OF(node, struct pair, node)->lane)
            forward_lane_resume(CONTAINER_OF(node, struct pair, node)->lane);
}

static void on_gone(struct spdy_session *s, void *user)
{
    struct forward *f = user;
    (void)s;
    while (!list_is_empty(&f->pairs))
        pair_free(CONTAINER_OF(f->pairs.next, struct pair, node));
    free(f->key);
    free(f);
}

void kubelet_forward(struct pod *p, struct http_exchange *x)
{
    static const struct spdy_session_ops ops = {on_stream, on_data, on_reset, on_drain, on_gone};
    static const char *const known[] = {"portforward.k8s.io"};
    const char *protocol = spdy_protocol_wanted(x, known, ARRAY_LEN(known));
    if (!protocol && forward_channels_wanted(x)) {
        forward_channels(p, x);
        return;
    }
    if (!protocol) {
        kubelet_fail(x, 400, "BadRequest",
                     "port-forward needs SPDY/3.1 with portforward.k8s.io, or a WebSocket with "
                     "SPDY/3.1+portforward.k8s.io or v4.channel.k8s.io");
        return;
    }
    struct forward *f = NEW(struct forward);
    list_init(&f->pairs);
    f->of = p->node;
    f->key = xstrdup(p->key);
    f->session = spdy_session_new(x, protocol, &ops, f);
    spdy_session_start(f->session);
}
