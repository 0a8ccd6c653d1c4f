/* A listener is made first, then told what to tell: who makes its chains need not know. */
#include "control/translate_telemetry.h"

#include "base/time.h"
#include "control/translate_priv.h"

#define CONTROL_CLUSTER "xds-grpc" /* as Istio's agents name it, and we do */
#define MANAGER_NAME    "envoy.filters.network.http_connection_manager"
#define TCP_NAME        "envoy.filters.network.tcp_proxy"
#define STATS_NAME      "istio.stats"

/* ---- traces ---- */

static json_t *zipkin(const char *cluster, const char *host, const json_t *spec, bool both)
{
    const char *path = json_key_str(spec, "path");
    json_t *j = json_pack("{s:s,s:s,s:s,s:b,s:b,s:s}", "collector_cluster", cluster,
                          "collector_endpoint", path && *path ? path : "/api/v2/spans",
                          "collector_endpoint_version", "HTTP_JSON", "shared_span_context", 0,
                          "trace_id_128bit", !json_at_bool(spec, "enable64bitTraceId", false),
                          "trace_context_option", both ? "USE_B3_WITH_W3C_PROPAGATION" : "USE_B3");
    if (host)
        json_object_set_new(j, "collector_hostname", json_string(host));
    return json_pack("{s:s,s:o}", "name", "envoy.tracers.zipkin", "typed_config",
                     translate_typed("envoy.config.trace.v3.ZipkinConfig", j));
}

/* "1.5s" of what has been found to be a duration. */
static json_t *seconds(const json_t *of, const char *name, uint64_t otherwise_ms)
{
    const char *text = json_key_str(of, name);
    uint64_t ms = otherwise_ms;
    if (text && time_parse_duration(str_from(text), &ms) < 0)
        ms = otherwise_ms;
    return json_sprintf("%llu.%03llus", (unsigned long long)ms / 1000,
                        (unsigned long long)ms % 1000);
}

static json_t *opentelemetry(const char *cluster, const struct mesh_provider *p)
{
    const json_t *http = json_object_get(p->spec, "http"),
                 *headers = json_object_get(http, "headers");
    json_t *service =
        json_pack("{s:{s:o,s:s,s:o}}", "http_uri", "uri",
                  json_sprintf("http://%s:%u%s", p->host, p->port, json_key_str(http, "path")),
                  "cluster", cluster, "timeout", seconds(http, "timeout", 5000));
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(headers); i++) {
        const json_t *h = json_array_get(headers, i);
        json_array_append_new(list,
                              json_pack("{s:{s:s,s:s},s:s}", "header", "key",
                                        json_key_str(h, "name"), "value", json_key_str(h, "value"),
                                        "append_action", "OVERWRITE_IF_EXISTS_OR_ADD"));
    }
    if (json_array_size(list))
        json_object_set(service, "request_headers_to_add", list);
    json_decref(list);
    return json_pack("{s:s,s:o}", "name", "envoy.tracers.opentelemetry", "typed_config",
                     translate_typed("envoy.config.trace.v3.OpenTelemetryConfig",
                                     json_pack("{s:o}", "http_service", service)));
}

/* Both the mesh config and Telemetry write them so. */
static json_t *tag(const char *name, const json_t *of)
{
    const json_t *environment = json_object_get(of, "environment"),
                 *header = json_object_get(of, "header");
    json_t *j = json_pack("{s:s}", "tag", name);
    const json_t *with = environment ? environment : header;
    const char *otherwise = json_key_str(with, "defaultValue"),
               *literal = json_at_str(of, "literal.value"), *named = json_key_str(with, "name");
    if (literal)
        json_object_set_new(j, "literal", json_pack("{s:s}", "value", literal));
    else if (named)
        json_object_set_new(
            j, environment ? "environment" : "request_header",
            json_pack("{s:s,s:s}", "name", named, "default_value", otherwise ? otherwise : ""));
    else {
        json_decref(j);
        return NULL;
    }
    return j;
}

static json_t *tags(const json_t *of)
{
    json_t *list = json_array(), *value, *one;
    const char *name;
    json_object_foreach((json_t *)(uintptr_t)of, name, value) if ((one = tag(name, value)))
        json_array_append_new(list, one);
    return list;
}

/* NULL: its collector is not there. */
static json_t *provider(const struct telemetry_tracing *t, const struct mesh_config *c,
                        translate_find_cluster *find, void *user)
{
    char cluster[CLUSTER_NAME_MAX];
    const struct mesh_provider *p = t->provider;
    if (t->is_default && !c->zipkin_host)
        return zipkin(CONTROL_CLUSTER, NULL, NULL, true);
    if (t->is_default)
        return find(c->zipkin_host, c->zipkin_port, cluster, user)
                   ? zipkin(cluster, c->zipkin_host, NULL, true)
                   : NULL;
    if (!find(p->host, p->port, cluster, user))
        return NULL;
    if (p->kind == MESH_PROVIDER_OPENTELEMETRY)
        return opentelemetry(cluster, p);
    return zipkin(
        cluster, p->host, p->spec,
        streq(json_key_str(p->spec, "traceContextOption"), "USE_B3_WITH_W3C_PROPAGATION"));
}

static json_t *tracing(const struct telemetry_tracing *t, const struct mesh_config *c,
                       translate_find_cluster *find, void *user)
{
    json_t *to = t->off ? NULL : provider(t, c, find, user), *custom;
    int64_t length = t->provider ? json_at_int(t->provider->spec, "maxTagLength", 0) : 0;
    if (!to)
        return NULL;
    json_t *j = json_pack("{s:{s:f},s:{s:f},s:{s:f},s:o}", "client_sampling", "value", 100.0,
                          "random_sampling", "value", t->sampling, "overall_sampling", "value",
                          100.0, "provider", to);
    length = length ? length : c->max_path_tag;
    if (length)
        json_object_set_new(j, "max_path_tag_length", json_integer(length));
    custom = tags(t->tags);
    if (json_array_size(custom))
        json_object_set(j, "custom_tags", custom);
    json_decref(custom);
    return j;
}

/* ---- access logs ---- */

/* Istio's own line and its own object. */
static const char text_format[] =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

static const char *const labels[][2] = {
    {"start_time", "%START_TIME%"},
    {"route_name", "%ROUTE_NAME%"},
    {"method", "%REQ(:METHOD)%"},
    {"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
    {"protocol", "%PROTOCOL%"},
    {"response_code", "%RESPONSE_CODE%"},
    {"response_flags", "%RESPONSE_FLAGS%"},
    {"response_code_details", "%RESPONSE_CODE_DETAILS%"},
    {"connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"},
    {"bytes_received", "%BYTES_RECEIVED%"},
    {"bytes_sent", "%BYTES_SENT%"},
    {"duration", "%DURATION%"},
    {"upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"},
    {"x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"},
    {"user_agent", "%REQ(USER-AGENT)%"},
    {"request_id", "%REQ(X-REQUEST-ID)%"},
    {"authority", "%REQ(:AUTHORITY)%"},
    {"upstream_host", "%UPSTREAM_HOST%"},
    {"upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"},
    {"upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"},
    {"downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"},
    {"downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"},
    {"requested_server_name", "%REQUESTED_SERVER_NAME%"},
    {"upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"},
};

static json_t *usual_labels(void)
{
    json_t *j = json_object();
    for (size_t i = 0; i < ARRAY_LEN(labels); i++)
        json_object_set_new(j, labels[i][0], json_string(labels[i][1]));
    return j;
}

static json_t *comparison(const struct log_expression *e)
{
    static const char *const ops[] = {
        [LOG_EQ] = "EQ", [LOG_NE] = "NE", [LOG_GE] = "GE", [LOG_LE] = "LE"};
    return json_pack("{s:{s:s,s:{s:I}}}", "comparison", "op", ops[e->comparison], "value",
                     "default_value", (json_int_t)e->value);
}

/* As a filter looks at a field. */
static json_t *field_match(const struct log_expression *e)
{
    json_t *j = json_pack("{s:s}", "name", e->field);
    switch (e->how) {
    case ROUTE_IS:
        json_object_set_new(j, "string_match", json_pack("{s:s}", "exact", e->text));
        break;
    case ROUTE_BEGINS_WITH:
        json_object_set_new(j, "string_match", json_pack("{s:s}", "prefix", e->text));
        break;
    case ROUTE_IS_LIKE:
        json_object_set_new(j, "string_match",
                            json_pack("{s:{s:s}}", "safe_regex", "regex", e->text));
        break;
    case ROUTE_IS_THERE:
        json_object_set_new(j, "present_match", json_true());
        break;
    }
    if (e->not )
        json_object_set_new(j, "invert_match", json_true());
    return json_pack("{s:o}", "header", j);
}

static json_t *filter(const struct log_expression *e);

/* Those of one kind as one list, however they are joined. */
static void gather(const struct log_expression *e, enum log_expression_op op, json_t *list)
{
    if (e->op != op) {
        json_array_append_new(list, filter(e));
        return;
    }
    gather(e->of[0], op, list);
    gather(e->of[1], op, list);
}

static json_t *joined(const struct log_expression *e)
{
    json_t *list = json_array();
    gather(e, e->op, list);
    return json_pack("{s:{s:o}}", e->op == LOG_AND ? "and_filter" : "or_filter", "filters", list);
}

/* Statuses of gRPC, by their names in the protobuf. */
static json_t *grpc_filter(const struct log_expression *e)
{
    return json_pack("{s:{s:[I],s:b}}", "grpc_status_filter", "statuses", (json_int_t)e->value,
                     "exclude", e->comparison == LOG_NE);
}

static json_t *filter(const struct log_expression *e)
{
    switch (e->op) {
    case LOG_AND:
    case LOG_OR:
        return joined(e);
    case LOG_ANY:
        return json_pack("{s:{}}", "not_health_check_filter");
    case LOG_CODE:
        return json_pack("{s:o}", "status_code_filter", comparison(e));
    case LOG_DURATION:
        return json_pack("{s:o}", "duration_filter", comparison(e));
    case LOG_GRPC:
        return grpc_filter(e);
    case LOG_FLAGS:
        return json_pack("{s:{}}", "response_flag_filter");
    case LOG_FIELD:
        return json_pack("{s:o}", "header_filter", field_match(e));
    }
    return NULL;
}

/* Takes format, a SubstitutionFormatString. */
static json_t *file_log(const char *path, json_t *format, const struct log_expression *e)
{
    json_t *j =
        json_pack("{s:s,s:o}", "name", "envoy.access_loggers.file", "typed_config",
                  translate_typed("envoy.extensions.access_loggers.file.v3.FileAccessLog",
                                  json_pack("{s:s,s:o}", "path", path, "log_format", format)));
    if (e)
        json_object_set_new(j, "filter", filter(e));
    return j;
}

static json_t *text(const char *format)
{
    return json_pack("{s:{s:s}}", "text_format_source", "inline_string",
                     format ? format : text_format);
}

/* As accessLogFile and its kin say it. */
static json_t *usual_format(const struct mesh_config *c)
{
    if (c->log_encoding == MESH_LOG_TEXT)
        return text(c->log_format);
    return json_pack("{s:o}", "json_format",
                     c->log_labels ? json_deep_copy(c->log_labels) : usual_labels());
}

static json_t *log_of(const struct telemetry_log *l, const struct mesh_config *c)
{
    const json_t *spec = l->provider->spec, *format = json_object_get(spec, "logFormat"),
                 *own = json_object_get(format, "labels");
    const char *path = json_key_str(spec, "path");
    bool omits = json_at_bool(spec, "omitEmptyValues", false);
    json_t *j;
    if (streq(l->provider->name, "envoy") && !format && !omits)
        j = usual_format(c);
    else if (own)
        j = json_pack("{s:o}", "json_format",
                      json_object_size(own) ? json_deep_copy(own) : usual_labels());
    else
        j = text(json_key_str(format, "text"));
    if (omits)
        json_object_set_new(j, "omit_empty_values", json_true());
    return file_log(path && *path ? path : "/dev/stdout", j, l->filter);
}

static json_t *logs(const struct telemetry_view *v, const struct mesh_config *c)
{
    if (v->legacy_logs)
        return c->log_file ? json_pack("[o]", file_log(c->log_file, usual_format(c), NULL)) : NULL;
    json_t *list = v->logs.n ? json_array() : NULL;
    for (size_t i = 0; i < v->logs.n; i++)
        json_array_append_new(list, log_of(&v->logs.v[i], c));
    return list;
}

/* ---- metrics ---- */

static json_t *metric(const char *name, const struct telemetry_metrics *m, unsigned i)
{
    json_t *j = json_pack("{s:s}", "name", name), *set = json_object(), *removed = json_array(),
           *value;
    const char *label;
    json_object_foreach(m->tags[i], label, value)
    {
        if (json_is_null(value))
            json_array_append_new(removed, json_string(label));
        else
            json_object_set(set, label, value);
    }
    if (m->dropped[i])
        json_object_set_new(j, "drop", json_true());
    if (json_object_size(set))
        json_object_set(j, "dimensions", set);
    if (json_array_size(removed))
        json_object_set(j, "tags_to_remove", removed);
    json_decref(set);
    json_decref(removed);
    return j;
}

static json_t *stats(const struct telemetry_metrics *m, enum telemetry_side side)
{
    static const char *const names[] = {
        [TELEMETRY_REQUEST_COUNT] = "requests_total",
        [TELEMETRY_REQUEST_DURATION] = "request_duration_milliseconds",
        [TELEMETRY_REQUEST_SIZE] = "request_bytes",
        [TELEMETRY_RESPONSE_SIZE] = "response_bytes",
        [TELEMETRY_TCP_OPENED] = "tcp_connections_opened_total",
        [TELEMETRY_TCP_CLOSED] = "tcp_connections_closed_total",
        [TELEMETRY_TCP_SENT] = "tcp_sent_bytes_total",
        [TELEMETRY_TCP_RECEIVED] = "tcp_received_bytes_total",
        [TELEMETRY_GRPC_REQUESTS] = "request_messages_total",
        [TELEMETRY_GRPC_RESPONSES] = "response_messages_total",
    };
    json_t *j = json_object(), *list = json_array();
    if (m->off) {
        json_decref(j);
        json_decref(list);
        return NULL;
    }
    if (side == TELEMETRY_SERVER) /* what was called is no Service but the pod itself */
        json_object_set_new(j, "disable_host_header_fallback", json_true());
    for (unsigned i = 0; i < _TELEMETRY_METRICS; i++)
        if (m->dropped[i] || m->tags[i])
            json_array_append_new(list, metric(names[i], m, i));
    if (json_array_size(list))
        json_object_set(j, "metrics", list);
    json_decref(list);
    return translate_typed("stats.PluginConfig", j);
}

/* ---- the whole ---- */

struct mesh_told translate_told(const struct telemetry_view *v, const struct mesh_config *c,
                                enum telemetry_side side, translate_find_cluster *find, void *user)
{
    return (struct mesh_told){.tracing = tracing(&v->tracing, c, find, user),
                              .logs = logs(v, c),
                              .stats = stats(&v->metrics, side)};
}

void mesh_told_done(struct mesh_told *t)
{
    json_decref(t->tracing);
    json_decref(t->logs);
    json_decref(t->stats);
    *t = (struct mesh_told){NULL, NULL, NULL};
}

bool mesh_told_traces_to_us(const struct mesh_told *t)
{
    return streq(json_at_str(t->tracing, "provider.typed_config.collector_cluster"),
                 CONTROL_CLUSTER);
}

static bool same(const json_t *a, const json_t *b)
{
    return a == b || (a && b && json_equal(a, b));
}

bool mesh_told_eq(const struct mesh_told *a, const struct mesh_told *b)
{
    return same(a->tracing, b->tracing) && same(a->logs, b->logs) && same(a->stats, b->stats);
}

static void tell_manager(json_t *manager, const struct mesh_told *t)
{
    json_t *filters = json_object_get(manager, "http_filters");
    if (t->tracing)
        json_object_set(manager, "tracing", t->tracing);
    else
        json_object_del(manager, "tracing");
    for (size_t i = json_array_size(filters); i > 0; i--) {
        json_t *f = json_array_get(filters, i - 1);
        if (!streq(json_key_str(f, "name"), STATS_NAME))
            continue;
        if (t->stats)
            json_object_set(f, "typed_config", t->stats);
        else
            json_array_remove(filters, i - 1);
    }
}

static void tell_chain(const json_t *chain, const struct mesh_told *t)
{
    const json_t *filters = json_object_get(chain, "filters");
    for (size_t i = 0; i < json_array_size(filters); i++) {
        const json_t *f = json_array_get(filters, i);
        json_t *config = json_object_get(f, "typed_config");
        bool manager = streq(json_key_str(f, "name"), MANAGER_NAME);
        if (manager)
            tell_manager(config, t);
        if (t->logs && (manager || streq(json_key_str(f, "name"), TCP_NAME)))
            json_object_set(config, "access_log", t->logs);
    }
}

void translate_tell(json_t *listener, const struct mesh_told *t)
{
    const json_t *chains = json_object_get(listener, "filter_chains");
    if (!t)
        return;
    for (size_t i = 0; i < json_array_size(chains); i++)
        tell_chain(json_array_get(chains, i), t);
    tell_chain(json_object_get(listener, "default_filter_chain"), t);
    if (!t->stats)
        json_object_del(listener, "metadata");
}
