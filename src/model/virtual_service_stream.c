/* tls and tcp of a VirtualService: who gets connections of bytes. All but the server's name is
 * known when routes are made: each address has a listener of its own. */
#include "model/virtual_service_priv.h"

static const char *const parts[] = {"tls", "tcp"};

/* "*.a.example", or a name. */
static bool is_server_name(const char *name)
{
    struct str s = str_from(name);
    return str_is_dns1123_subdomain(str_starts(s, STR("*.")) ? str_sub(s, 2, s.n) : s);
}

static bool read_names(struct object_reader *r, const json_t *match, struct route_stream *to)
{
    const json_t *list = json_object_get(match, "sniHosts");
    size_t n = json_array_size(list);
    bool ok = true;
    if (!n)
        return reader_error(r, "sniHosts", "name the servers", "is missing");
    to->server_names = xcalloc(n, sizeof(*to->server_names));
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        size_t mark = reader_enter_item(r, "sniHosts", i);
        if (!name || !is_server_name(name))
            ok = reader_error(r, NULL, "write a DNS name, or *.name", "is no name of a server");
        else
            to->server_names[to->n_server_names++] = xstrdup(name);
        reader_leave(r, mark);
    }
    return ok;
}

/* *ret_covers: the address (NULL: any) is in one of them, or there are none. */
static bool read_subnets(struct object_reader *r, const json_t *match, const struct ip *address,
                         bool *ret_covers)
{
    const json_t *list = json_object_get(match, "destinationSubnets");
    bool ok = true;
    *ret_covers = !json_array_size(list);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        size_t mark = reader_enter_item(r, "destinationSubnets", i);
        struct prefix prefix;
        struct ip one;
        if (text && prefix_parse(str_from(text), &prefix) == 0)
            *ret_covers = *ret_covers || (address && prefix_contains(&prefix, address));
        else if (text && ip_parse(str_from(text), &one) == 0)
            *ret_covers = *ret_covers || (address && ip_eq(&one, address));
        else
            ok = reader_error(r, NULL, "write it as 10.1.0.0/16", "is no network");
        reader_leave(r, mark);
    }
    return ok;
}

/* A match (NULL: all) into a zeroed stream; false: it is wrong. */
static bool read_match(struct object_reader *r, const json_t *match, bool tls,
                       const struct ip *address, struct route_stream *to, bool *ret_covers)
{
    int64_t port = 0;
    bool ok = !tls || read_names(r, match, to);
    ok = read_subnets(r, match, address, ret_covers) && ok;
    return reader_number(r, match, "port", 1, 65535, &port) && ok;
}

static void stream_clear(struct route_stream *s)
{
    for (uint32_t i = 0; i < s->n_server_names; i++)
        free(s->server_names[i]);
    for (uint32_t i = 0; i < s->n_backends; i++)
        route_backend_done(&s->backends[i]);
    free(s->server_names);
    free(s->backends);
}

/* ---- checking ---- */

static void check_stream(struct virtual_service *v, struct object_reader *r, const json_t *of,
                         bool tls)
{
    const json_t *matches = json_object_get(of, "match");
    struct route_stream scratch = {0};
    bool covers;
    if (tls && !json_array_size(matches))
        reader_error(r, "match", "name the servers", "is missing");
    for (size_t k = 0; k < json_array_size(matches); k++) {
        const json_t *match = json_array_get(matches, k);
        size_t mark = reader_enter_item(r, "match", k);
        struct route_stream one = {0};
        read_match(r, match, tls, NULL, &one, &covers);
        virtual_service_note_source(v, match);
        if (json_object_get(match, "sourceSubnet"))
            reader_warn(r, "sourceSubnet", NULL, "has no effect, as in Istio");
        stream_clear(&one);
        reader_leave(r, mark);
    }
    if (!json_array_size(json_object_get(of, "route")))
        reader_error(r, "route", "name a Service", "is missing");
    virtual_service_read_backends(r, json_object_get(of, "route"), v->o.ns, NULL, &scratch.backends,
                                  &scratch.n_backends);
    stream_clear(&scratch);
}

void virtual_service_check_streams(struct virtual_service *v, struct object_reader *r)
{
    for (size_t part = 0; part < ARRAY_LEN(parts); part++) {
        const json_t *list = json_object_get(v->o.spec, parts[part]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            size_t mark = reader_enter_item(r, parts[part], i);
            check_stream(v, r, json_array_get(list, i), part == 0);
            reader_leave(r, mark);
        }
    }
}

/* ---- compiling ---- */

static void add_stream(const struct virtual_service *v, const struct virtual_service_place *p,
                       struct object_reader *r, const json_t *of, const json_t *match, bool tls,
                       struct route_host *to)
{
    struct route_stream s = {0};
    bool covers = true;
    if ((match && !virtual_service_is_for(match, p)) ||
        !read_match(r, match, tls, p->address, &s, &covers) || !covers ||
        !virtual_service_read_backends(r, json_object_get(of, "route"), v->o.ns, p, &s.backends,
                                       &s.n_backends) ||
        !s.n_backends) {
        stream_clear(&s);
        return;
    }
    s.origin =
        (struct route_origin){"VirtualService", xstrdup(v->o.key), xstrdup(buf_cstr(&r->path))};
    *route_host_add_stream(to) = s;
}

void virtual_service_compile_streams(const struct virtual_service *v,
                                     const struct virtual_service_place *p, struct route_host *to)
{
    AUTO_DONE(object_reader) struct object_reader r = {.object = v->o.key};
    size_t mark = reader_enter(&r, "spec");
    for (size_t part = 0; part < ARRAY_LEN(parts); part++) {
        const json_t *list = json_object_get(v->o.spec, parts[part]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *of = json_array_get(list, i), *matches = json_object_get(of, "match");
            size_t item = reader_enter_item(&r, parts[part], i);
            for (size_t k = 0; k < json_array_size(matches); k++)
                add_stream(v, p, &r, of, json_array_get(matches, k), part == 0, to);
            if (part && !json_array_size(matches))
                add_stream(v, p, &r, of, NULL, false, to);
            reader_leave(&r, item);
        }
    }
    reader_leave(&r, mark);
}

/* ---- destinations ---- */

const json_t *virtual_service_next_stream_destination(const struct virtual_service *v, size_t *at)
{
    size_t n = 0;
    for (size_t part = 0; part < ARRAY_LEN(parts); part++) {
        const json_t *list = json_object_get(v->o.spec, parts[part]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *route = json_object_get(json_array_get(list, i), "route");
            for (size_t k = 0; k < json_array_size(route); k++, n++) {
                const json_t *d =
                    n < *at ? NULL : json_object_get(json_array_get(route, k), "destination");
                if (d) {
                    *at = n + 1;
                    return d;
                }
            }
        }
    }
    return NULL;
}
