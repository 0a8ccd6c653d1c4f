/* Requests in one canonical form. */
#include "proxy/http_canonical.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    pb_hcm;

void http_canonical_compile(const pb_hcm *m, struct http_canonical *ret)
{
    static const uint8_t slashes[] = {URL_SLASHES_KEEP, URL_SLASHES_KEEP, URL_SLASHES_REFUSE,
                                      URL_SLASHES_REDIRECT, URL_SLASHES_FORWARD};
    unsigned action = (unsigned)m->path_with_escaped_slashes_action;
    ret->path.normalize = m->normalize_path && m->normalize_path->value;
    ret->path.merge_slashes = m->merge_slashes;
    ret->path.escaped_slashes = slashes[action < ARRAY_LEN(slashes) ? action : 0];
    ret->strips_dot = m->strip_trailing_host_dot;
    ret->strips_listener_port = m->strip_matching_host_port;
    ret->strips_port =
        m->strip_port_mode_case ==
            ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__STRIP_PORT_MODE_STRIP_ANY_HOST_PORT &&
        m->strip_any_host_port;
    if (m->common_http_protocol_options)
        ret->underscores =
            (uint8_t)m->common_http_protocol_options->headers_with_underscores_action;
    ret->on = ret->path.normalize || ret->path.merge_slashes || ret->path.escaped_slashes ||
              ret->strips_dot || ret->strips_listener_port || ret->strips_port || ret->underscores;
}

static bool look_at_names(const struct http_canonical *c, struct http_head *h)
{
    for (uint16_t i = 0; i < h->n; i++) {
        struct http_field *f = &h->fields[i];
        if (!f->name_n || !memchr(f->name, '_', f->name_n))
            continue;
        if (c->underscores == HTTP_UNDERSCORES_REFUSE)
            return false;
        f->name_n = 0;
    }
    return true;
}

/* How much of it is the name; the port, with its colon, is the rest. */
static size_t name_length(struct str host)
{
    size_t i = host.n;
    while (i && host.p[i - 1] >= '0' && host.p[i - 1] <= '9')
        i--;
    return i && host.p[i - 1] == ':' ? i - 1 : host.n;
}

static struct str strip(const struct http_canonical *c, struct str host, const struct conn *client,
                        struct arena *a)
{
    size_t n = name_length(host);
    struct str port = str_sub(host, n, host.n), name = str_sub(host, 0, n);
    struct ip ip;
    uint16_t own;
    uint64_t number;
    bool gone = c->strips_port && port.n;
    if (!gone && c->strips_listener_port && port.n > 1 &&
        str_to_u64(str_sub(port, 1, port.n), &number) == 0 &&
        conn_local_addr(client, &ip, &own) == 0)
        gone = number == own;
    bool dot = c->strips_dot && name.n > 1 && name.p[name.n - 1] == '.';
    name.n -= dot;
    if (gone || !port.n)
        return name;
    if (!dot)
        return host;
    char *p = arena_alloc_raw(a, name.n + port.n);
    if (!p)
        return host;
    memcpy(p, name.p, name.n);
    memcpy(p + name.n, port.p, port.n);
    return str_of(p, name.n + port.n);
}

static void change_host(const struct http_canonical *c, struct http_head *h,
                        const struct conn *client, struct arena *a)
{
    if (h->authority.p)
        h->authority = strip(c, h->authority, client, a);
    for (uint16_t i = 0; i < h->n; i++) {
        struct http_field *f = &h->fields[i];
        if (f->id != HTTP_NAME_HOST || !f->name_n)
            continue;
        struct str host = strip(c, http_field_value(f), client, a);
        f->value = host.p;
        f->value_n = (uint32_t)host.n;
    }
}

static enum reason change_path(const struct http_canonical *c, struct http_head *h, struct arena *a,
                               struct str *ret_location)
{
    size_t n;
    if (url_path_is_plain(h->path))
        return REASON_VIA_UPSTREAM;
    char *to = arena_alloc_raw(a, url_path_room(&c->path, h->path) + 1);
    enum url_path_result r = to ? url_path_canonical(&c->path, h->path, to, &n) : URL_PATH_REFUSED;
    switch (r) {
    case URL_PATH_SAME:
        return REASON_VIA_UPSTREAM;
    case URL_PATH_CHANGED:
        h->path = str_of(to, n);
        if (!h->authority.p)
            h->target = h->path;
        return REASON_VIA_UPSTREAM;
    case URL_PATH_REDIRECTED:
        *ret_location = str_of(to, n);
        return REASON_PATH_REFUSED;
    case URL_PATH_REFUSED:
        break;
    }
    return REASON_PATH_REFUSED;
}

enum reason http_canonical_apply(const struct http_canonical *c, struct http_head *h,
                                 const struct conn *client, struct arena *a,
                                 struct str *ret_location)
{
    if (c->underscores && !look_at_names(c, h))
        return REASON_UNDERSCORE;
    if (c->strips_port || c->strips_listener_port || c->strips_dot)
        change_host(c, h, client, a);
    return change_path(c, h, a, ret_location);
}
