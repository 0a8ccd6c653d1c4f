/* Answers that are replaced by those of another backend: Envoy's custom_response, which sends the
 * request to a virtual host that each such backend has in the table. It takes one path, so that who
 * asks for it by its name gets what everybody gets. */
#include <stdio.h>

#include "control/translate_priv.h"
#include "control/xds_fields.h"
#include "model/ingress_value.h"

#define FILTER_NAME "envoy.filters.http.custom_response"
#define FILTER_TYPE                                                                                \
    XDS_TYPE_PREFIX "envoy.extensions.filters.http.custom_response.v3.CustomResponse"
#define POLICY_NAME "envoy.http.custom_response.redirect_policy"
#define POLICY_TYPE                                                                                \
    XDS_TYPE_PREFIX "envoy.extensions.http.custom_response.redirect_policy.v3.RedirectPolicy"
#define INPUT_NAME  "envoy.matching.inputs.status_code_input"
#define INPUT_TYPE  XDS_TYPE_PREFIX "envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput"
#define HOST_HEADER "x-fairlead-original-host"
#define ERROR_PATH  "/"

enum { OVERWRITE_OR_ADD = 2 }; /* HeaderValueOption.HeaderAppendAction */

const char *translate_error_host_name(const struct route_backend *to, char ret[CLUSTER_NAME_MAX])
{
    struct str name, ns = str_cut(str_from(to->service), '/', &name);
    snprintf(ret, CLUSTER_NAME_MAX, "errors-%u." STR_FMT "." STR_FMT "." INGRESS_RESERVED_DOMAIN,
             to->port, STR_ARG(name), STR_ARG(ns));
    return ret;
}

void translate_error_host(const struct route_backend *to, struct buf *out)
{
    static const struct route_upstream usual = {0};
    char name[CLUSTER_NAME_MAX], cluster[CLUSTER_NAME_MAX];
    translate_error_host_name(to, name);
    pb_add_text(out, F_HOST_NAME, name);
    pb_add_text(out, F_HOST_DOMAINS, name);
    size_t route = pb_begin(out, F_HOST_ROUTES), at;
    at = pb_begin(out, F_ROUTE_MATCH);
    pb_add_text(out, F_MATCH_PATH, ERROR_PATH);
    pb_end(out, at);
    at = pb_begin(out, F_ROUTE_ROUTE);
    pb_add_text(out, F_ACTION_CLUSTER,
                translate_cluster_name(to->service, to->port, &usual, cluster));
    pb_add_text(out, F_ACTION_HOST_REWRITE_HEADER, HOST_HEADER);
    translate_retries(out, &(struct route_retry){0}, 60);
    pb_end(out, at);
    pb_add_text(out, F_ROUTE_REQUEST_HEADERS_TO_REMOVE, HOST_HEADER);
    pb_end(out, route);
}

static void add_extension(struct buf *b, unsigned number, const char *name, const char *type,
                          struct str message)
{
    size_t at = pb_begin(b, number), any;
    pb_add_text(b, F_XDS_EXTENSION_NAME, name);
    any = pb_begin(b, F_XDS_EXTENSION_TYPED_CONFIG);
    pb_add_text(b, F_ANY_TYPE_URL, type);
    pb_add_bytes(b, F_ANY_VALUE, message);
    pb_end(b, any);
    pb_end(b, at);
}

static void add_field(struct buf *b, const char *name, const char *value)
{
    size_t option = pb_begin(b, F_DETOUR_REQUEST_HEADERS_TO_ADD),
           header = pb_begin(b, F_OPTION_HEADER);
    pb_add_text(b, F_HEADER_VALUE_KEY, name);
    pb_add_text(b, F_HEADER_VALUE_VALUE, value);
    pb_end(b, header);
    pb_add_uint(b, F_OPTION_APPEND_ACTION, OVERWRITE_OR_ADD);
    pb_end(b, option);
}

/* The fields that ingress-nginx sends. */
static void add_policy(struct buf *b, const struct route *r, uint16_t code)
{
    struct str name, ns = str_cut(str_from(r->origin.object), '/', &name);
    AUTO_CHARS char *code_text = xasprintf("%u", code), *namespace_ = str_dup(ns),
                    *ingress = str_dup(name);
    char host[CLUSTER_NAME_MAX];
    size_t to = pb_begin(b, F_DETOUR_REDIRECT_ACTION);
    pb_add_text(b, F_REDIRECT_HOST_REDIRECT, translate_error_host_name(&r->errors->to, host));
    pb_add_text(b, F_REDIRECT_PATH_REDIRECT, ERROR_PATH);
    pb_end(b, to);
    add_field(b, "x-code", code_text);
    add_field(b, "x-format", "%REQ(ACCEPT)%");
    add_field(b, "x-original-uri", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%");
    add_field(b, "x-namespace", namespace_);
    add_field(b, "x-ingress-name", ingress);
    add_field(b, "x-service-name", r->errors->of_service);
    add_field(b, "x-service-port", r->errors->of_port);
    add_field(b, HOST_HEADER, "%REQ(X-ENVOY-ORIGINAL-HOST?:AUTHORITY)%");
}

void translate_errors_route(struct buf *b, const struct route *r)
{
    AUTO_DONE(buf) struct buf all = {0};
    if (!r->errors)
        return;
    size_t matcher = pb_begin(&all, F_CUSTOM_RESPONSE_MATCHER),
           tree = pb_begin(&all, F_MATCHER_TREE);
    add_extension(&all, F_TREE_INPUT, INPUT_NAME, INPUT_TYPE, STR(""));
    size_t map = pb_begin(&all, F_TREE_EXACT_MATCH_MAP);
    for (uint32_t i = 0; i < r->errors->n_codes; i++) {
        AUTO_DONE(buf) struct buf policy = {0};
        AUTO_CHARS char *code = xasprintf("%u", r->errors->codes[i]);
        size_t entry = pb_begin(&all, F_MATCH_MAP_MAP), on;
        pb_add_text(&all, F_MAP_KEY, code);
        on = pb_begin(&all, F_MAP_VALUE);
        add_policy(&policy, r, r->errors->codes[i]);
        add_extension(&all, F_ON_MATCH_ACTION, POLICY_NAME, POLICY_TYPE, buf_str(&policy));
        pb_end(&all, on);
        pb_end(&all, entry);
    }
    pb_end(&all, map);
    pb_end(&all, tree);
    pb_end(&all, matcher);
    translate_filter_config(FILTER_NAME, FILTER_TYPE, buf_str(&all), b);
}
