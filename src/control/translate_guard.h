#pragma once
/* What stands before a route, as configurations of HTTP filters. Envoy's types where they say it,
 * else our own, for proxies that know them. */

#include "control/translate.h"

/* Names under which the filters stand in listeners, and routes speak of them. */
#define ESCAPED_SLASHES_NAME    "fairlead.filters.http.escaped_slashes"
#define ESCAPED_SLASHES_TYPE    XDS_OWN_PREFIX "fairlead.filters.http.v1.EscapedSlashes"
#define BODY_LIMIT_NAME         "fairlead.filters.http.body_limit"
#define BODY_LIMIT_TYPE         XDS_OWN_PREFIX "fairlead.filters.http.v1.BodyLimit"
#define CLIENT_LIMIT_NAME       "fairlead.filters.http.client_limit"
#define CLIENT_LIMIT_TYPE       XDS_OWN_PREFIX "fairlead.filters.http.v1.ClientLimit"
#define CLIENT_CERTIFICATE_NAME "fairlead.filters.http.client_certificate"
#define CLIENT_CERTIFICATE_TYPE XDS_OWN_PREFIX "fairlead.filters.http.v1.ClientCertificate"
#define ANSWER_NAME             "fairlead.filters.http.answer"
#define ANSWER_TYPE             XDS_OWN_PREFIX "fairlead.filters.http.v1.Answer"
#define BUFFER_NAME             "envoy.filters.http.buffer"
#define RBAC_NAME               "envoy.filters.http.rbac"
#define ACCESS_NAME             "fairlead.filters.http.access"
#define ACCESS_TYPE             XDS_OWN_PREFIX "fairlead.filters.http.v1.Access"

/* Can a proxy be told of all that stands before a route? If not, it must not be given the route. */
bool translate_guard_can(const struct route *r, const struct translate_view *view);
/* The same for the host's client certificate, before all that the route does. r has one. */
bool translate_client_cert_can(const struct route *r, const struct translate_view *view);
void translate_client_cert(const struct route *r, struct buf *out);
/* Appends entries of a route's typed_per_filter_config. */
void translate_guard(const struct route *r, const struct translate_view *view, struct buf *out);
