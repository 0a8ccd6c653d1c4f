/* Node ports of Services, health check ports included: one pool of numbers, whatever the protocol.
 *
 * A create gives ports of one number (53 of TCP and UDP) one node port. An update keeps node ports
 * by the port's name, and takes new ones for the rest. Who holds what: alloc.c. */
#include "base/rand.h"
#include "lab/apiserver/api_priv.h"

static bool uses_node_ports(const json_t *spec)
{
    const char *type = json_key_str(spec, "type");
    return streq(type, "NodePort") || streq(type, "LoadBalancer");
}

/* A load balancer may do without; what is asked for is given all the same. */
static bool wants_node_ports(const json_t *spec)
{
    return !streq(json_key_str(spec, "type"), "LoadBalancer") ||
           !json_is_false(json_object_get(spec, "allocateLoadBalancerNodePorts"));
}

static bool needs_health_port(const json_t *spec)
{
    return streq(json_key_str(spec, "type"), "LoadBalancer") &&
           streq(json_key_str(spec, "externalTrafficPolicy"), "Local");
}

static int64_t number_of(const json_t *port)
{
    return json_at_int(port, "nodePort", 0);
}

static bool has_number(const json_t *spec, int64_t number)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(spec, "ports"), i,
                       p) if (number_of(p) == number) return true;
    return false;
}

/* ---- what an update leaves out ---- */

static int64_t number_by_name(const json_t *spec, const char *name)
{
    int64_t number = 0;
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(spec, "ports"), i, p)
    {
        const char *have = json_key_str(p, "name");
        if (streq(have ? have : "", name ? name : ""))
            number = number_of(p);
    }
    return number;
}

void api_service_keep_ports(json_t *spec, const json_t *old)
{
    size_t i;
    json_t *p;
    if (uses_node_ports(spec) && uses_node_ports(old)) {
        AUTO_JSON json_t *given = json_deep_copy(spec);
        json_array_foreach(json_object_get(spec, "ports"), i, p)
        {
            int64_t was = number_by_name(old, json_key_str(p, "name"));
            if (!number_of(p) && was && !has_number(given, was))
                json_put_int(p, "nodePort", was);
        }
    }
    if (needs_health_port(spec) && needs_health_port(old) &&
        !json_at_int(spec, "healthCheckNodePort", 0))
        json_object_set(spec, "healthCheckNodePort", json_object_get(old, "healthCheckNodePort"));
}

void api_service_drop_ports(json_t *spec, const json_t *old)
{
    bool all_old = true;
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(spec, "ports"), i, p) all_old =
        all_old && (!number_of(p) || has_number(old, number_of(p)));
    if (uses_node_ports(old) && !uses_node_ports(spec) && all_old)
        json_array_foreach(json_object_get(spec, "ports"), i, p) json_object_del(p, "nodePort");
    if (needs_health_port(old) && !needs_health_port(spec) &&
        json_at_int(spec, "healthCheckNodePort", 0) == json_at_int(old, "healthCheckNodePort", 0))
        json_object_del(spec, "healthCheckNodePort");
}

/* ---- allocation ---- */

/* The numbers that this call has given out so far. */
struct numbers {
    const struct api_server *server;
    const json_t *self;
    VEC(int64_t) given;
};

static bool is_taken(const struct numbers *n, int64_t number)
{
    for (size_t i = 0; i < n->given.n; i++)
        if (n->given.v[i] == number)
            return true;
    return alloc_port_taken(&n->server->alloc, number, json_at_str(n->self, "metadata.uid"));
}

/* Why it cannot be had, owned; NULL: it is given. */
static char *give(struct numbers *n, int64_t number)
{
    const struct api_config *c = &n->server->config;
    if (number < c->node_port_first || number > c->node_port_last)
        return xasprintf("provided port is not in the valid range. The range of valid ports is "
                         "%u-%u",
                         c->node_port_first, c->node_port_last);
    if (is_taken(n, number))
        return xstrdup("provided port is already allocated");
    vec_push(&n->given, number);
    return NULL;
}

/* By chance from the upper part of the range, so that the lower stays for fixed ones (KEP-3668);
 * 0: none is free. */
static int64_t give_any(struct numbers *n)
{
    const struct api_config *c = &n->server->config;
    uint64_t span = (uint64_t)c->node_port_last - c->node_port_first + 1;
    uint64_t fixed = span < 32 ? 0 : MIN(MAX(span / 32, (uint64_t)16), (uint64_t)128);
    uint64_t start = rand_below(span - fixed);
    for (uint64_t i = 0; i < span; i++) {
        /* the upper part, then the lower one */
        uint64_t at = i < span - fixed ? fixed + (start + i) % (span - fixed) : i - (span - fixed);
        int64_t number = (int64_t)(c->node_port_first + at);
        if (is_taken(n, number))
            continue;
        vec_push(&n->given, number);
        return number;
    }
    return 0;
}

static void give_asked(struct numbers *n, size_t i, int64_t number, struct field_errors *e)
{
    AUTO_CHARS char *why = give(n, number);
    AUTO_JSON json_t *value = json_integer(number);
    if (why)
        error_invalid(e, value, why, "spec.ports[%zu].nodePort", i);
}

static void give_new(struct numbers *n, json_t *port, struct field_errors *e)
{
    int64_t number = give_any(n);
    if (number)
        json_put_int(port, "nodePort", number);
    else
        error_internal(e, "failed to allocate a nodePort: range is full", "spec.ports");
}

/* The node port asked for by the first port of this number, and the one given to it. */
static int64_t asked_for(const json_t *ports, int64_t port)
{
    size_t i;
    json_t *p;
    json_array_foreach((json_t *)(uintptr_t)ports, i, p) if (json_at_int(p, "port", 0) == port &&
                                                             number_of(p)) return number_of(p);
    return 0;
}

static int64_t given_before(const json_t *ports, size_t before, int64_t port)
{
    for (size_t i = 0; i < before; i++) {
        const json_t *p = json_array_get(ports, i);
        if (json_at_int(p, "port", 0) == port && number_of(p))
            return number_of(p);
    }
    return 0;
}

static void settle_created(struct numbers *n, json_t *spec, struct field_errors *e)
{
    json_t *ports = json_object_get(spec, "ports"), *p;
    size_t i;
    json_array_foreach(ports, i, p)
    {
        int64_t port = json_at_int(p, "port", 0), number = number_of(p);
        int64_t given = given_before(ports, i, port), asked = asked_for(ports, port);
        if (e->n)
            return;
        if (!number && !wants_node_ports(spec))
            continue;
        if (!given && asked) {
            give_asked(n, i, asked, e);
            json_put_int(p, "nodePort", asked);
        } else if (!given) {
            give_new(n, p, e);
        } else if (!number) {
            json_put_int(p, "nodePort", given);
        } else if (number != given) {
            give_asked(n, i, number, e);
        }
    }
}

static void settle_updated(struct numbers *n, json_t *spec, const json_t *old,
                           struct field_errors *e)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(spec, "ports"), i, p)
    {
        int64_t number = number_of(p);
        bool given = false;
        for (size_t k = 0; k < n->given.n; k++)
            given = given || n->given.v[k] == number;
        if (e->n)
            return;
        if (!number && wants_node_ports(spec))
            give_new(n, p, e);
        else if (number && !given && !has_number(old, number))
            give_asked(n, i, number, e);
    }
}

static void settle_health_port(struct numbers *n, json_t *spec, const json_t *old,
                               struct field_errors *e)
{
    static const char member[] = "healthCheckNodePort";
    int64_t asked = json_at_int(spec, member, 0);
    if (!needs_health_port(spec) || needs_health_port(old))
        return;
    AUTO_CHARS char *why = asked ? give(n, asked) : NULL;
    int64_t number = asked ? asked : give_any(n);
    if (why || !number)
        error_internal(e, why ? why : "range is full", "spec.%s", member);
    else
        json_put_int(spec, member, number);
}

void api_service_settle_ports(const struct api_server *s, json_t *object, const json_t *old,
                              struct field_errors *e)
{
    json_t *spec = json_object_get(object, "spec");
    struct numbers n = {.server = s, .self = object};
    if (uses_node_ports(spec) && !old)
        settle_created(&n, spec, e);
    else if (uses_node_ports(spec))
        settle_updated(&n, spec, old, e);
    if (e->n == 0)
        settle_health_port(&n, spec, old, e);
    vec_done(&n.given);
}
