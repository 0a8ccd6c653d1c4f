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
