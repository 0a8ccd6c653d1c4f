/* Items are what the lists of a dump hold: {cluster: …, version_info}, {name, active_state:
 * {listener: …}}; or of /clusters: {name, host_statuses}. */
#include "cli/proxy_config.h"

#include <stdio.h>

#include "base/time.h"
#include "codec/base64.h"
#include "net/tls.h"

static const struct {
    const char *xds, *lists[3], *key, *name;
} kinds[PROXY_CONFIG_TYPES] = {
    [PROXY_CLUSTERS] = {"cds",
                        {"static_clusters", "dynamic_active_clusters", "dynamic_warming_clusters"},
                        "cluster",
                        "name"},
    [PROXY_LISTENERS] = {"lds", {"static_listeners", "dynamic_listeners"}, "listener", "name"},
    [PROXY_ROUTES] = {"rds",
                      {"static_route_configs", "dynamic_route_configs"},
                      "route_config",
                      "name"},
    [PROXY_ENDPOINTS] = {"eds",
                         {"static_endpoint_configs", "dynamic_endpoint_configs"},
                         "endpoint_config",
                         "cluster_name"},
    [PROXY_SECRETS] = {"sds",
                       {"static_secrets", "dynamic_active_secrets", "dynamic_warming_secrets"},
                       "secret",
                       "name"},
};

static bool is_text(const char *have, const char *want)
{
    return !want || (have && str_eq_nocase(str_from(have), str_from(want)));
}

/* ---- resources in their items ---- */

static json_t *resource_of(enum proxy_config_type type, const json_t *item)
{
    const char *key = kinds[type].key;
    json_t *r = json_object_get(item, key);
    return r ? r : json_object_get(json_object_get(item, "active_state"), key);
}

static const char *name_of(enum proxy_config_type type, const json_t *item)
{
    const char *name = json_key_str(resource_of(type, item), kinds[type].name);
    name = name ? name : json_key_str(item, "name");
    return name ? name : "";
}

static const char *version_in(const json_t *item)
{
    const char *v = json_key_str(item, "version_info");
    v = v ? v : json_at_str(item, "active_state.version_info");
    return v ? v : "";
}

static json_t *port_of(const json_t *address)
{
    return json_at(address, "socket_address.port_value");
}

/* ---- clusters ---- */

/* "outbound|80|v1|web.default.svc.cluster.local", or any other name. */
struct cluster_parts {
    char *direction, *port, *subset, *fqdn;
};

static void parts_of(const char *name, struct cluster_parts *ret)
{
    struct str rest = str_from(name), part[4] = {{0}};
    size_t n = 0;
    while (rest.p && n < ARRAY_LEN(part))
        part[n++] = str_cut(rest, '|', &rest);
    bool whole = n == ARRAY_LEN(part);
    *ret = (struct cluster_parts){
        str_dup(whole ? part[0] : STR("")), str_dup(whole ? part[1] : STR("")),
        str_dup(whole ? part[2] : STR("")), whole ? str_dup(part[3]) : xstrdup(name)};
}

static void parts_done(struct cluster_parts *p)
{
    free(p->direction);
    free(p->port);
    free(p->subset);
    free(p->fqdn);
}

static bool cluster_passes(const json_t *item, const struct proxy_config_filter *f)
{
    const char *type = json_key_str(resource_of(PROXY_CLUSTERS, item), "type");
    struct cluster_parts p;
    char port[24];
    parts_of(name_of(PROXY_CLUSTERS, item), &p);
    snprintf(port, sizeof(port), "%lld", (long long)f->port);
    bool passes = is_text(p.fqdn, f->fqdn) && is_text(p.subset, f->subset) &&
                  is_text(p.direction, f->direction) && is_text(type ? type : "STATIC", f->type) &&
                  (!f->port || streq(p.port, port));
    parts_done(&p);
    return passes;
}

static void add_cluster(struct cli_table *t, const json_t *item)
{
    const json_t *c = resource_of(PROXY_CLUSTERS, item);
    const char *type = json_key_str(c, "type");
    struct cluster_parts p;
    parts_of(name_of(PROXY_CLUSTERS, item), &p);
    cli_table_add(t, p.fqdn);
    cli_table_add(t, p.port);
    cli_table_add(t, p.subset);
    cli_table_add(t, p.direction);
    cli_table_add(t, type ? type : "STATIC");
    cli_table_add(t, "");
    parts_done(&p);
}

/* ---- listeners ---- */

static bool listener_passes(const json_t *item, const struct proxy_config_filter *f)
{
    const json_t *address = json_object_get(resource_of(PROXY_LISTENERS, item), "address");
    return is_text(json_at_str(address, "socket_address.address"), f->address) &&
           is_text(name_of(PROXY_LISTENERS, item), f->name) &&
           (!f->port || json_integer_value(port_of(address)) == f->port);
}

static void add_match(const json_t *match, struct buf *b)
{
    static const char *const lists[][2] = {{"server_names", "SNI"},
                                           {"application_protocols", "App"}};
    json_t *one;
    size_t i;
    for (size_t n = 0; n < ARRAY_LEN(lists); n++) {
        const json_t *list = json_object_get(match, lists[n][0]);
        json_array_foreach((json_t *)(uintptr_t)list, i, one)
            buf_addf(b, "%s%s%s",
                     i      ? ","
                     : b->n ? "; "
                            : "",
                     i ? "" : lists[n][1], i ? "" : ": "),
            buf_add_cstr(b, json_string_value(one) ? json_string_value(one) : "");
    }
    const char *transport = json_key_str(match, "transport_protocol");
    if (transport)
        buf_addf(b, "%sTrans: %s", b->n ? "; " : "", transport);
}

static void add_destination(const json_t *chain, struct buf *b)
{
    json_t *filter;
    size_t i;
    json_array_foreach(json_object_get(chain, "filters"), i, filter)
    {
        const json_t *c = json_object_get(filter, "typed_config");
        const char *route = json_at_str(c, "rds.route_config_name"),
                   *cluster = json_key_str(c, "cluster");
        if (route)
            buf_addf(b, "Route: %s", route);
        else if (cluster)
            buf_addf(b, "Cluster: %s", cluster);
        else if (json_object_get(c, "route_config"))
            buf_addf(b, "Inline Route: %s",
                     json_at_str(c, "route_config.name") ? json_at_str(c, "route_config.name")
                                                         : "");
    }
}

static void add_chain(struct cli_table *t, const json_t *listener, const json_t *chain)
{
    const json_t *address = json_object_get(listener, "address");
    const char *ip = json_at_str(address, "socket_address.address");
    AUTO_DONE(buf) struct buf match = {0};
    AUTO_DONE(buf) struct buf destination = {0};
    add_match(json_object_get(chain, "filter_chain_match"), &match);
    add_destination(chain, &destination);
    cli_table_add(t, ip ? ip : json_at_str(address, "pipe.path"));
    cli_table_addf(t, "%lld", (long long)json_integer_value(port_of(address)));
    cli_table_add(t, match.n ? buf_cstr(&match) : "ALL");
    cli_table_add(t, destination.n ? buf_cstr(&destination) : "Non-HTTP/Non-TCP");
}

static void add_listener(struct cli_table *t, const json_t *item)
{
    const json_t *listener = resource_of(PROXY_LISTENERS, item),
                 *otherwise = json_object_get(listener, "default_filter_chain");
    json_t *chain;
    size_t i;
    json_array_foreach(json_object_get(listener, "filter_chains"), i, chain)
        add_chain(t, listener, chain);
    if (otherwise)
        add_chain(t, listener, otherwise);
}

/* ---- routes ---- */

static void add_route_match(const json_t *match, struct buf *b)
{
    static const char *const words[][2] = {
        {"path", ""}, {"path_separated_prefix", "*"}, {"prefix", "*"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (json_key_str(match, words[i][0]))
            buf_addf(b, "%s%s", json_key_str(match, words[i][0]), words[i][1]);
    if (json_at_str(match, "safe_regex.regex"))
        buf_addf(b, "regex %s", json_at_str(match, "safe_regex.regex"));
    if (json_array_size(json_object_get(match, "headers")))
        buf_addf(b, " and %zu headers", json_array_size(json_object_get(match, "headers")));
}

static void add_routes(struct cli_table *t, const json_t *item)
{
    json_t *host, *route, *domain;
    size_t h, r, d;
    json_array_foreach(json_object_get(resource_of(PROXY_ROUTES, item), "virtual_hosts"), h, host)
    {
        AUTO_DONE(buf) struct buf domains = {0};
        json_array_foreach(json_object_get(host, "domains"), d, domain)
            buf_addf(&domains, "%s%s", d ? ", " : "",
                     json_string_value(domain) ? json_string_value(domain) : "");
        json_array_foreach(json_object_get(host, "routes"), r, route)
        {
            AUTO_DONE(buf) struct buf match = {0};
            add_route_match(json_object_get(route, "match"), &match);
            cli_table_add(t, name_of(PROXY_ROUTES, item));
            cli_table_add(t, json_key_str(host, "name"));
            cli_table_add(t, buf_cstr(&domains));
            cli_table_add(t, buf_cstr(&match));
            cli_table_add(t, json_key_str(route, "name"));
        }
    }
}

/* ---- endpoints ---- */

/* Both forms as one: {cluster, address, port, status, outlier}. */
static void add_host(json_t *to, const char *cluster, const json_t *address, const char *status,
                     bool ejected)
{
    const char *ip = json_at_str(address, "socket_address.address");
    json_array_append_new(
        to, json_pack("{s:s,s:s,s:I,s:s,s:s}", "cluster", cluster, "address",
                      ip                                  ? ip
                      : json_at_str(address, "pipe.path") ? json_at_str(address, "pipe.path")
                                                          : "",
                      "port", (json_int_t)json_integer_value(port_of(address)), "status",
                      status ? status : "UNKNOWN", "outlier_check", ejected ? "FAILED" : "OK"));
}

static json_t *hosts_of(const json_t *item)
{
    json_t *list = json_array(), *host, *locality;
    const json_t *resource = resource_of(PROXY_ENDPOINTS, item);
    size_t h, l;
    json_array_foreach(json_object_get(item, "host_statuses"), h, host)
    {
        const json_t *health = json_object_get(host, "health_status");
        bool checked = json_at_bool(health, "failed_active_health_check", false);
        add_host(list, name_of(PROXY_ENDPOINTS, item), json_object_get(host, "address"),
                 checked ? "UNHEALTHY" : json_key_str(health, "eds_health_status"),
                 json_at_bool(health, "failed_outlier_check", false));
    }
    json_array_foreach(json_object_get(resource, "endpoints"), l, locality)
        json_array_foreach(json_object_get(locality, "lb_endpoints"), h, host)
            add_host(list, name_of(PROXY_ENDPOINTS, item), json_at(host, "endpoint.address"),
                     json_key_str(host, "health_status"), false);
    return list;
}

static bool host_passes(const json_t *host, const struct proxy_config_filter *f)
{
    return is_text(json_key_str(host, "cluster"), f->cluster) &&
           is_text(json_key_str(host, "address"), f->address) &&
           is_text(json_key_str(host, "status"), f->status) &&
           (!f->port || json_at_int(host, "port", 0) == f->port);
}

static void add_endpoint(struct cli_table *t, const json_t *host)
{
    const char *address = json_key_str(host, "address");
    if (json_at_int(host, "port", 0))
        cli_table_addf(t, strchr(address, ':') ? "[%s]:%lld" : "%s:%lld", address,
                       (long long)json_at_int(host, "port", 0));
    else
        cli_table_add(t, address);
    cli_table_add(t, json_key_str(host, "status"));
    cli_table_add(t, json_key_str(host, "outlier_check"));
    cli_table_add(t, json_key_str(host, "cluster"));
}

/* ---- secrets ---- */

struct leaf {
    bool found;
    char serial[128], from[21], to[21];
    int64_t from_s, to_s;
};

static void take_leaf(bool trusted, const struct tls_peer *facts, void *user)
{
    struct leaf *l = user;
    if (!trusted || l->found)
        return;
    l->found = true;
    snprintf(l->serial, sizeof(l->serial), STR_FMT, STR_ARG(facts->serial));
    l->from_s = facts->not_before_s;
    l->to_s = facts->not_after_s;
    time_format_rfc3339(l->from_s, l->from);
    time_format_rfc3339(l->to_s, l->to);
}

/* The first certificate of a chain, as the data source says it. */
static void read_leaf(const json_t *source, struct leaf *ret)
{
    static const char end[] = "-----END CERTIFICATE-----";
    const char *bytes = json_key_str(source, "inline_bytes"),
               *text = json_key_str(source, "inline_string");
    AUTO_DONE(buf) struct buf pem = {0};
    struct tls_context *context = NULL;
    if (text)
        buf_add_cstr(&pem, text);
    else if (!bytes || base64_decode(str_from(bytes), &pem) < 0)
        return;
    const char *after = strstr(buf_cstr(&pem), end);
    if (!after)
        return;
    const struct tls_config config = {.ca_pem =
                                          str_of(pem.p, (size_t)(after - pem.p) + sizeof(end) - 1)};
    if (tls_context_new_client(&config, &context, NULL) == 0)
        tls_context_each(context, take_leaf, ret);
    tls_context_unref(context);
}

static void add_secret(struct cli_table *t, const json_t *item)
{
    const json_t *secret = resource_of(PROXY_SECRETS, item),
                 *own = json_at(secret, "tls_certificate.certificate_chain"),
                 *ca = json_at(secret, "validation_context.trusted_ca");
    struct leaf leaf = {0};
    int64_t now = time_real_s();
    read_leaf(own ? own : ca, &leaf);
    cli_table_add(t, name_of(PROXY_SECRETS, item));
    cli_table_add(t, own ? "Cert Chain" : ca ? "CA" : "");
    cli_table_add(t, secret ? "ACTIVE" : "WARMING");
    cli_table_add(t, leaf.found ? (leaf.from_s <= now && now < leaf.to_s ? "true" : "false") : "");
    cli_table_add(t, leaf.serial);
    cli_table_add(t, leaf.to);
    cli_table_add(t, leaf.from);
}

static bool is_secret(const char *name)
{
    static const char *const names[] = {"private_key", "private_key_provider", "password",
                                        "session_ticket_keys", "generic_secret"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (streq(name, names[i]))
            return true;
    return false;
}

void proxy_config_hide_keys(json_t *j)
{
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_array(j))
        json_array_foreach(j, i, value) proxy_config_hide_keys(value);
    json_object_foreach(j, key, value)
    {
        if (is_secret(key))
            json_object_set_new(j, key, json_pack("{s:s}", "inline_bytes", "W3JlZGFjdGVkXQ=="));
        else
            proxy_config_hide_keys(value);
    }
}

/* ---- lists ---- */

static bool passes(enum proxy_config_type type, const json_t *item,
                   const struct proxy_config_filter *f)
{
    switch (type) {
    case PROXY_CLUSTERS:
        return cluster_passes(item, f);
    case PROXY_LISTENERS:
        return listener_passes(item, f);
    case PROXY_ENDPOINTS:
        return host_passes(item, f);
    case PROXY_ROUTES:
    case PROXY_SECRETS:
    case PROXY_CONFIG_TYPES:
        break;
    }
    return is_text(name_of(type, item), f->name);
}

static void add_item(json_t *to, enum proxy_config_type type, json_t *item,
                     const struct proxy_config_filter *f)
{
    AUTO_JSON json_t *hosts = type == PROXY_ENDPOINTS ? hosts_of(item) : NULL;
    json_t *host;
    size_t i;
    json_array_foreach(hosts, i, host) if (passes(type, host, f)) json_array_append(to, host);
    if (!hosts && json_is_object(item) && passes(type, item, f))
        json_array_append(to, item);
}

json_t *proxy_config_items(const json_t *dump, enum proxy_config_type type,
                           const struct proxy_config_filter *f)
{
    json_t *to = json_array(), *config, *item;
    size_t c, i;
    json_array_foreach(type == PROXY_ENDPOINTS ? json_object_get(dump, "cluster_statuses") : NULL,
                       i, item) add_item(to, type, item, f);
    json_array_foreach(json_object_get(dump, "configs"), c,
                       config) for (size_t l = 0; l < 3 && kinds[type].lists[l]; l++)
        json_array_foreach(json_object_get(config, kinds[type].lists[l]), i, item)
            add_item(to, type, item, f);
    return to;
}

void proxy_config_print(enum proxy_config_type type, const json_t *items)
{
    static const char *const names[PROXY_CONFIG_TYPES][8] = {
        [PROXY_CLUSTERS] = {"SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE",
                            "DESTINATION RULE"},
        [PROXY_LISTENERS] = {"ADDRESSES", "PORT", "MATCH", "DESTINATION"},
        [PROXY_ROUTES] = {"NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"},
        [PROXY_ENDPOINTS] = {"ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"},
        [PROXY_SECRETS] = {"RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER",
                           "NOT AFTER", "NOT BEFORE"},
    };
    static void (*const add[PROXY_CONFIG_TYPES])(struct cli_table * t, const json_t *item) = {
        [PROXY_CLUSTERS] = add_cluster, [PROXY_LISTENERS] = add_listener,
        [PROXY_ROUTES] = add_routes,    [PROXY_ENDPOINTS] = add_endpoint,
        [PROXY_SECRETS] = add_secret,
    };
    struct cli_table t = {.names = names[type]};
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)items, i, item) add[type](&t, item);
    /* routes and chains are tried in their order */
    cli_table_print(&t, type != PROXY_ROUTES && type != PROXY_LISTENERS);
}

json_t *proxy_config_versions(const json_t *dump, const char *type)
{
    json_t *to = json_array(), *config, *item;
    size_t c, i, n = 0;
    while (!streq(kinds[n].xds, type))
        n++;
    json_array_foreach(json_object_get(dump, "configs"), c,
                       config) for (size_t l = 1; l < 3 && kinds[n].lists[l]; l++)
        json_array_foreach(json_object_get(config, kinds[n].lists[l]), i, item)
            json_array_append_new(to, json_pack("{s:s,s:s}", "name",
                                                name_of((enum proxy_config_type)n, item), "version",
                                                version_in(item)));
    return to;
}
