/* Streams of the xDS protocol on gRPC calls. A stream whose client does not read is not sent more
 * until what is queued has gone: it then gets what is in force by then. */
#include "control/xds_service.h"

#include <errno.h>
#include <malloc.h>

#include "base/log.h"
#include "base/vec.h"
#include "xds/xds_runs.h"

#define SERVICE "/envoy.service.discovery.v3.AggregatedDiscoveryService/"

enum {
    QUEUED_MAX = 4 << 20, /* bytes on their way to one client before it is left alone */
    STREAMS_MAX = 20000,
    UNKNOWN_MAX = 1024,          /* callers that are being asked about */
    UNKNOWN_BYTES_MAX = 4 << 20, /* of messages of one of them */
    TRIM_BYTES = 64 * 1024, /* a response of that size is part of a burst, behind which memory */
    TRIM_MS = 1000,         /* is given back */
};

struct door {
    struct xds_service *service;
    bool tls;
};

struct xds_service {
    struct door plain, secure;
    struct loop *loop;
    struct grpc_server *server, *tls_server; /* NULL: it is not open */
    struct kube_client *client;
    size_t unknown;
    const struct xds_service_ops *ops;
    void *user;
    bool plain_secrets;
    bool (*on_other)(struct grpc_server_call *call, void *user);
    void *other;
    struct list_node streams;
    struct loop_timer *trim;
    bool burst;
    struct xds_service_stats stats;
};

struct stream {
    struct list_node node;
    struct xds_service *service;
    struct grpc_server_call *call;
    struct xds_stream *xds;
    bool secrets; /* may go there */
    void *part;   /* of who gave the set; NULL: nothing */
    struct xds_client_node who;
    struct callers_check *check; /* NULL: it is known */
    VEC(struct buf) early;       /* messages that came before */
    size_t early_bytes;
};

static void stream_free(struct stream *s)
{
    list_remove(&s->node);
    s->service->stats.streams--;
    s->service->unknown -= s->check != NULL;
    callers_cancel(s->check);
    VEC_FOREACH (b, &s->early)
        buf_done(b);
    vec_done(&s->early);
    xds_stream_free(s->xds);
    if (s->who.account && s->service->ops->on_account)
        s->service->ops->on_account(s->who.account, false, s->service->user);
    free(s->who.account);
    if (s->part)
        s->service->ops->on_end(s->part, s->service->user);
    free(s->who.id);
    free(s->who.cluster);
    free(s->who.version);
    free(s);
}

/* What many were sent is kept for the next of them, and what it was made of and waited in is in
 * pieces, which malloc() keeps. */
static void on_trim(void *user)
{
    struct xds_service *s = user;
    LIST_FOREACH (node, &s->streams)
        xds_stream_trim(CONTAINER_OF(node, struct stream, node)->xds);
    if (s->burst)
        malloc_trim(0);
    s->burst = false;
}

static void on_send(struct chain *message, void *user)
{
    struct stream *s = user;
    s->service->stats.sent++;
    s->service->burst = s->service->burst || message->n >= TRIM_BYTES;
    if (message->n >= XDS_RUN_MIN)
        loop_timer_start(s->service->trim, TRIM_MS);
    grpc_server_call_move(s->call, message);
}

static struct xds_set *on_node(const Envoy__Config__Core__V3__Node *node, void *user,
                               struct err *reterr)
{
    struct stream *s = user;
    if (!node || str_empty(node->id)) {
        err_set(reterr, -EINVAL, "node.id", "a client must say who it is");
        return NULL;
    }
    s->who.id = xstrdup(node->id);
    if (!str_empty(node->cluster))
        s->who.cluster = xstrdup(node->cluster);
    if (node->user_agent_version_type_case ==
        ENVOY__CONFIG__CORE__V3__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_VERSION)
        s->who.version = xstrdup(node->user_agent_version);
    log_info("a proxy has connected", kv_s("node", s->who.id));
    const struct xds_caller caller = {s->secrets, s->who.account};
    struct xds_set *set =
        s->service->ops->on_node(node, &caller, &s->part, s->service->user, reterr);
    s->service->stats.unknown += !set && reterr->code == -EACCES;
    return set;
}

static void on_answer(const struct xds_answer *a, void *user)
{
    struct stream *s = user;
    if (!a->refused) {
        s->service->stats.acked++;
        return;
    }
    s->service->stats.refused++;
    log_warn("a proxy refuses what it was sent", kv_s("node", s->who.id),
             kv_s("type", xds_resource_type(a->type)->word), kv_s("error", a->text));
}

static enum xds_may may_have(struct str secret, void *user)
{
    const struct stream *s = user;
    return s->service->ops->may_have(s->who.account, secret, s->service->user);
}

static void on_health(bool healthy, const char *message, void *user)
{
    struct stream *s = user;
    if (s->part && s->service->ops->on_health)
        s->service->ops->on_health(s->part, healthy, message, s->service->user);
}

static const struct xds_stream_ops xds_ops = {
    .send = on_send, .on_node = on_node, .on_answer = on_answer, .on_health = on_health};

static void push(struct stream *s)
{
    if (!s->check && grpc_server_call_queued(s->call) < QUEUED_MAX)
        xds_stream_push(s->xds);
}

static void end(struct stream *s, enum grpc_code code, const char *why)
{
    log_warn("a stream is ended", kv_s("node", s->who.id ? s->who.id : "?"), kv_s("error", why));
    grpc_server_call_end(s->call, code, why);
    stream_free(s);
}

/* False: the stream is gone. */
static bool receive(struct stream *s, struct str message)
{
    struct err err = {0};
    int r = xds_stream_receive(s->xds, message, &err);
    if (r < 0)
        end(s, r == -EACCES ? GRPC_PERMISSION_DENIED : GRPC_RESOURCE_EXHAUSTED, err_text(&err));
    return r >= 0;
}

static void on_message(struct grpc_server_call *call, struct str message, void *user)
{
    struct stream *s = user;
    struct buf copy = {0};
    (void)call;
    if (!s->check) {
        IGNORE_RESULT(receive(s, message));
        return;
    }
    s->early_bytes += message.n + sizeof(copy);
    if (s->early_bytes > UNKNOWN_BYTES_MAX) {
        end(s, GRPC_RESOURCE_EXHAUSTED, "too much before it is known who asks");
        return;
    }
    buf_add_str(&copy, message);
    vec_push(&s->early, copy);
}

/* ---- who is it? ---- */

static void on_known(bool ok, const char *name, const char *why, void *user)
{
    struct stream *s = user;
    s->check = NULL;
    s->service->unknown--;
    if (!ok) {
        s->service->stats.unknown++;
        end(s, GRPC_UNAUTHENTICATED, why);
        return;
    }
    s->who.account = xstrdup(name);
    if (s->service->ops->on_account)
        s->service->ops->on_account(name, true, s->service->user);
    while (s->early.n) {
        struct buf first = s->early.v[0];
        vec_remove(&s->early, 0);
        bool goes_on = receive(s, buf_str(&first));
        buf_done(&first);
        if (!goes_on)
            return;
    }
}

static void ask_who(struct stream *s)
{
    struct xds_service *service = s->service;
    service->unknown++;
    s->check = callers_ask(service->client, grpc_server_call_metadata(s->call, "authorization"),
                           on_known, s);
}

static void on_client_end(struct grpc_server_call *call, void *user)
{
    grpc_server_call_end(call, GRPC_OK, NULL);
    stream_free(user);
}

static void on_drain(struct grpc_server_call *call, void *user)
{
    (void)call;
    push(user);
}

static void on_over(struct grpc_server_call *call, void *user)
{
    struct stream *s = user;
    (void)call;
    if (s->who.id)
        log_info("a proxy has gone", kv_s("node", s->who.id));
    stream_free(s);
}

static void on_call(struct grpc_server_call *call, void *user)
{
    static const struct grpc_server_call_ops ops = {.on_message = on_message,
                                                    .on_client_end = on_client_end,
                                                    .on_drain = on_drain,
                                                    .on_over = on_over};
    const struct door *door = user;
    struct xds_service *service = door->service;
    struct str path = grpc_server_call_path(call);
    bool delta = str_is(path, SERVICE "DeltaAggregatedResources");
    if (!delta && !str_is(path, SERVICE "StreamAggregatedResources")) {
        if (door->tls && service->on_other && service->on_other(call, service->other))
            return;
        grpc_server_call_end(call, GRPC_UNIMPLEMENTED, "only aggregated discovery is served");
        return;
    }
    if (service->stats.streams >= STREAMS_MAX || service->unknown >= UNKNOWN_MAX) {
        grpc_server_call_end(call, GRPC_RESOURCE_EXHAUSTED, "too many streams");
        return;
    }
    struct stream *s = NEW(struct stream);
    s->service = service;
    s->call = call;
    s->xds = xds_stream_new(delta, &xds_ops, s);
    s->secrets = door->tls || service->plain_secrets;
    if (!s->secrets)
        xds_stream_hide_secrets(s->xds);
    else if (door->tls && service->ops->may_have)
        xds_stream_guard_secrets(s->xds, may_have, s);
    list_add_tail(&service->streams, &s->node);
    service->stats.streams++;
    service->stats.streams_ever++;
    grpc_server_call_set_ops(call, &ops, s);
    if (door->tls)
        ask_who(s);
}

static const struct grpc_server_ops server_ops = {.on_call = on_call};

int xds_service_new(struct loop *l, const struct ip *ip, uint16_t port,
                    const struct xds_service_options *o, const struct xds_service_ops *ops,
                    void *user, struct xds_service **ret, struct err *reterr)
{
    const struct grpc_server_config config = {0};
    struct xds_service *s = NEW(struct xds_service);
    s->plain = (struct door){s, false};
    s->secure = (struct door){s, true};
    s->loop = l;
    s->client = o->client;
    s->ops = ops;
    s->user = user;
    s->plain_secrets = o->plain_secrets;
    s->on_other = o->on_other;
    s->other = o->other;
    list_init(&s->streams);
    int r = grpc_server_new(l, ip, port, &config, &server_ops, &s->plain, &s->server, reterr);
    if (r < 0) {
        free(s);
        return r;
    }
    s->trim = loop_timer_new(l, on_trim, s);
    *ret = s;
    return 0;
}

int xds_service_serve_tls(struct xds_service *s, const struct ip *ip, uint16_t port,
                          struct tls_context *tls, struct err *reterr)
{
    const struct grpc_server_config config = {.tls = tls};
    if (!s->tls_server)
        return grpc_server_new(s->loop, ip, port, &config, &server_ops, &s->secure, &s->tls_server,
                               reterr);
    grpc_server_set_tls(s->tls_server, tls);
    return 0;
}

void xds_service_free(struct xds_service *s)
{
    if (!s)
        return;
    grpc_server_free(s->tls_server);
    grpc_server_free(s->server);
    loop_timer_free(s->trim);
    free(s);
}

uint16_t xds_service_port(const struct xds_service *s)
{
    return grpc_server_port(s->server);
}

uint16_t xds_service_tls_port(const struct xds_service *s)
{
    return s->tls_server ? grpc_server_port(s->tls_server) : 0;
}

void xds_service_push(struct xds_service *s)
{
    LIST_FOREACH (node, &s->streams)
        push(CONTAINER_OF(node, struct stream, node));
}

void xds_service_secrets_changed(struct xds_service *s, const char *account)
{
    LIST_FOREACH (node, &s->streams) {
        struct stream *one = CONTAINER_OF(node, struct stream, node);
        if (!one->who.account || !streq(one->who.account, account))
            continue;
        xds_stream_secrets_changed(one->xds);
        push(one);
    }
}

void xds_service_get_stats(const struct xds_service *s, struct xds_service_stats *ret)
{
    *ret = s->stats;
}

void xds_service_visit(const struct xds_service *s,
                       void (*fn)(const struct xds_client_node *node,
                                  const struct xds_stream *stream, void *user),
                       void *user)
{
    LIST_FOREACH (node, &s->streams) {
        const struct stream *one = CONTAINER_OF(node, struct stream, node);
        fn(&one->who, one->xds, user);
    }
}
