/* From a Listener message to what the workers listen for. */
#include "proxy/listener_config.h"
#include "net/listener.h"
#include "proxy/duration.h"
#include "proxy/metadata.h"
#include "xds/xds_types.h"

#include <unistd.h>

#include <envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb-c.h>

typedef Envoy__Config__Listener__V3__Listener pb_listener;
typedef Envoy__Config__Core__V3__Address pb_address;

struct listener_config *listener_config_ref(struct listener_config *l)
{
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void listener_config_unref(struct listener_config *l)
{
    if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
        return;
    VEC_FOREACH (p, &l->addresses) {
        int fd = atomic_load(&p->shared);
        if (fd >= 0)
            close(fd);
        for (unsigned i = 0; i < p->n_bound; i++) {
            fd = atomic_load(&p->bound[i]);
            if (fd >= 0)
                close(fd);
        }
        free(p->bound);
        free(p->path);
    }
    vec_done(&l->addresses);
    for (size_t i = 0; i < LISTENER_FILTERS_MAX; i++)
        port_predicate_free(l->disabled[i]);
    filter_chains_done(&l->chains);
    access_logs_done(&l->logs);
    vec_done(&l->all_logs);
    vec_done(&l->https);
    stats_unref(l->stats);
    free(l->name);
    free(l);
}

bool listener_config_listens_alike(const struct listener_config *a, const struct listener_config *b)
{
    if (a->addresses.n != b->addresses.n || a->bind != b->bind || a->freebind != b->freebind ||
        a->transparent != b->transparent || a->backlog != b->backlog)
        return false;
    for (size_t i = 0; i < a->addresses.n; i++) {
        const struct listening_address *x = &a->addresses.v[i], *y = &b->addresses.v[i];
        if (!x->path != !y->path || (x->path && strcmp(x->path, y->path) != 0) ||
            x->port != y->port || !ip_eq(&x->ip, &y->ip) || x->v6_only != y->v6_only)
            return false;
    }
    return true;
}

/* ---- where ---- */

static int add_address(struct compile *c, const pb_address *a, struct listener_config *l)
{
    struct listening_address p = {.v6_only = true};
    if (a && a->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE) {
        p.path = xstrdup(a->pipe->path);
        p.mode = a->pipe->mode;
    } else if (a && a->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS &&
               a->socket_address->port_specifier_case ==
                   ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE) {
        if (a->socket_address->protocol)
            return COMPILE_FAIL(c, "address: only TCP is implemented");
        if (ip_parse(str_from(a->socket_address->address), &p.ip) < 0)
            return COMPILE_FAIL(c, "address: malformed IP address: %s", a->socket_address->address);
        p.port = (uint16_t)a->socket_address->port_value;
        p.v6_only = !a->socket_address->ipv4_compat;
    } else {
        return COMPILE_FAIL(c, "address: expected a socket_address with port_value, or a pipe");
    }
    vec_push(&l->addresses, p);
    atomic_init(&l->addresses.v[l->addresses.n - 1].shared, -1);
    return 0;
}

static int add_addresses(struct compile *c, const pb_listener *m, struct listener_config *l)
{
    int r = add_address(c, m->address, l);
    if (r == 0 && m->n_additional_addresses >= LISTENER_ADDRESSES_MAX)
        return COMPILE_FAIL(c, "more than %d addresses", LISTENER_ADDRESSES_MAX);
    for (size_t i = 0; i < m->n_additional_addresses && r == 0; i++) {
        size_t mark = pb_path_field(&c->path, "additional_addresses");
        pb_path_index(&c->path, i);
        r = add_address(c, m->additional_addresses[i]->address, l);
        if (r == 0 && l->addresses.v[l->addresses.n - 1].ip.family == AF_INET6 &&
            listener_any().family != AF_INET6)
            l->addresses.n--; /* nobody could ask there: the kernel has no IPv6 */
        if (r == 0)
            pb_path_back(&c->path, mark);
    }
    if (r < 0)
        return r;
    l->ip = l->addresses.v[0].ip;
    l->port = l->addresses.v[0].port;
    return 0;
}

/* ---- what is looked at first ---- */

static bool has_filter(const struct listener_config *l, enum listener_filter f)
{
    return memchr(l->filters, f, l->n_filters) != NULL;
}

static int add_proxy_protocol(struct compile *c, struct str bytes, struct listener_config *l)
{
    ProtobufCMessage *message;
    int r = pb_unpack(
        &envoy__extensions__filters__listener__proxy_protocol__v3__proxy_protocol__descriptor,
        bytes, c->scratch, &message, c->err);
    if (r < 0)
        return r;
    const Envoy__Extensions__Filters__Listener__ProxyProtocol__V3__ProxyProtocol *m =
        (const void *)message;
    l->proxy_optional = m->allow_requests_without_proxy_protocol;
    for (size_t i = 0; i < m->n_disallowed_versions; i++) {
        bool two = m->disallowed_versions[i] ==
                   ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_CONFIG__VERSION__V2;
        l->proxy_no_2 = l->proxy_no_2 || two;
        l->proxy_no_1 = l->proxy_no_1 || !two;
    }
    return 0;
}

static int add_filter(struct compile *c, const Envoy__Config__Listener__V3__ListenerFilter *m,
                      struct listener_config *l)
{
#define LISTENER_TYPE(name) "envoy.extensions.filters.listener." name
    static const char *const types[] = {
        [LISTENER_ORIGINAL_DST] = LISTENER_TYPE("original_dst.v3.OriginalDst"),
        [LISTENER_PROXY_PROTOCOL] = LISTENER_TYPE("proxy_protocol.v3.ProxyProtocol"),
        [LISTENER_TLS_INSPECTOR] = LISTENER_TYPE("tls_inspector.v3.TlsInspector"),
        [LISTENER_HTTP_INSPECTOR] = LISTENER_TYPE("http_inspector.v3.HttpInspector"),
    };
#undef LISTENER_TYPE
    const Google__Protobuf__Any *any = m->typed_config;
    struct str type = any ? pb_type_name(str_from(any->type_url)) : STR("");
    size_t kind = 0;
    while (kind < ARRAY_LEN(types) && !str_is(type, types[kind]))
        kind++;
    if (kind == ARRAY_LEN(types))
        return COMPILE_FAIL(c, "typed_config: no listener filter that is implemented");
    if (l->n_filters == LISTENER_FILTERS_MAX)
        return COMPILE_FAIL(c, "more than %d listener filters", LISTENER_FILTERS_MAX);
    size_t mark = pb_path_field(&c->path, "filter_disabled");
    int r = m->filter_disabled
                ? port_predicate_compile(c, m->filter_disabled, &l->disabled[l->n_filters])
                : 0;
    if (r < 0)
        return r;
    pb_path_back(&c->path, mark);
    l->filters[l->n_filters++] = (uint8_t)kind;
    return kind == LISTENER_PROXY_PROTOCOL
               ? add_proxy_protocol(c, str_of(any->value.data, any->value.len), l)
               : 0;
}

static int add_filters(struct compile *c, const pb_listener *m, struct listener_config *l)
{
    l->filters_timeout_ms = duration_ms(m->listener_filters_timeout, LISTENER_FILTERS_TIMEOUT_MS);
    l->goes_on_after_timeout = m->continue_on_listener_filters_timeout;
    for (size_t i = 0; i < m->n_listener_filters; i++) {
        size_t mark = pb_path_field(&c->path, "listener_filters");
        pb_path_index(&c->path, i);
        int r = add_filter(c, m->listener_filters[i], l);
        if (r < 0)
            return r;
        pb_path_back(&c->path, mark);
    }
    /* use_original_dst alone means the filter, too. */
    if (l->use_original_dst && !has_filter(l, LISTENER_ORIGINAL_DST) &&
        l->n_filters < LISTENER_FILTERS_MAX) {
        memmove(l->disabled + 1, l->disabled, l->n_filters * sizeof(*l->disabled));
        memmove(l->filters + 1, l->filters, l->n_filters++);
        l->disabled[0] = NULL;
        l->filters[0] = LISTENER_ORIGINAL_DST;
    }
    return 0;
}

/* ---- all of it ---- */

static void list_chain(struct listener_config *l, struct filter_chain *chain)
{
    if (chain->http) {
        vec_push(&l->https, chain->http);
        if (chain->http->trace)
            chain->http->trace->outbound = l->outbound;
        chain->http->listener_stats = stats_get(STATS_LISTENER_HTTP, str_from(l->stats->name),
                                                str_from(chain->http->stat_prefix));
        VEC_FOREACH (log, &chain->http->logs)
            vec_push(&l->all_logs, *log);
    }
    if (chain->tcp)
        VEC_FOREACH (log, &chain->tcp->logs)
            vec_push(&l->all_logs, *log);
}

/* Under Envoy's name: 127.0.0.1_8080, [__1]_8080, or what the configuration says. */
static struct stats_set *stats_of_listener(const pb_listener *m, const struct listener_config *l)
{
    const struct listening_address *a = &l->addresses.v[0];
    AUTO_DONE(buf) struct buf name = {0};
    char text[IP_TEXT_BYTES];
    if (*m->stat_prefix)
        buf_add_cstr(&name, m->stat_prefix);
    else if (a->path)
        buf_add_cstr(&name, a->path);
    else
        buf_addf(&name, a->ip.family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip_format(&a->ip, text),
                 a->port);
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == ':')
            name.p[i] = '_';
    return stats_get(STATS_LISTENER, buf_str(&name), STR(""));
}

static bool is_true(const Google__Protobuf__BoolValue *v, bool otherwise)
{
    return v ? v->value : otherwise;
}

static int compile(struct compile *c, const pb_listener *m, struct listener_config *l)
{
    l->name = xstrdup(m->name);
    l->bind = is_true(m->bind_to_port, true) &&
              is_true(m->deprecated_v1 ? m->deprecated_v1->bind_to_port : NULL, true);
    l->use_original_dst = is_true(m->use_original_dst, false);
    l->inbound = m->traffic_direction == ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__INBOUND;
    l->outbound = m->traffic_direction == ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__OUTBOUND;
    c->inbound = l->inbound;
    c->counts = metadata_is_true(metadata_find(m->metadata, XDS_LISTENER_METADATA), "istio_stats");
    l->freebind = is_true(m->freebind, false);
    l->transparent = is_true(m->transparent, false);
    if (m->tcp_backlog_size)
        l->backlog = (int)MIN(m->tcp_backlog_size->value, (uint32_t)INT32_MAX);
    if (m->per_connection_buffer_limit_bytes)
        l->buffer_bytes = m->per_connection_buffer_limit_bytes->value;
    int r = add_addresses(c, m, l);
    if (r == 0)
        r = add_filters(c, m, l);
    if (r == 0)
        r = access_logs_compile(m->access_log, m->n_access_log, &c->path, &l->logs, c->err);
    if (r == 0)
        r = filter_chains_compile(c, m->filter_chains, m->n_filter_chains, m->default_filter_chain,
                                  &l->chains);
    if (r < 0)
        return r;
    /* As Envoy does for who forgot it. */
    if (l->chains.needs_tls_facts && !has_filter(l, LISTENER_TLS_INSPECTOR) &&
        l->n_filters < LISTENER_FILTERS_MAX)
        l->filters[l->n_filters++] = LISTENER_TLS_INSPECTOR;
    l->stats = stats_of_listener(m, l);
    VEC_FOREACH (log, &l->logs)
        vec_push(&l->all_logs, *log);
    VEC_FOREACH (chain, &l->chains.v)
        list_chain(l, chain);
    if (l->chains.otherwise)
        list_chain(l, l->chains.otherwise);
    return 0;
}

int listener_config_compile(struct compile *c, const pb_listener *m, struct listener_config **ret)
{
    struct listener_config *l = NEW(struct listener_config);
    l->refs = 1;
    size_t mark = c->path.n;
    int r = compile(c, m, l);
    if (r < 0) {
        listener_config_unref(l);
        return r;
    }
    pb_path_back(&c->path, mark);
    *ret = l;
    return 0;
}
