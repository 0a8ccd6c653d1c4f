/* A configuration from the command line: the same bootstrap that a file would hold, so that there
 * is one way from there on. */
#include "proxy/command_routes.h"

#include <errno.h>

#include "base/addr.h"
#include "base/vec.h"
#include "codec/json.h"

struct command_route {
    struct str path;
    struct str host; /* of the cluster, as it was given: its name */
    struct ip ip;
    uint16_t port;
};

/* "127.0.0.1:80", "[::1]:80"; ":80" with `any`. */
static int parse_address(struct str s, const char *any, struct ip *ret_ip, uint16_t *ret_port)
{
    uint64_t port;
    size_t at = s.n;
    while (at && s.p[at - 1] != ':')
        at--;
    if (!at || str_to_u64(str_sub(s, at, s.n), &port) < 0 || port > UINT16_MAX)
        return -EINVAL;
    struct str host = str_sub(s, 0, at - 1);
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = str_sub(host, 1, host.n - 1);
    if (!host.n && any)
        host = str_from(any);
    *ret_port = (uint16_t)port;
    return ip_parse(host, ret_ip);
}

static int parse_route(const char *text, struct command_route *ret, struct err *reterr)
{
    struct str url, rest;
    ret->path = str_cut(str_from(text), '=', &url);
    if (!url.p || !ret->path.n || ret->path.p[0] != '/')
        return err_set(reterr, -EINVAL, NULL,
                       "--route %s: expected PATH=URL, such as /=http://127.0.0.1:9000", text);
    for (size_t i = 0; i < ret->path.n; i++)
        if (ret->path.p[i] <= ' ' || ret->path.p[i] == '"' || ret->path.p[i] == '\\')
            return err_set(reterr, -EINVAL, NULL, "--route %s: a path has no such characters",
                           text);
    if (!str_starts(url, STR("http://")))
        return err_set(reterr, -EINVAL, NULL, "--route %s: the URL must begin with http://", text);
    ret->host = str_cut(str_sub(url, 7, url.n), '/', &rest);
    if (rest.p && rest.n)
        return err_set(reterr, -EINVAL, NULL, "--route %s: the URL must not have a path", text);
    if (parse_address(ret->host, NULL, &ret->ip, &ret->port) < 0 || !ret->port)
        return err_set(
            reterr, -EINVAL, NULL,
            "--route %s: expected http://ADDRESS:PORT, the address as 127.0.0.1 or [::1]", text);
    return 0;
}

static int longer_first(const void *a, const void *b)
{
    size_t na = ((const struct command_route *)a)->path.n;
    size_t nb = ((const struct command_route *)b)->path.n;
    return na > nb ? -1 : na < nb;
}

static void add_address(struct buf *b, const struct ip *ip, uint16_t port)
{
    char text[IP_TEXT_BYTES];
    buf_addf(b, "{\"socket_address\":{\"address\":\"%s\",\"port_value\":%u}}", ip_format(ip, text),
             port);
}

static void add_log(struct buf *b, const char *file)
{
    AUTO_JSON json_t *path = json_string(streq(file, "-") ? "/dev/stdout" : file);
    buf_add_cstr(b, "\"access_log\":[{\"name\":\"file\",\"typed_config\":{\"@type\":"
                    "\"type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog\","
                    "\"path\":");
    json_write(b, path);
    buf_add_cstr(b, "}}],");
}

static void add_file(struct buf *b, const char *field, struct str path)
{
    AUTO_JSON json_t *text = json_stringn(path.p, path.n);
    buf_addf(b, "\"%s\":{\"filename\":", field);
    json_write(b, text);
    buf_add_char(b, '}');
}

static void add_tls(struct buf *b, const char *tls)
{
    struct str key, cert = str_cut(str_from(tls), ',', &key);
    buf_add_cstr(b, "\"transport_socket\":{\"name\":\"envoy.transport_sockets.tls\","
                    "\"typed_config\":{\"@type\":\"type.googleapis.com/"
                    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\","
                    "\"common_tls_context\":{\"tls_certificates\":[{");
    add_file(b, "certificate_chain", cert);
    buf_add_char(b, ',');
    add_file(b, "private_key", key);
    buf_add_cstr(b, "}]}}},");
}

static void add_listener(struct buf *b, const char *access_log, const char *tls,
                         const struct command_route *routes, size_t n)
{
    buf_add_cstr(b, ",\"filter_chains\":[{");
    if (tls)
        add_tls(b, tls);
    buf_add_cstr(b, "\"filters\":[{\"name\":\"http\",\"typed_config\":{\"@type\":"
                    "\"type.googleapis.com/envoy.extensions.filters.network."
                    "http_connection_manager.v3.HttpConnectionManager\",\"stat_prefix\":\"http\","
                    "\"upgrade_configs\":[{\"upgrade_type\":\"websocket\"}],");
    if (access_log)
        add_log(b, access_log);
    buf_add_cstr(b, "\"http_filters\":[{\"name\":\"router\",\"typed_config\":{\"@type\":"
                    "\"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\","
                    "\"suppress_envoy_headers\":true}}],"
                    "\"route_config\":{\"virtual_hosts\":[{\"name\":\"all\",\"domains\":[\"*\"],"
                    "\"routes\":[");
    for (size_t i = 0; i < n; i++) {
        struct str path = routes[i].path;
        bool whole = path.p[path.n - 1] == '/';
        buf_addf(b,
                 "%s{\"match\":{\"%s\":\"" STR_FMT "\"},\"route\":{\"cluster\":\"" STR_FMT "\"}}",
                 i ? "," : "", whole ? "prefix" : "path_separated_prefix", STR_ARG(path),
                 STR_ARG(routes[i].host));
    }
    buf_add_cstr(b, "]}]}}}]}]}");
}

static bool is_first(const struct command_route *routes, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(routes[k].host, routes[i].host))
            return false;
    return true;
}

static void add_clusters(struct buf *b, const struct command_route *routes, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (!is_first(routes, i))
            continue;
        buf_addf(b,
                 "%s{\"name\":\"" STR_FMT "\",\"load_assignment\":{\"cluster_name\":\"" STR_FMT
                 "\",\"endpoints\":[{\"lb_endpoints\":[{\"endpoint\":{\"address\":",
                 any ? "," : "", STR_ARG(routes[i].host), STR_ARG(routes[i].host));
        add_address(b, &routes[i].ip, routes[i].port);
        buf_add_cstr(b, "}}]}]}}");
        any = true;
    }
}

int command_routes_json(const char *listen, const char *access_log, const char *tls,
                        const char *const *routes, size_t n, struct buf *ret, struct err *reterr)
{
    VEC(struct command_route) all = {0};
    struct ip ip;
    uint16_t port;
    int r = parse_address(str_from(listen), "0.0.0.0", &ip, &port);
    if (r < 0)
        err_set(reterr, r, NULL, "--listen %s: expected ADDRESS:PORT or :PORT", listen);
    if (r == 0 && tls && !strchr(tls, ','))
        r = err_set(reterr, -EINVAL, NULL, "--tls %s: expected CERT,KEY, two PEM files", tls);
    for (size_t i = 0; i < n && r == 0; i++)
        r = parse_route(routes[i], vec_add(&all), reterr);
    if (r == 0) {
        qsort(all.v, all.n, sizeof(*all.v), longer_first);
        buf_add_cstr(ret, "{\"static_resources\":{\"listeners\":[{\"name\":\"http\",\"address\":");
        add_address(ret, &ip, port);
        add_listener(ret, access_log, tls, all.v, all.n);
        buf_add_cstr(ret, "],\"clusters\":[");
        add_clusters(ret, all.v, all.n);
        buf_add_cstr(ret, "]}}");
    }
    vec_done(&all);
    return r;
}
