/* The HTTP a node makes to its pods: probes and lifecycle hooks name host, port, scheme, path and
 * headers in the same words. */
#include <errno.h>

#include "lab/node/node_priv.h"

enum { ACTION_HEADERS_MAX = 16 };

/* A number, or the name of one of the container's ports; 0 = neither. */
uint16_t pod_action_port(const struct pod_container *c, const json_t *action)
{
    json_t *port = json_at(action, "port"), *p;
    size_t i;
    uint64_t number;
    if (json_is_integer(port))
        return (uint16_t)json_integer_value(port);
    json_array_foreach(json_at(c->spec, "ports"), i, p)
    {
        if (streq(json_key_str(p, "name"), json_string_value(port)))
            return (uint16_t)json_at_int(p, "containerPort", 0);
    }
    if (json_is_string(port) && str_to_u64(str_from(json_string_value(port)), &number) == 0 &&
        number < 65536)
        return (uint16_t)number;
    return 0;
}

int pod_action_address(const struct pod_container *c, const json_t *action, struct ip *ret)
{
    const char *host = json_key_str(action, "host");
    *ret = c->pod->net.v4;
    if (!str_empty(host))
        return ip_parse(str_from(host), ret);
    return ret->family ? 0 : -EADDRNOTAVAIL;
}

struct http_client *pod_http_client(const struct pod_container *c, const json_t *action,
                                    uint64_t timeout_ms)
{
    struct tls_context *tls = NULL;
    const struct tls_config insecure = {.insecure = true};
    char host[IP_TEXT_BYTES];
    struct ip ip;
    if (pod_action_address(c, action, &ip) < 0 ||
        (streq(json_key_str(action, "scheme"), "HTTPS") &&
         tls_context_new_client(&insecure, &tls, NULL) < 0))
        return NULL;
    const struct http_client_config config = {.ip = ip,
                                              .port = pod_action_port(c, action),
                                              .host = ip_format(&ip, host),
                                              .tls = tls,
                                              .connect_timeout_ms = timeout_ms,
                                              .user_agent = "kube-probe/1.33",
                                              .idle_connections_max = 1};
    struct http_client *client = http_client_new(c->pod->node->loop, &config);
    tls_context_unref(tls);
    return client;
}

/* ---- redirects ---- */

static bool is_host(struct str name, const char *host)
{
    struct ip a, b;
    if (ip_parse(name, &a) == 0 && ip_parse(str_from(host), &b) == 0)
        return ip_eq(&a, &b);
    return str_eq_nocase(name, str_from(host));
}

/* "HOST[:PORT]" as in a URL. False: another host, or none. */
static bool own_authority(struct str text, const char *host, uint16_t *port)
{
    struct str number = {0}, name;
    uint64_t n = *port;
    if (text.n && text.p[0] == '[') {
        name = str_cut(str_sub(text, 1, text.n), ']', &number);
        if (number.n && number.p[0] == ':')
            number = str_sub(number, 1, number.n);
    } else {
        name = str_cut(text, ':', &number);
    }
    if (number.n && (str_to_u64(number, &n) < 0 || n < 1 || n > 65535))
        return false;
    *port = (uint16_t)n;
    return is_host(name, host);
}

/* Where the path of a URL begins. */
static size_t path_at(struct str url)
{
    size_t i = 0;
    while (i < url.n && url.p[i] != '/' && url.p[i] != '?')
        i++;
    return i;
}

static char *resolved_path(const json_t *action, struct str location, bool is_whole)
{
    const char *path = json_key_str(action, "path");
    struct str query, base = str_cut(str_from(path ? path : ""), '?', &query);
    if (location.n && location.p[0] == '/')
        return str_dup(location);
    if (is_whole)
        return xasprintf("/" STR_FMT, STR_ARG(location));
    if (location.n && location.p[0] != '?') /* beside the last part */
        while (base.n && base.p[base.n - 1] != '/')
            base.n--;
    return xasprintf("%s" STR_FMT STR_FMT, base.n && base.p[0] == '/' ? "" : "/", STR_ARG(base),
                     STR_ARG(location));
}

/* A request to another name than the action's own does not take its Host header along. */
static void drop_host_header(json_t *action)
{
    json_t *list = json_object_get(action, "httpHeaders");
    for (size_t i = json_array_size(list); i-- > 0;) {
        const char *name = json_key_str(json_array_get(list, i), "name");
        if (name && str_eq_nocase(str_from(name), STR("Host")))
            json_array_remove(list, i);
    }
}

json_t *pod_http_redirect(const json_t *action, struct str location, const char *host,
                          uint16_t port)
{
    static const struct str schemes[] = {{"http://", 7}, {"https://", 8}, {"//", 2}};
    struct str rest, colon, url = str_cut(str_trim(location), '#', &rest);
    bool https = streq(json_key_str(action, "scheme"), "HTTPS"), whole = false;
    for (size_t i = 0; i < ARRAY_LEN(schemes) && !whole; i++) {
        struct str begin = str_sub(url, 0, MIN(schemes[i].n, url.n));
        if (!str_eq_nocase(begin, schemes[i]))
            continue;
        whole = true;
        https = i < 2 ? i == 1 : https;
        url = str_sub(url, begin.n, url.n);
        port = https ? 443 : 80;
        if (!own_authority(str_sub(url, 0, path_at(url)), host, &port))
            return NULL;
        url = str_sub(url, path_at(url), url.n);
    }
    struct str word = str_cut(str_sub(url, 0, path_at(url)), ':', &colon);
    if (!whole && colon.p && word.n) /* another scheme */
        return NULL;
    json_t *to = json_deep_copy(action);
    AUTO_CHARS char *path = resolved_path(action, url, whole);
    json_put_str(to, "path", path);
    json_put_str(to, "scheme", https ? "HTTPS" : "HTTP");
    json_put_int(to, "port", port);
    if (whole)
        drop_host_header(to);
    return to;
}

void pod_http_skip(struct http_call *call, struct str piece, void *user)
{
    (void)call;
    (void)piece;
    (void)user;
}

struct http_call *pod_http_get(struct http_client *client, const json_t *action,
                               uint64_t timeout_ms, const struct http_call_ops *ops, void *user)
{
    const char *path = json_key_str(action, "path");
    struct http_header headers[ACTION_HEADERS_MAX];
    size_t n = 0, i;
    json_t *h;
    AUTO_CHARS char *target =
        xasprintf("%s%s", path && path[0] == '/' ? "" : "/", path ? path : "");
    headers[n++] = (struct http_header){STR("Connection"), STR("close")};
    json_array_foreach(json_at(action, "httpHeaders"), i, h)
    {
        const char *name = json_key_str(h, "name"), *value = json_key_str(h, "value");
        if (n < ARRAY_LEN(headers) && name && value)
            headers[n++] = (struct http_header){str_from(name), str_from(value)};
    }
    const struct http_request q = {.method = "GET",
                                   .target = target,
                                   .headers = headers,
                                   .n_headers = n,
                                   .timeout_ms = timeout_ms};
    return http_call_start(client, &q, ops, user);
}
