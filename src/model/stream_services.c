/* Ports to Services. Pure. */
#include "model/stream_services.h"

#include <netinet/in.h>
#include <stdlib.h>

void stream_services_done(struct stream_services *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->v[i].service);
        free(s->v[i].port);
    }
    free(s->v);
    *s = (struct stream_services){0};
}

/* NULL: taken; else why not. */
static const char *read_one(const char *listen, const char *value, struct stream_service *ret)
{
    struct str rest, name, words, more, ns = str_cut(str_from(value), '/', &rest), port;
    uint64_t number;
    if (str_to_u64(str_from(listen), &number) < 0 || !number || number > 65535)
        return "its key must be a port";
    if (!rest.p)
        return "it must be namespace/service:port";
    name = str_cut(rest, ':', &rest);
    port = rest.p ? str_cut(rest, ':', &words) : (struct str){NULL, 0};
    if (!str_is_dns1123_label(ns) || !str_is_dns1123_label(name) || !port.n ||
        !str_is_dns1123_label(port))
        return "it must be namespace/service:port";
    *ret = (struct stream_service){.listen = (uint16_t)number};
    if (words.p) {
        struct str in = str_cut(words, ':', &more);
        if ((in.n && !str_is(in, "PROXY")) || (more.p && more.n && !str_is(more, "PROXY")))
            return "behind the port only PROXY may stand, twice";
        if (more.p && more.n)
            return "the PROXY protocol is not spoken to endpoints yet";
        ret->proxied = in.n;
    }
    ret->service = xasprintf(STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name));
    ret->port = str_dup(port);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const struct stream_service *x = a, *y = b;
    return (x->listen > y->listen) - (x->listen < y->listen);
}

static const char *why_not(const struct stream_services *have, const uint16_t *taken, size_t n,
                           uint16_t listen)
{
    for (size_t i = 0; i < n; i++)
        if (taken[i] == listen)
            return "the gateways use that port themselves";
    for (size_t i = 0; i < have->n; i++)
        if (have->v[i].listen == listen)
            return "the port is there twice";
    return have->n == STREAM_SERVICES_MAX ? "there are more than 1000" : NULL;
}

void stream_services_read(const char *key, const json_t *data, const uint16_t *taken, size_t n,
                          struct stream_services *ret, struct findings *f)
{
    const char *listen;
    json_t *value;
    *ret = (struct stream_services){0};
    json_object_foreach((json_t *)(uintptr_t)data, listen, value)
    {
        struct stream_service one = {0};
        const char *text = json_is_string(value) ? json_string_value(value) : "",
                   *why = read_one(listen, text, &one);
        if (!why)
            why = why_not(ret, taken, n, one.listen);
        if (why) {
            AUTO_CHARS char *field = xasprintf("data[%.32s]", listen);
            finding_add(f, FINDING_WARNING, "StreamServiceInvalid", key, field, NULL,
                        "\"%.80s\" is not served: %s", text, why);
            free(one.service);
            free(one.port);
            continue;
        }
        ret->v = xrealloc(ret->v, (ret->n + 1) * sizeof(*ret->v));
        ret->v[ret->n++] = one;
    }
    if (ret->n)
        qsort(ret->v, ret->n, sizeof(*ret->v), compare);
}

void stream_services_refuse_udp(const char *key, const json_t *data, struct findings *f)
{
    const char *listen;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)data, listen, value)
    {
        AUTO_CHARS char *field = xasprintf("data[%.32s]", listen);
        finding_add(f, FINDING_WARNING, "UdpNotSupported", key, field,
                    "give the Service a type of LoadBalancer of its own",
                    "\"%.80s\" is not served: gateways do not proxy UDP",
                    json_is_string(value) ? json_string_value(value) : "");
    }
}

uint16_t stream_service_port(const struct stream_service *s, const struct service_join *join)
{
    const struct joined_service *found = service_join_find(join, s->service);
    uint64_t number = 0;
    bool named = str_to_u64(str_from(s->port), &number) < 0;
    for (uint16_t i = 0; found && found->object && i < found->object->n_ports; i++)
        if (found->object->ports[i].proto == IPPROTO_TCP &&
            (named ? streq(found->object->ports[i].name, s->port)
                   : found->object->ports[i].port == number))
            return found->object->ports[i].port;
    return 0;
}
