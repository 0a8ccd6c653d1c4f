/* From a Tracing message to what requests need. */
#include "proxy/trace_config.h"

#include <stdlib.h>

#include <envoy/config/trace/v3/opentelemetry.pb-c.h>
#include <envoy/config/trace/v3/zipkin.pb-c.h>

#include "proxy/duration.h"

typedef Envoy__Config__Trace__V3__OpenTelemetryConfig pb_otel;
typedef Envoy__Config__Trace__V3__ZipkinConfig pb_zipkin;
typedef Envoy__Type__Tracing__V3__CustomTag pb_tag;

enum { REPORT_TIMEOUT_MS = 5000 };

static const char *service = "fairlead-proxy";

void trace_config_set_service(const char *name)
{
    service = name && *name ? name : "fairlead-proxy";
}

/* ---- where to ---- */

static int check_target(struct compile *c, struct trace_collector *to)
{
    if (!*to->cluster)
        return COMPILE_FAIL(c, "the collector's cluster must be set");
    if (to->path[0] != '/' || strpbrk(to->path, " \r\n\t"))
        return COMPILE_FAIL(c, "the collector's path must begin with / and have no blanks");
    return 0;
}

/* http://HOST/PATH; otherwise: the path of one without. */
static void read_uri(const char *uri, const char *otherwise, struct trace_collector *to)
{
    const char *host = strstr(uri, "://");
    host = host ? host + 3 : uri;
    const char *path = strchr(host, '/');
    size_t n = path ? (size_t)(path - host) : strlen(host);
    to->host = str_dup(str_of(host, n));
    to->path = xstrdup(path ? path : otherwise);
}

static int read_fields(struct compile *c, Envoy__Config__Core__V3__HeaderValueOption *const *m,
                       size_t n, struct trace_collector *to)
{
    if (n > TRACE_COLLECTOR_FIELDS_MAX)
        return COMPILE_FAIL(c, "request_headers_to_add: more than %d", TRACE_COLLECTOR_FIELDS_MAX);
    for (size_t i = 0; i < n; i++) {
        const Envoy__Config__Core__V3__HeaderValue *h = m[i]->header;
        if (!h || !http_is_token(str_from(h->key)) || !http_is_value(str_from(h->value)) ||
            strchr(h->value, '%'))
            return COMPILE_FAIL(c,
                                "request_headers_to_add[%zu]: needs a name and a value without "
                                "operators",
                                i);
        to->fields[to->n_fields++] =
            (struct http_header){str_of(str_dup(str_from(h->key)), strlen(h->key)),
                                 str_of(str_dup(str_from(h->value)), strlen(h->value))};
    }
    return 0;
}

static int read_service(struct compile *c, const Envoy__Config__Core__V3__HttpService *m,
                        const char *path, struct trace_collector *to)
{
    const Envoy__Config__Core__V3__HttpUri *uri = m ? m->http_uri : NULL;
    if (!uri)
        return COMPILE_FAIL(c, "the collector's service and its http_uri must be set");
    to->cluster = xstrdup(uri->cluster);
    read_uri(uri->uri, path, to);
    to->timeout_ms = duration_ms(uri->timeout, REPORT_TIMEOUT_MS);
    return read_fields(c, m->request_headers_to_add, m->n_request_headers_to_add, to);
}

static int read_otel(struct compile *c, const pb_otel *m, struct trace_config *t)
{
    t->w3c = t->wide = true;
    t->collector->service = xstrdup(*m->service_name ? m->service_name : service);
    return read_service(c, m->http_service, "/v1/traces", t->collector);
}

static int read_zipkin(struct compile *c, const pb_zipkin *m, struct trace_config *t)
{
    struct trace_collector *to = t->collector;
    if (m->collector_endpoint_version !=
        ENVOY__CONFIG__TRACE__V3__ZIPKIN_CONFIG__COLLECTOR_ENDPOINT_VERSION__HTTP_JSON)
        return COMPILE_FAIL(c, "collector_endpoint_version: only HTTP_JSON is implemented");
    t->b3 = true;
    t->w3c =
        m->trace_context_option ==
        ENVOY__CONFIG__TRACE__V3__ZIPKIN_CONFIG__TRACE_CONTEXT_OPTION__USE_B3_WITH_W3C_PROPAGATION;
    t->wide = m->trace_id_128bit || t->w3c;
    to->zipkin = true;
    to->timeout_ms = REPORT_TIMEOUT_MS;
    to->service = xstrdup(service);
    if (m->collector_service) /* it stands in place of the older fields */
        return read_service(c, m->collector_service, "/api/v2/spans", to);
    to->cluster = xstrdup(m->collector_cluster);
    to->host = xstrdup(*m->collector_hostname ? m->collector_hostname : m->collector_cluster);
    to->path = xstrdup(m->collector_endpoint);
    return 0;
}

static int read_provider(struct compile *c, const pb_tracing *m, struct trace_config *t)
{
    const Google__Protobuf__Any *any = m->provider ? m->provider->typed_config : NULL;
    struct str type = any ? pb_type_name(str_from(any->type_url)) : STR("");
    bool zipkin = str_is(type, "envoy.config.trace.v3.ZipkinConfig");
    ProtobufCMessage *message;
    size_t mark = pb_path_field(&c->path, "provider");
    if (!zipkin && !str_is(type, "envoy.config.trace.v3.OpenTelemetryConfig"))
        return COMPILE_FAIL(c, "must be envoy.tracers.opentelemetry or envoy.tracers.zipkin");
    pb_path_field(&c->path, "typed_config");
    int r = pb_unpack(zipkin ? &envoy__config__trace__v3__zipkin_config__descriptor
                             : &envoy__config__trace__v3__open_telemetry_config__descriptor,
                      str_of(any->value.data, any->value.len), c->scratch, &message, c->err);
    if (r == 0)
        r = zipkin ? read_zipkin(c, (const void *)message, t)
                   : read_otel(c, (const void *)message, t);
    if (r == 0)
        r = check_target(c, t->collector);
    if (r == 0)
        pb_path_back(&c->path, mark);
    return r;
}

/* ---- what is told ---- */

static int read_tag(struct compile *c, const pb_tag *m, struct arena *a, struct trace_tag *ret)
{
    const char *value = NULL, *header = NULL;
    switch ((unsigned)m->type_case) {
    case ENVOY__TYPE__TRACING__V3__CUSTOM_TAG__TYPE_LITERAL:
        value = m->literal->value;
        break;
    case ENVOY__TYPE__TRACING__V3__CUSTOM_TAG__TYPE_ENVIRONMENT:
        value = getenv(m->environment->name);
        value = value ? value : m->environment->default_value;
        break;
    case ENVOY__TYPE__TRACING__V3__CUSTOM_TAG__TYPE_REQUEST_HEADER:
        header = m->request_header->name;
        value = m->request_header->default_value;
        break;
    case ENVOY__TYPE__TRACING__V3__CUSTOM_TAG__TYPE_METADATA:
        value = m->metadata->default_value;
        break;
    default:
        return COMPILE_FAIL(c, "must be one of literal, environment, request_header, metadata");
    }
    if (!*m->tag || (header && !*header))
        return COMPILE_FAIL(c, "tag, and the name of a field, must be set");
    ret->name = arena_str(a, str_from(m->tag));
    if (value && *value)
        ret->value = arena_str(a, str_from(value));
    if (header) {
        struct str text = arena_str(a, str_from(header));
        for (size_t i = 0; text.p && i < text.n; i++)
            if (text.p[i] >= 'A' && text.p[i] <= 'Z')
                ((char *)(uintptr_t)text.p)[i] = (char)(text.p[i] + 32);
        ret->header =
            (struct header_name){text.p ? (uint16_t)http_name_find(text) : HTTP_NAME_OTHER, text};
    }
    return ret->name.p ? 0 : -ENOMEM;
}

static int read_tags(struct compile *c, const pb_tracing *m, struct trace_config *t)
{
    if (m->n_custom_tags > TRACE_TAGS_MAX)
        return COMPILE_FAIL(c, "custom_tags: more than %d", TRACE_TAGS_MAX);
    t->tags = arena_alloc(t->arena, MAX(m->n_custom_tags, (size_t)1) * sizeof(*t->tags));
    int r = t->tags ? 0 : -ENOMEM;
    for (size_t i = 0; i < m->n_custom_tags && r == 0; i++) {
        size_t mark = pb_path_field(&c->path, "custom_tags");
        pb_path_index(&c->path, i);
        r = read_tag(c, m->custom_tags[i], t->arena, &t->tags[t->n_tags++]);
        if (r == 0)
            pb_path_back(&c->path, mark);
    }
    return r;
}

static struct fraction percent(const Envoy__Type__V3__Percent *m)
{
    double part = m ? m->value : 100;
    return (struct fraction){(uint32_t)(MIN(MAX(part, 0.0), 100.0) * 10000 + 0.5), 1000000};
}

int trace_config_compile(struct compile *c, const pb_tracing *m, struct trace_config **ret)
{
    struct trace_config *t = NEW(struct trace_config);
    t->arena = arena_new(0);
    t->collector = trace_collector_new();
    t->client = percent(m->client_sampling);
    t->random = percent(m->random_sampling);
    t->overall = percent(m->overall_sampling);
    t->path_bytes = m->max_path_tag_length ? m->max_path_tag_length->value : TRACE_PATH_BYTES;
    int r = read_provider(c, m, t);
    if (r == 0)
        r = read_tags(c, m, t);
    if (r < 0) {
        trace_config_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void trace_config_free(struct trace_config *t)
{
    if (!t)
        return;
    trace_collector_unref(t->collector);
    arena_free(t->arena);
    free(t);
}
