/* A row for every kind of provider that Istio knows: what it must say. The rest is read field by
 * field; what is not known here is Istio's business, and no word is lost on it. */
#include "model/mesh_config.h"

#include <math.h>
#include <stdio.h>

#include "codec/format.h"
#include "codec/http_head.h"
#include "codec/yaml.h"
#include "model/istio_object.h"
#include "model/object_reader.h"

#define PATH_MAX_BYTES 4096

/* ---- providers ---- */

static const char *text_of(struct object_reader *r, const json_t *of, const char *name)
{
    const json_t *v = json_object_get(of, name);
    if (v && !json_is_string(v) && !json_is_null(v))
        reader_error(r, name, NULL, "is no text");
    const char *text = json_string_value(v);
    return str_empty(text) ? NULL : text;
}

/* service: "host" or "namespace/host", a short name is no host of Istio's; port. */
static void read_service(struct object_reader *r, struct mesh_provider *p)
{
    const char *service = text_of(r, p->spec, "service");
    int64_t port = 0;
    if (!service) {
        reader_error(r, "service", "write it in full: zipkin.ns.svc.cluster.local", "is missing");
        return;
    }
    struct str host, ns = str_cut(str_from(service), '/', &host);
    if (!host.p) {
        host = ns;
        ns = STR("");
    }
    p->host = str_dup(host);
    p->ns = ns.n ? str_dup(ns) : NULL;
    if (*p->host == '*' || !istio_host_is_valid(p->host))
        reader_error(r, "service", "write it in full: zipkin.ns.svc.cluster.local", "is no host");
    if (!reader_number(r, p->spec, "port", 1, UINT16_MAX, &port))
        return;
    if (!port)
        reader_error(r, "port", NULL, "is missing");
    p->port = (uint16_t)port;
}

static void read_path(struct object_reader *r, const json_t *of)
{
    const char *path = text_of(r, of, "path");
    if (path && (*path != '/' || strlen(path) > PATH_MAX_BYTES))
        reader_error(r, "path", NULL, "does not begin with /, or is too long");
}

static void read_zipkin(struct object_reader *r, struct mesh_provider *p)
{
    int64_t length = 0;
    read_service(r, p);
    read_path(r, p->spec);
    (void)reader_number(r, p->spec, "maxTagLength", 0, UINT16_MAX, &length);
    const char *option = text_of(r, p->spec, "traceContextOption");
    if (option && !streq(option, "USE_B3") && !streq(option, "USE_B3_WITH_W3C_PROPAGATION"))
        reader_error(r, "traceContextOption", "USE_B3 or USE_B3_WITH_W3C_PROPAGATION",
                     "is neither of two");
}

static void read_headers(struct object_reader *r, const json_t *http)
{
    const json_t *list = json_object_get(http, "headers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        size_t mark = reader_enter_item(r, "headers", i);
        if (!text_of(r, one, "name"))
            reader_error(r, "name", NULL, "is missing");
        if (!json_is_string(json_object_get(one, "value")))
            reader_error(r, "value", "envName is not served: write the value", "is missing");
        reader_leave(r, mark);
    }
}

static void read_opentelemetry(struct object_reader *r, struct mesh_provider *p)
{
    const json_t *http = json_object_get(p->spec, "http");
    int64_t length = 0;
    uint64_t timeout = 0;
    read_service(r, p);
    (void)reader_number(r, p->spec, "maxTagLength", 0, UINT16_MAX, &length);
    if (!json_is_object(http)) {
        reader_error(r, "http", "write http: {path: /v1/traces}",
                     "is missing: OTLP over gRPC is not served");
        return;
    }
    size_t mark = reader_enter(r, "http");
    if (!text_of(r, http, "path"))
        reader_error(r, "path", NULL, "is missing");
    read_path(r, http);
    (void)reader_duration_ms(r, http, "timeout", 1, &timeout);
    read_headers(r, http);
    reader_leave(r, mark);
}

/* Of access logs: what none of our proxies can say would cost them the whole listener. */
static bool check_format(struct object_reader *r, const char *field, const char *text)
{
    struct arena *a = arena_new(0);
    struct format f;
    struct err err = {0};
    int result = format_compile(str_from(text), a, &f, &err);
    arena_free(a);
    return result == 0 ||
           reader_error(r, field, "docs/proxy.md has the operators", "%s", err_text(&err));
}

static void check_labels(struct object_reader *r, const json_t *labels)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, name, value)
    {
        size_t mark = reader_enter_key(r, "labels", name);
        if (json_is_string(value))
            (void)check_format(r, NULL, json_string_value(value));
        else
            reader_error(r, NULL, NULL, "is no text");
        reader_leave(r, mark);
    }
}

static void read_file_log(struct object_reader *r, struct mesh_provider *p)
{
    const json_t *format = json_object_get(p->spec, "logFormat");
    text_of(r, p->spec, "path");
    if (!format || json_is_null(format))
        return;
    const json_t *labels = json_object_get(format, "labels");
    size_t mark = reader_enter(r, "logFormat");
    const char *text = text_of(r, format, "text");
    if (text)
        (void)check_format(r, "text", text);
    if (labels && !json_is_object(labels))
        reader_error(r, "labels", NULL, "is no object");
    else
        check_labels(r, labels);
    if (!labels && !json_object_get(format, "text"))
        reader_error(r, NULL, "text or labels", "says nothing");
    reader_leave(r, mark);
}

/* Names of fields: x, x*, *x. */
static void check_names(struct object_reader *r, const json_t *of, const char *name)
{
    const json_t *list = json_object_get(of, name);
    if (list && !json_is_array(list) && !json_is_null(list))
        reader_error(r, name, NULL, "is no list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct str text = str_from(json_string_value(json_array_get(list, i)) ?: "");
        size_t mark = reader_enter_item(r, name, i);
        if (str_ends(text, STR("*")))
            text.n--;
        else if (str_starts(text, STR("*")))
            text = str_sub(text, 1, text.n);
        if (!http_is_token(text) || memchr(text.p, '*', text.n))
            reader_error(r, NULL, "x, x* or *x", "is no name of a header");
        reader_leave(r, mark);
    }
}

static void read_added(struct object_reader *r, const json_t *added)
{
    const char *name;
    json_t *value;
    if (added && !json_is_object(added) && !json_is_null(added))
        reader_error(r, "includeAdditionalHeadersInCheck", NULL, "is no object");
    json_object_foreach((json_t *)(uintptr_t)added, name, value)
    {
        size_t mark = reader_enter_key(r, "includeAdditionalHeadersInCheck", name);
        if (!http_is_token(str_from(name)) || !json_is_string(value) ||
            !http_is_value(str_from(json_string_value(value))))
            reader_error(r, NULL, NULL, "is no header");
        reader_leave(r, mark);
    }
}

static void read_checked_body(struct object_reader *r, const json_t *of)
{
    int64_t bytes = 0;
    if (!of || json_is_null(of))
        return;
    size_t mark = reader_enter(r, "includeRequestBodyInCheck");
    if (reader_number(r, of, "maxRequestBytes", 1, UINT32_MAX, &bytes) && !bytes)
        reader_error(r, "maxRequestBytes", NULL, "is missing");
    if (json_at_bool(of, "allowPartialMessage", false))
        reader_error(r, "allowPartialMessage", "leave it out: a larger body is answered 413",
                     "is not served");
    reader_leave(r, mark);
}

/* What both kinds have. */
static void read_ext_authz_common(struct object_reader *r, struct mesh_provider *p)
{
    const char *status = text_of(r, p->spec, "statusOnError");
    uint64_t timeout = 0, number;
    read_service(r, p);
    if (status && (str_to_u64(str_from(status), &number) < 0 || number < 200 || number > 599))
        reader_error(r, "statusOnError", "write a number from 200 to 599", "is no status");
    (void)reader_duration_ms(r, p->spec, "timeout", 1, &timeout);
    read_checked_body(r, json_object_get(p->spec, "includeRequestBodyInCheck"));
    if (json_at_bool(p->spec, "clearRouteCache", false))
        reader_warn(r, "clearRouteCache", NULL, "has no effect: the route stays");
}

static void read_ext_authz(struct object_reader *r, struct mesh_provider *p)
{
    static const char *const names[] = {"includeHeadersInCheck", "includeRequestHeadersInCheck",
                                        "headersToUpstreamOnAllow", "headersToDownstreamOnDeny",
                                        "headersToDownstreamOnAllow"};
    const char *prefix = text_of(r, p->spec, "pathPrefix");
    read_ext_authz_common(r, p);
    if (prefix && *prefix != '/')
        reader_error(r, "pathPrefix", NULL, "does not begin with /");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        check_names(r, p->spec, names[i]);
    read_added(r, json_object_get(p->spec, "includeAdditionalHeadersInCheck"));
}

static const struct row {
    const char *name;
    enum mesh_provider_kind kind;
    void (*read)(struct object_reader *r, struct mesh_provider *p); /* NULL: nothing to be read */
} rows[] = {
    {"zipkin", MESH_PROVIDER_ZIPKIN, read_zipkin},
    {"opentelemetry", MESH_PROVIDER_OPENTELEMETRY, read_opentelemetry},
    {"envoyFileAccessLog", MESH_PROVIDER_FILE_LOG, read_file_log},
    {"prometheus", MESH_PROVIDER_PROMETHEUS, NULL},
    {"envoyExtAuthzHttp", MESH_PROVIDER_EXT_AUTHZ_HTTP, read_ext_authz},
    {"envoyExtAuthzGrpc", MESH_PROVIDER_EXT_AUTHZ_GRPC, read_ext_authz_common},
    {"lightstep", MESH_PROVIDER_OTHER, NULL},
    {"datadog", MESH_PROVIDER_OTHER, NULL},
    {"stackdriver", MESH_PROVIDER_OTHER, NULL},
    {"opencensus", MESH_PROVIDER_OTHER, NULL},
    {"skywalking", MESH_PROVIDER_OTHER, NULL},
    {"envoyHttpAls", MESH_PROVIDER_OTHER, NULL},
    {"envoyTcpAls", MESH_PROVIDER_OTHER, NULL},
    {"envoyOtelAls", MESH_PROVIDER_OTHER, NULL},
    {"sds", MESH_PROVIDER_OTHER, NULL},
};

static void provider_done(struct mesh_provider *p)
{
    free(p->host);
    free(p->ns);
}

static const struct mesh_provider *find(const struct mesh_provider *v, size_t n, const char *name)
{
    for (size_t i = 0; name && i < n; i++)
        if (strcasecmp(v[i].name, name) == 0)
            return &v[i];
    return NULL;
}

/* False: what is wrong with it is told, it is not there. */
static bool read_provider(struct object_reader *r, const struct mesh_config *c, const json_t *j,
                          struct mesh_provider *ret)
{
    const struct row *row = NULL;
    unsigned errors = r->errors;
    *ret = (struct mesh_provider){.name = json_key_str(j, "name")};
    if (str_empty(ret->name))
        return reader_error(r, "name", NULL, "is missing");
    if (find(c->providers, c->n_providers, ret->name))
        return reader_error(r, "name", "names stand once", "%.100s is there already", ret->name);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (json_object_get(j, rows[i].name)) {
            if (row)
                return reader_error(r, rows[i].name, "one of them", "stands beside %s", row->name);
            row = &rows[i];
        }
    if (!row)
        return reader_error(r, NULL, NULL, "is of no kind that is known");
    ret->kind = row->kind;
    ret->kind_name = row->name;
    ret->spec = json_object_get(j, row->name);
    size_t mark = reader_enter(r, row->name);
    if (!json_is_object(ret->spec) && !json_is_null(ret->spec))
        reader_error(r, NULL, NULL, "is no object");
    else if (row->read)
        row->read(r, ret);
    reader_leave(r, mark);
    return r->errors == errors;
}

static void read_providers(struct object_reader *r, struct mesh_config *c)
{
    const json_t *list = json_object_get(c->whole, "extensionProviders");
    size_t n = json_array_size(list);
    if ((list && !json_is_array(list) && !json_is_null(list)) || n > MESH_CONFIG_PROVIDERS_MAX) {
        reader_error(r, "extensionProviders", NULL, "is no list, or one of more than %d",
                     MESH_CONFIG_PROVIDERS_MAX);
        return;
    }
    c->providers = n ? xcalloc(n, sizeof(*c->providers)) : NULL;
    for (size_t i = 0; i < n; i++) {
        struct mesh_provider one;
        size_t mark = reader_enter_item(r, "extensionProviders", i);
        if (read_provider(r, c, json_array_get(list, i), &one))
            c->providers[c->n_providers++] = one;
        else
            provider_done(&one);
        reader_leave(r, mark);
    }
}

/* ---- defaults ---- */

static const json_t *names_of(struct object_reader *r, const json_t *of, const char *name)
{
    const json_t *list = json_object_get(of, name);
    if (!list || json_is_null(list))
        return NULL;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_empty(json_string_value(json_array_get(list, i))))
            reader_error(r, name, NULL, "holds what is no name");
    if (!json_is_array(list))
        reader_error(r, name, NULL, "is no list");
    return json_array_size(list) ? list : NULL;
}

static void read_defaults(struct object_reader *r, struct mesh_config *c)
{
    const json_t *of = json_object_get(c->whole, "defaultProviders");
    size_t mark = reader_enter(r, "defaultProviders");
    c->default_tracing = names_of(r, of, "tracing");
    c->default_metrics = names_of(r, of, "metrics");
    c->default_logging = names_of(r, of, "accessLogging");
    reader_leave(r, mark);
}

static void read_zipkin_address(struct object_reader *r, struct mesh_config *c, const json_t *of)
{
    const json_t *zipkin = json_object_get(of, "zipkin");
    const char *text = text_of(r, zipkin, "address");
    const char *colon = text ? strrchr(text, ':') : NULL;
    uint64_t port = 0;
    if (!text || *text == '$') /* Istio writes $(HOST_IP):9411 where it is left to a variable */
        return;
    if (!colon || str_to_u64(str_from(colon + 1), &port) < 0 || !port || port > UINT16_MAX) {
        reader_error(r, "zipkin.address", "write it as host:port", "is no address");
        return;
    }
    c->zipkin_host = str_dup(str_of(text, (size_t)(colon - text)));
    c->zipkin_port = (uint16_t)port;
}

static void read_tracing(struct object_reader *r, struct mesh_config *c)
{
    const json_t *of = json_at(c->whole, "defaultConfig.tracing"),
                 *sampling = json_object_get(of, "sampling"),
                 *tags = json_object_get(of, "customTags");
    size_t mark = reader_enter(r, "defaultConfig"), inner = reader_enter(r, "tracing");
    int64_t length = 0;
    double value = json_is_number(sampling) ? json_number_value(sampling) : -1;
    if (sampling && !json_is_null(sampling) && !(value >= 0 && value <= 100))
        reader_error(r, "sampling", NULL, "is no share from 0 to 100");
    else if (value >= 0)
        c->sampling = value;
    if (reader_number(r, of, "maxPathTagLength", 0, UINT16_MAX, &length))
        c->max_path_tag = (unsigned)length;
    if (tags && !json_is_object(tags) && !json_is_null(tags))
        reader_error(r, "customTags", NULL, "is no object");
    c->custom_tags = json_object_size(tags) ? tags : NULL;
    read_zipkin_address(r, c, of);
    reader_leave(r, inner);
    reader_leave(r, mark);
}

/* A format of JSON is a text that is an object of texts. */
static void read_json_format(struct object_reader *r, struct mesh_config *c)
{
    AUTO_JSON json_t *labels = NULL;
    if (json_parse(str_from(c->log_format), PATH_MAX_BYTES, NULL, &labels, NULL) < 0 ||
        !json_is_object(labels)) {
        reader_error(r, "accessLogFormat", NULL, "is no JSON object, as accessLogEncoding says");
        return;
    }
    unsigned errors = r->errors;
    size_t mark = reader_enter(r, "accessLogFormat");
    check_labels(r, labels);
    reader_leave(r, mark);
    if (r->errors == errors)
        c->log_labels = json_incref(labels);
}

static void read_log(struct object_reader *r, struct mesh_config *c)
{
    const char *encoding = text_of(r, c->whole, "accessLogEncoding");
    c->log_file = text_of(r, c->whole, "accessLogFile");
    c->log_format = text_of(r, c->whole, "accessLogFormat");
    c->log_encoding = streq(encoding, "JSON") ? MESH_LOG_JSON : MESH_LOG_TEXT;
    if (c->log_format && c->log_encoding == MESH_LOG_JSON)
        read_json_format(r, c);
    else if (c->log_format && !check_format(r, "accessLogFormat", c->log_format))
        c->log_format = NULL;
    if (encoding && !streq(encoding, "JSON") && !streq(encoding, "TEXT"))
        reader_error(r, "accessLogEncoding", NULL, "is neither TEXT nor JSON");
}

/* ---- the whole ---- */

static void read_hosts_of(struct object_reader *r, const json_t *setting)
{
    const json_t *hosts = json_object_get(setting, "hosts");
    if (!json_array_size(hosts))
        reader_error(r, "hosts", "name at least one", "is missing");
    for (size_t i = 0; i < json_array_size(hosts); i++) {
        size_t item = reader_enter_item(r, "hosts", i);
        const char *text = json_string_value(json_array_get(hosts, i));
        struct str name = str_from(text ? text : "");
        if (str_starts(name, STR("*.")))
            name = str_sub(name, 2, name.n);
        if (!str_is_dns1123_subdomain(name))
            reader_error(r, NULL, "write a DNS name, or *. and one", "\"%.100s\" is no host",
                         text ? text : "");
        reader_leave(r, item);
    }
}

static void read_service_settings(struct object_reader *r, struct mesh_config *c)
{
    const json_t *list = json_object_get(c->whole, "serviceSettings");
    size_t before = c->findings.n;
    if (list && !json_is_array(list))
        reader_error(r, "serviceSettings", NULL, "is no list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t item = reader_enter_item(r, "serviceSettings", i);
        read_hosts_of(r, json_array_get(list, i));
        reader_leave(r, item);
    }
    c->service_settings = c->findings.n == before ? list : NULL;
}

static void read_all(struct object_reader *r, struct mesh_config *c)
{
    const json_t *on = json_object_get(c->whole, "enableTracing");
    read_providers(r, c);
    read_defaults(r, c);
    read_tracing(r, c);
    read_log(r, c);
    locality_read(r, json_object_get(c->whole, "localityLbSetting"), &c->locality);
    read_service_settings(r, c);
    if (on && !json_is_boolean(on) && !json_is_null(on))
        reader_error(r, "enableTracing", NULL, "is neither true nor false");
    else if (json_is_boolean(on))
        c->tracing = json_is_true(on);
}

struct mesh_config *mesh_config_new(const char *key, const json_t *object)
{
    struct mesh_config *c = NEW(struct mesh_config);
    const json_t *text = json_at(object, "data.mesh");
    struct err err = {0};
    c->tracing = true;
    c->sampling = 1;
    if (!text)
        return c;
    AUTO_DONE(object_reader)
    struct object_reader r = {.findings = &c->findings, .object = key, .id = "MeshConfigInvalid"};
    size_t mark = reader_enter(&r, "data.mesh");
    if (!json_is_string(text) || json_string_length(text) > MESH_CONFIG_BYTES_MAX)
        reader_error(&r, NULL, NULL, "is no text, or too long");
    else if (yaml_parse(str_of(json_string_value(text), json_string_length(text)), &c->whole,
                        &err) < 0)
        reader_error(&r, NULL, NULL, "is no YAML: %s", err_text(&err));
    else if (c->whole && !json_is_object(c->whole))
        reader_error(&r, NULL, NULL, "is no object");
    else
        read_all(&r, c);
    reader_leave(&r, mark);
    return c;
}

void mesh_config_free(struct mesh_config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_providers; i++)
        provider_done(&c->providers[i]);
    free(c->providers);
    free(c->zipkin_host);
    findings_done(&c->findings);
    json_decref(c->log_labels);
    json_decref(c->whole);
    free(c);
}

/* Two are there by themselves, as Istio has it. */
const struct mesh_provider *mesh_config_find(const struct mesh_config *c, const char *name)
{
    static const struct mesh_provider usual[] = {
        {.name = "prometheus", .kind = MESH_PROVIDER_PROMETHEUS, .kind_name = "prometheus"},
        {.name = "envoy", .kind = MESH_PROVIDER_FILE_LOG, .kind_name = "envoyFileAccessLog"},
    };
    const struct mesh_provider *p = find(c->providers, c->n_providers, name);
    return p ? p : find(usual, ARRAY_LEN(usual), name);
}

bool mesh_config_is_cluster_local(const struct mesh_config *c, const char *host)
{
    size_t best = 0;
    bool local = false;
    for (size_t i = 0; c && i < json_array_size(c->service_settings); i++) {
        const json_t *one = json_array_get(c->service_settings, i),
                     *hosts = json_object_get(one, "hosts");
        for (size_t k = 0; k < json_array_size(hosts); k++) {
            const char *pattern = json_string_value(json_array_get(hosts, k));
            if (strlen(pattern) <= best || !istio_host_covers(pattern, host))
                continue;
            best = strlen(pattern);
            local = json_at_bool(one, "settings.clusterLocal", false);
        }
    }
    return local;
}
