/* Istio's envoyExtAuthzHttp and envoyExtAuthzGrpc as Envoy's ext_authz: asked when the RBAC filter
 * before it, which decides nothing, says by its metadata that a rule of the provider's policies is
 * about the request. */
#include "control/translate_ext_authz.h"

#include <stdio.h>

#include "control/translate_priv.h"

#define TYPE "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
#define RBAC "envoy.filters.http.rbac"

enum { TIMEOUT_MS = 600 * 1000, STATUS_ON_ERROR = 403, TIMEOUT_TEXT = 40 };

char *translate_ext_authz_prefix(const char *provider)
{
    return xasprintf("istio-ext-authz-%s-ns[", provider);
}

const struct mesh_provider *translate_ext_authz_find(const struct authorization_policy *p,
                                                     const struct mesh_config *config,
                                                     translate_find_cluster *find, void *user,
                                                     char ret[CLUSTER_NAME_MAX])
{
    const struct mesh_provider *to = config ? mesh_config_find(config, p->provider) : NULL;
    return to && mesh_provider_authorizes(to->kind) && find(to->host, to->port, ret, user) ? to
                                                                                           : NULL;
}

/* x, x*, *x; NULL: none. */
static json_t *names(const json_t *list)
{
    json_t *patterns = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct str text = str_from(json_string_value(json_array_get(list, i)));
        const char *how = "exact";
        if (str_ends(text, STR("*"))) {
            how = "prefix";
            text.n--;
        } else if (str_starts(text, STR("*"))) {
            how = "suffix";
            text = str_sub(text, 1, text.n);
        }
        json_array_append_new(patterns,
                              json_pack("{s:s%,s:b}", how, text.p, text.n, "ignore_case", 1));
    }
    if (json_array_size(patterns))
        return json_pack("{s:o}", "patterns", patterns);
    json_decref(patterns);
    return NULL;
}

static void set_names(json_t *to, const char *field, const json_t *list)
{
    json_t *found = names(list);
    if (found)
        json_object_set_new(to, field, found);
}

static json_t *request_of(const json_t *spec)
{
    json_t *headers = json_array(), *value;
    const char *name;
    json_object_foreach(json_object_get(spec, "includeAdditionalHeadersInCheck"), name, value)
        json_array_append_new(headers, json_pack("{s:s,s:O}", "key", name, "value", value));
    return json_pack("{s:o}", "headers_to_add", headers);
}

static json_t *answer_of(const json_t *spec)
{
    json_t *answer = json_object();
    set_names(answer, "allowed_upstream_headers",
              json_object_get(spec, "headersToUpstreamOnAllow"));
    set_names(answer, "allowed_client_headers", json_object_get(spec, "headersToDownstreamOnDeny"));
    set_names(answer, "allowed_client_headers_on_success",
              json_object_get(spec, "headersToDownstreamOnAllow"));
    return answer;
}

static void format_timeout(const struct mesh_provider *p, char ret[TIMEOUT_TEXT])
{
    AUTO_DONE(object_reader) struct object_reader silent = {0};
    uint64_t ms = TIMEOUT_MS;
    reader_duration_ms(&silent, p->spec, "timeout", 1, &ms);
    snprintf(ret, TIMEOUT_TEXT, "%llu.%03llus", (unsigned long long)(ms / 1000),
             (unsigned long long)(ms % 1000));
}

/* Of gRPC: as whom it is asked is the provider's host, as in Istio. */
static json_t *grpc_of(const struct mesh_provider *p, const char *cluster)
{
    char timeout[TIMEOUT_TEXT];
    format_timeout(p, timeout);
    return json_pack("{s:{s:s,s:s},s:s}", "envoy_grpc", "cluster_name", cluster, "authority",
                     p->host, "timeout", timeout);
}

static json_t *service_of(const struct mesh_provider *p, const char *cluster)
{
    AUTO_CHARS char *uri = xasprintf("http://%s", p->host);
    const char *prefix = json_key_str(p->spec, "pathPrefix");
    char timeout[TIMEOUT_TEXT];
    format_timeout(p, timeout);
    json_t *service = json_pack("{s:{s:s,s:s,s:s},s:o,s:o}", "server_uri", "uri", uri, "cluster",
                                cluster, "timeout", timeout, "authorization_request",
                                request_of(p->spec), "authorization_response", answer_of(p->spec));
    if (!str_empty(prefix))
        json_object_set_new(service, "path_prefix", json_string(prefix));
    return service;
}

static json_t *only_of(const char *provider)
{
    AUTO_CHARS char *prefix = translate_ext_authz_prefix(provider);
    return json_pack("{s:s,s:[{s:s}],s:{s:{s:s}}}", "filter", RBAC, "path", "key",
                     TRANSLATE_EXT_AUTHZ_SHADOW "shadow_effective_policy_id", "value",
                     "string_match", "prefix", prefix);
}

json_t *translate_ext_authz(const struct mesh_provider *p, const char *cluster)
{
    const json_t *body = json_object_get(p->spec, "includeRequestBodyInCheck"),
                 *fields = json_object_get(p->spec, "includeRequestHeadersInCheck");
    const char *status = json_key_str(p->spec, "statusOnError");
    uint64_t code = STATUS_ON_ERROR;
    if (status)
        IGNORE_RESULT(str_to_u64(str_from(status), &code)); /* it was checked */
    const bool grpc = p->kind == MESH_PROVIDER_EXT_AUTHZ_GRPC;
    json_t *config = json_pack(
        "{s:s,s:o,s:b,s:o,s:{s:I}}", "transport_api_version", "V3",
        grpc ? "grpc_service" : "http_service", grpc ? grpc_of(p, cluster) : service_of(p, cluster),
        "failure_mode_allow", json_at_bool(p->spec, "failOpen", false), "filter_enabled_metadata",
        only_of(p->name), "status_on_error", "code", (json_int_t)code);
    if (!json_array_size(fields) && !grpc)
        fields = json_object_get(p->spec, "includeHeadersInCheck"); /* its earlier name */
    if (!grpc)
        set_names(config, "allowed_headers", fields);
    if (json_is_object(body)) {
        json_t *settings =
            json_pack("{s:O}", "max_request_bytes", json_object_get(body, "maxRequestBytes"));
        if (grpc && json_at_bool(body, "packAsBytes", false))
            json_object_set_new(settings, "pack_as_bytes", json_true());
        json_object_set_new(config, "with_request_body", settings);
    }
    return json_pack("{s:s,s:o}", "name", "envoy.filters.http.ext_authz", "typed_config",
                     translate_typed(TYPE, config));
}
