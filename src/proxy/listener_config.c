/* From a Listener message to what the workers listen for. */
#include "proxy/listener_config.h"

typedef Envoy__Config__Listener__V3__Listener pb_listener;

struct listener_config *listener_config_ref(struct listener_config *l)
{
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void listener_config_unref(struct listener_config *l)
{
    if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
        return;
    http_config_free(l->http);
    vec_done(&l->https);
    free(l->name);
    free(l);
}

static int compile_address(struct compile *c, const pb_listener *m, struct listener_config *ret)
{
    const Envoy__Config__Core__V3__Address *a = m->address;
    if (!a || a->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS ||
        a->socket_address->port_specifier_case !=
            ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE)
        return COMPILE_FAIL(c, "address: only a socket_address with port_value is implemented yet");
    if (ip_parse(str_from(a->socket_address->address), &ret->ip) < 0)
        return COMPILE_FAIL(c, "address: malformed IP address: %s", a->socket_address->address);
    ret->port = (uint16_t)a->socket_address->port_value;
    return 0;
}

static int compile(struct compile *c, const pb_listener *m, struct listener_config *l)
{
    static const char hcm[] =
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    int r = compile_address(c, m, l);
    if (r < 0)
        return r;
    l->name = xstrdup(m->name);
    if (m->n_filter_chains != 1 || m->n_listener_filters)
        return COMPILE_FAIL(c, "only one filter chain and no listener filters are implemented yet");
    pb_path_field(&c->path, "filter_chains");
    pb_path_index(&c->path, 0);
    const Envoy__Config__Listener__V3__FilterChain *chain = m->filter_chains[0];
    if (chain->n_filters != 1 || !chain->filters[0]->typed_config || chain->transport_socket)
        return COMPILE_FAIL(c, "only one filter and no transport socket are implemented yet");
    pb_path_field(&c->path, "filters");
    pb_path_index(&c->path, 0);
    pb_path_field(&c->path, "typed_config");
    const Google__Protobuf__Any *any = chain->filters[0]->typed_config;
    if (!str_is(pb_type_name(str_from(any->type_url)), hcm))
        return COMPILE_FAIL(c, "only %s is implemented yet", hcm);
    ProtobufCMessage *message;
    r = pb_unpack(
        &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor,
        str_of(any->value.data, any->value.len), c->scratch, &message, c->err);
    if (r == 0)
        r = http_config_compile(c, (const void *)message, &l->http);
    if (r == 0)
        vec_push(&l->https, l->http);
    return r;
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
