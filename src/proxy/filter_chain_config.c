/* From FilterChain messages to chains: how their connections are spoken to, and what serves them.
 */
#include "proxy/filter_chain.h"

#include <stats/config.pb-c.h>

#include "proxy/duration.h"
#include "proxy/filter_chain_match.h"
#include "proxy/network_rbac.h"

typedef Envoy__Config__Listener__V3__FilterChain pb_chain;

enum { NETWORK_FILTERS_MAX = 16 };

static void filter_chain_clear(struct filter_chain *chain)
{
    filter_chain_match_free(chain->match);
    tls_slot_unref(chain->tls);
    VEC_FOREACH (f, &chain->rbac)
        network_rbac_free(*f);
    vec_done(&chain->rbac);
    http_config_free(chain->http);
    tcp_config_free(chain->tcp);
    free(chain->name);
}

void filter_chains_done(struct filter_chains *all)
{
    VEC_FOREACH (chain, &all->v)
        filter_chain_clear(chain);
    vec_done(&all->v);
    void *list;
    for (size_t at = 0; map_next(&all->by_name, &at, NULL, &list);) {
        vec_done(&((struct filter_chain_list *)list)->all);
        free(list);
    }
    map_done(&all->by_name);
    if (all->otherwise)
        filter_chain_clear(all->otherwise);
    free(all->otherwise);
}

/* Whether connections are counted: said before what serves them. */
static int mesh_watch_compile(struct compile *c, struct str bytes, struct mesh_watch *ret)
{
    ProtobufCMessage *m;
    int r = pb_unpack(&stats__plugin_config__descriptor, bytes, c->scratch, &m, c->err);
    if (r == 0)
        ret->reporter = c->inbound ? MESH_DESTINATION : MESH_SOURCE;
    return r;
}

static int compile_filter(struct compile *c, const Envoy__Config__Listener__V3__Filter *m,
                          bool last, struct mesh_watch *watch, struct filter_chain *to)
{
    static const char hcm[] =
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    static const char tcp[] = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    static const char rbac[] = "envoy.extensions.filters.network.rbac.v3.RBAC";
    static const char stats[] = "stats.PluginConfig";
    const Google__Protobuf__Any *any = m->typed_config;
    ProtobufCMessage *message;
    size_t mark = pb_path_field(&c->path, "typed_config");
    if (!any)
        return COMPILE_FAIL(c, "must be set");
    struct str type = pb_type_name(str_from(any->type_url));
    struct str bytes = str_of(any->value.data, any->value.len);
    int r;
    bool serves = !str_is(type, rbac) && !str_is(type, stats);
    if (serves != last) {
        pb_path_back(&c->path, mark);
        return COMPILE_FAIL(c,
                            last ? "non-terminal filter named %s of type %s is the last filter in "
                                   "a network filter chain."
                                 : "terminal filter named %s of type %s must be the last filter in "
                                   "a network filter chain.",
                            m->name, type.p);
    }
    if (str_is(type, hcm)) {
        r = pb_unpack(
            &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor,
            bytes, c->scratch, &message, c->err);
        if (r == 0)
            r = http_config_compile(c, (const void *)message, &to->http);
    } else if (str_is(type, tcp)) {
        r = pb_unpack(&envoy__extensions__filters__network__tcp_proxy__v3__tcp_proxy__descriptor,
                      bytes, c->scratch, &message, c->err);
        if (r == 0)
            r = tcp_config_compile(c, (const void *)message, &to->tcp);
        if (r == 0)
            to->tcp->mesh = *watch;
    } else if (str_is(type, stats)) {
        r = mesh_watch_compile(c, bytes, watch);
    } else if (str_is(type, rbac)) {
        r = network_rbac_compile(c, bytes, vec_add(&to->rbac));
    } else {
        return COMPILE_FAIL(c, "only %s, %s and %s are implemented yet", hcm, tcp, rbac);
    }
    if (r == 0)
        pb_path_back(&c->path, mark);
    return r;
}

static int compile_chain(struct compile *c, const pb_chain *m, struct filter_chain *to)
{
    struct mesh_watch watch = {0}; /* what bytes are counted by */
    if (c->counts)
        watch.reporter = c->inbound ? MESH_DESTINATION : MESH_SOURCE;
    size_t mark;
    int r = 0;
    to->name = xstrdup(m->name);
    to->handshake_timeout_ms = duration_ms(m->transport_socket_connect_timeout, 0);
    if (!to->handshake_timeout_ms)
        to->handshake_timeout_ms = TLS_HANDSHAKE_TIMEOUT_MS;
    if (m->filter_chain_match)
        r = filter_chain_match_compile(c, m->filter_chain_match, &to->match);
    if (r == 0 && m->transport_socket) {
        mark = pb_path_field(&c->path, "transport_socket");
        r = tls_slot_compile_server(c, m->transport_socket, &to->tls);
        if (r == 0)
            pb_path_back(&c->path, mark);
    }
    if (r < 0)
        return r;
    if (!m->n_filters || m->n_filters > NETWORK_FILTERS_MAX)
        return COMPILE_FAIL(c, "filters: 1 to %d", NETWORK_FILTERS_MAX);
    for (size_t i = 0; i < m->n_filters && r == 0; i++) {
        mark = pb_path_field(&c->path, "filters");
        pb_path_index(&c->path, i);
        r = compile_filter(c, m->filters[i], i + 1 == m->n_filters, &watch, to);
        if (r == 0)
            pb_path_back(&c->path, mark);
    }
    return r;
}

/* Whatever a ClientHello has to be looked at for. */
static bool needs_tls_facts(const struct filter_chain_match *m)
{
    return m && (m->server_names.n || m->transport.n || m->protocols.n);
}

int filter_chains_compile(struct compile *c, pb_chain *const *m, size_t n,
                          const pb_chain *otherwise, struct filter_chains *ret)
{
    if (!n && !otherwise)
        return COMPILE_FAIL(c, "no filter chains specified");
    if (n > FILTER_CHAINS_MAX)
        return COMPILE_FAIL(c, "more than %d filter chains", FILTER_CHAINS_MAX);
    vec_reserve(&ret->v, n);
    for (size_t i = 0; i < n; i++) {
        size_t mark = pb_path_field(&c->path, "filter_chains");
        pb_path_index(&c->path, i);
        struct filter_chain *to = vec_add(&ret->v);
        int r = compile_chain(c, m[i], to);
        if (r < 0)
            return r;
        ret->needs_tls_facts = ret->needs_tls_facts || needs_tls_facts(to->match);
        pb_path_back(&c->path, mark);
    }
    if (otherwise) {
        size_t mark = pb_path_field(&c->path, "default_filter_chain");
        ret->otherwise = NEW(struct filter_chain);
        int r = compile_chain(c, otherwise, ret->otherwise);
        if (r < 0)
            return r;
        pb_path_back(&c->path, mark);
    }
    int r = filter_chains_check(c, ret);
    if (r == 0)
        filter_chains_index(ret);
    return r;
}
