/* The stream to a control plane: it is opened again with a growing, jittered pause whenever it
 * ends; what is in force stays in force meanwhile. */
#include "proxy/ads.h"

#include <errno.h>
#include <malloc.h>

#include "base/log.h"
#include "base/rand.h"
#include "proxy/control_channel.h"
#include "xds/xds_client.h"

enum {
    PAUSE_MS = 500,
    PAUSE_MAX_MS = 30 * 1000,
    STEADY_MS = 10 * 1000, /* a stream that has lived so long was a good one */
    METADATA_MAX = 16,
    TRIM_BYTES = 1 << 20, /* of a response, behind which memory is given back */
    TRIM_MS = 1000,
};

struct ads {
    struct loop *loop;
    struct store *store;
    struct xds_client *client;
    struct last_good *good; /* NULL: nothing is kept on disk */
    struct grpc_channel *channel;
    struct grpc_call *call;
    struct loop_timer *timer; /* of the next try */
    struct loop_timer *trim;  /* of giving memory back */
    struct loop_call flush;
    uint64_t pause_ms;
    uint64_t open_since_ms; /* 0: it is not */
    struct arena *arena;    /* node and metadata */
    Envoy__Config__Core__V3__Node *node;
    char *cluster;
    char *authority;
    struct grpc_metadata metadata[METADATA_MAX + 1]; /* room for the token */
    size_t n_metadata;
    char *token_file; /* NULL: none */
    bool identity;
    struct name_table *names; /* NULL: there is no DNS here */
    char *unwell;             /* how the workload is; "": well; NULL: not known */
};

/* ---- the stream ---- */

static void pause_and_connect(struct ads *a)
{
    if (a->open_since_ms && loop_now_ms(a->loop) - a->open_since_ms >= STEADY_MS)
        a->pause_ms = PAUSE_MS;
    a->open_since_ms = 0;
    uint64_t pause = a->pause_ms / 2 + rand_u64() % (a->pause_ms / 2 + 1);
    loop_timer_start(a->timer, pause);
    a->pause_ms = MIN(a->pause_ms * 2, (uint64_t)PAUSE_MAX_MS);
}

/* What a long response was unpacked into is in pieces, which malloc() keeps. */
static void on_trim(void *user)
{
    (void)user;
    malloc_trim(0);
}

static void on_message(struct grpc_call *call, struct str message, void *user)
{
    struct ads *a = user;
    struct err err = {0};
    (void)call;
    if (message.n >= TRIM_BYTES)
        loop_timer_start(a->trim, TRIM_MS);
    if (xds_client_receive(a->client, message, &err) < 0) {
        log_error("a response of the control plane cannot be read", kv_s("error", err_text(&err)));
        xds_client_close(a->client);
        grpc_call_cancel(TAKE(a->call));
        grpc_channel_free(TAKE(a->channel));
        pause_and_connect(a);
    }
}

static void on_over(struct grpc_call *call, int code, const char *text, void *user)
{
    struct ads *a = user;
    (void)call;
    a->call = NULL;
    xds_client_close(a->client);
    stats_set_to(stats_main(stats_server()), SERVER_STAT_CONTROL_PLANE, 0);
    log_warn("the stream to the control plane has ended", kv_i("grpc_code", code),
             kv_s("error", text));
    if (!a->channel)
        return;
    grpc_channel_free(TAKE(a->channel));
    pause_and_connect(a);
}

static void on_open(struct grpc_channel *c, void *user)
{
    static const struct grpc_call_ops ops = {.on_message = on_message, .on_over = on_over};
    struct ads *a = user;
    AUTO_DONE(buf) struct buf token = {0};
    size_t n = a->n_metadata;
    /* Without one the control plane says what it thinks of that. */
    if (a->token_file && control_token_read(a->token_file, &a->metadata[n], &token))
        n++;
    a->call = grpc_call_new(c, xds_client_method(a->client), a->metadata, n, &ops, a);
    if (!a->call) {
        grpc_channel_free(TAKE(a->channel));
        pause_and_connect(a);
        return;
    }
    stats_set_to(stats_main(stats_server()), SERVER_STAT_CONTROL_PLANE, 1);
    log_info("connected to the control plane", kv_s("cluster", a->cluster));
    a->open_since_ms = loop_now_ms(a->loop);
    xds_client_open(a->client);
    if (a->unwell)
        xds_client_tell_health(a->client, !*a->unwell, a->unwell);
}

void ads_tell_health(struct ads *a, bool healthy, const char *message)
{
    free(a->unwell);
    a->unwell = xstrdup(healthy ? "" : *message ? message : "unhealthy");
    if (a->call)
        xds_client_tell_health(a->client, healthy, a->unwell);
}

static void on_close(struct grpc_channel *c, int code, const char *text, void *user)
{
    struct ads *a = user;
    (void)c;
    (void)code;
    a->channel = NULL;
    log_warn("no connection to the control plane", kv_s("cluster", a->cluster),
             kv_s("error", text));
    pause_and_connect(a);
}

static void on_connect(void *user)
{
    static const struct grpc_channel_ops ops = {.on_open = on_open, .on_close = on_close};
    struct ads *a = user;
    const char *why = NULL;
    a->channel = control_channel_new(a->loop, a->store, a->cluster, a->authority, &ops, a, &why);
    if (a->channel)
        return;
    log_warn("the control plane cannot be called", kv_s("cluster", a->cluster), kv_s("error", why));
    pause_and_connect(a);
}

/* ---- resources ---- */

static void on_send(struct str message, void *user)
{
    struct ads *a = user;
    if (a->call)
        grpc_call_send(a->call, message);
}

static void on_update(const struct xds_update *u, struct buf *refused, void *user)
{
    struct ads *a = user;
    if (u->type == XDS_NAMES && a->names)
        name_table_update(a->names, u, refused);
    else if (u->type != XDS_NAMES)
        store_update(a->store, u, refused);
    if (a->good)
        last_good_update(a->good, u);
    if (refused->n)
        log_warn("resources are refused", kv_s("type", xds_resource_type(u->type)->word),
                 kv_str("error", buf_str(refused)));
}

static void on_flush(void *user)
{
    struct ads *a = user;
    xds_client_flush(a->client);
}

void ads_want(struct ads *a, enum xds_resource type, struct str name, bool wanted)
{
    if (!name.n && type != XDS_CLUSTER && type != XDS_LISTENER)
        return; /* nothing has no name */
    if (!name.n)
        xds_client_subscribe_all(a->client, type);
    else if (wanted)
        xds_client_subscribe(a->client, type, name);
    else
        xds_client_unsubscribe(a->client, type, name);
    if (a->good && !wanted)
        last_good_forget(a->good, type, name);
    loop_defer_soon(a->loop, &a->flush);
}

/* ---- what is kept on disk ---- */

static bool hold(enum xds_resource type, const struct xds_item *i, void *user)
{
    struct ads *a = user;
    bool wanted = type == XDS_CLUSTER || type == XDS_LISTENER ||
                  xds_client_is_subscribed(a->client, type, i->name);
    if (wanted)
        xds_client_hold(a->client, type, i->name, i->version);
    return wanted;
}

void ads_keep(struct ads *a, struct last_good *g, const Envoy__Config__Bootstrap__V3__Bootstrap *b)
{
    a->good = g;
    last_good_restore(g, b, hold, a);
}

/* ---- configuration ---- */

typedef Envoy__Config__Core__V3__ApiConfigSource pb_source;

static int read_service(struct ads *a, const pb_source *m, struct pb_path *path, struct err *reterr)
{
    if (m->n_grpc_services != 1 ||
        m->grpc_services[0]->target_specifier_case !=
            ENVOY__CONFIG__CORE__V3__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC)
        return pb_path_fail(path, reterr, -EINVAL, "needs one of grpc_services, with envoy_grpc");
    const Envoy__Config__Core__V3__GrpcService *s = m->grpc_services[0];
    a->cluster = xstrdup(s->envoy_grpc->cluster_name);
    a->authority = xstrdup(*s->envoy_grpc->authority ? s->envoy_grpc->authority : a->cluster);
    if (s->n_initial_metadata > METADATA_MAX)
        return pb_path_fail(path, reterr, -EINVAL, "more than %d of initial_metadata",
                            METADATA_MAX);
    for (size_t i = 0; i < s->n_initial_metadata; i++) {
        struct grpc_metadata *to = &a->metadata[a->n_metadata++];
        to->name = arena_str(a->arena, str_from(s->initial_metadata[i]->key));
        to->value = arena_str(a->arena, str_from(s->initial_metadata[i]->value));
    }
    return 0;
}

/* Which types of our own it may be sent, and whether the mesh's TLS may be asked of it. */
static int add_features(struct ads *a)
{
    size_t n = 0, had = a->node->n_client_features;
    while (xds_own_type(n))
        n++;
    char **all = arena_alloc(a->arena, (had + n + 1) * sizeof(*all));
    if (!all)
        return -ENOMEM;
    if (had)
        memcpy(all, a->node->client_features, had * sizeof(*all));
    for (size_t i = 0; i < n; i++) {
        AUTO_CHARS char *feature = xasprintf(XDS_OWN_PREFIX "%s", xds_own_type(i));
        struct str kept = arena_str(a->arena, str_from(feature));
        if (!kept.p)
            return -ENOMEM;
        all[had + i] = (char *)(uintptr_t)kept.p;
    }
    a->node->client_features = all;
    a->node->n_client_features = had + n;
    if (a->identity)
        all[a->node->n_client_features++] = (char *)(uintptr_t)XDS_IDENTITY_FEATURE;
    return 0;
}

/* A copy of the bootstrap's node, with what this program says of itself. */
static int read_node(struct ads *a, const Envoy__Config__Core__V3__Node *m, struct err *reterr)
{
    AUTO_DONE(buf) struct buf b = {0};
    Envoy__Config__Core__V3__Node none;
    ProtobufCMessage *copy;
    envoy__config__core__v3__node__init(&none);
    int r = pb_pack(m ? &m->base : &none.base, &b);
    if (r == 0)
        r = pb_unpack(&envoy__config__core__v3__node__descriptor, buf_str(&b), a->arena, &copy,
                      reterr);
    if (r < 0)
        return r;
    a->node = (Envoy__Config__Core__V3__Node *)copy;
    a->node->user_agent_name = (char *)(uintptr_t) "fairlead";
    a->node->user_agent_version_type_case =
        ENVOY__CONFIG__CORE__V3__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_VERSION;
    a->node->user_agent_version = (char *)(uintptr_t)FAIRLEAD_VERSION;
    return add_features(a);
}

static int read_config(struct ads *a, const Envoy__Config__Bootstrap__V3__Bootstrap *b,
                       bool *ret_delta, struct err *reterr)
{
    struct pb_path path = {.n = 0};
    const pb_source *m = b->dynamic_resources->ads_config;
    pb_path_field(&path, "dynamic_resources");
    pb_path_field(&path, "ads_config");
    switch ((unsigned)m->api_type) {
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__GRPC:
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__AGGREGATED_GRPC:
        *ret_delta = false;
        break;
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__DELTA_GRPC:
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__AGGREGATED_DELTA_GRPC:
        *ret_delta = true;
        break;
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE:
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__REST:
    default:
        return pb_path_fail(&path, reterr, -EINVAL, "api_type: only GRPC and DELTA_GRPC");
    }
    int r = read_service(a, m, &path, reterr);
    return r < 0 ? r : read_node(a, b->node, reterr);
}

int ads_new(struct loop *l, struct store *s, const Envoy__Config__Bootstrap__V3__Bootstrap *b,
            const struct ads_options *o, struct ads **ret, struct err *reterr)
{
    static const struct xds_client_ops ops = {.send = on_send, .on_update = on_update};
    struct ads *a = NEW(struct ads);
    bool delta;
    a->loop = l;
    a->store = s;
    a->arena = arena_new(0);
    a->pause_ms = PAUSE_MS;
    a->token_file = o->token_file ? xstrdup(o->token_file) : NULL;
    a->identity = o->identity;
    a->names = o->names;
    a->timer = loop_timer_new(l, on_connect, a);
    a->trim = loop_timer_new(l, on_trim, a);
    loop_call_init(&a->flush, on_flush, a);
    int r = read_config(a, b, &delta, reterr);
    if (r < 0) {
        ads_free(a);
        return r;
    }
    a->client = xds_client_new(delta, a->node, &ops, a);
    if (a->names)
        xds_client_subscribe_all(a->client, XDS_NAMES);
    loop_timer_start(a->timer, 0);
    *ret = a;
    return 0;
}

void ads_free(struct ads *a)
{
    if (!a)
        return;
    loop_call_cancel(&a->flush);
    loop_timer_free(a->timer);
    loop_timer_free(a->trim);
    grpc_channel_free(a->channel);
    xds_client_free(a->client);
    arena_free(a->arena);
    free(a->cluster);
    free(a->authority);
    free(a->token_file);
    free(a->unwell);
    free(a);
}

const char *ads_cluster(const struct ads *a)
{
    return a->cluster;
}
