#pragma once
/* External authorization, shared by its files: filter_ext_authz.c reads configurations and asks by
 * HTTP, ext_authz_grpc.c by gRPC, ext_authz_rule.c is what both need. */

#include <envoy/config/core/v3/grpc_service.pb-c.h>

#include "proxy/authz_check.h"
#include "proxy/filter.h"
#include "proxy/fraction.h"
#include "proxy/header_ops.h"
#include "proxy/string_match.h"

struct metadata_match;

struct names {
    struct string_match *v; /* of lower-case names */
    size_t n;
};

struct body_rule {
    bool wanted, raw; /* raw: told as bytes */
    uint64_t max;
};

struct authz {
    struct str cluster; /* ends in NUL */
    uint64_t timeout_ms;
    bool grpc;                  /* asked by gRPC; else by HTTP, of which the next are alone: */
    struct str prefix, instead; /* of the path; empty: none */
    struct header_name *add;
    struct str *add_values;
    size_t n_add;
    struct str authority;                   /* of gRPC; empty: the cluster's name */
    struct names allowed, forbidden;        /* of the request, to be told */
    struct names upstream, upstream_append; /* of the answer, for the endpoint */
    struct names client, client_on_success; /* of the answer, for the client */
    struct body_rule body;
    struct fraction enabled;
    struct metadata_match *only; /* what filters before it must have said; NULL: nothing */
    bool deny_at_disable, failure_allows, failure_tells;
    uint16_t status_on_error;
};

struct authz_state {
    struct filter_fetch *asked;
    struct http_header *told; /* for the client, beside the endpoint's answer */
    size_t n_told;
    const struct authz_change *changes; /* of the endpoint's answer: what gRPC says */
    size_t n_changes;
};

/* lower-case names */
bool ext_authz_is_among(const struct names *names, struct str name);
/* The server has not said what can be heeded: the filter's own rule. */
enum filter_result ext_authz_on_error(struct filter_call *c);

/* ---- ext_authz_grpc.c ---- */
/* What stands in a grpc_service besides its cluster. */
int ext_authz_compile_grpc(struct filter_compile *c, const Envoy__Config__Core__V3__GrpcService *m,
                           struct authz *ret) NODISCARD;
/* False: no memory. */
bool ext_authz_make_check(struct filter_call *c, const struct authz *z,
                          const struct body_rule *body, struct filter_question *q);
void ext_authz_change_answer(const struct filter_call *c, struct http_head *answer);
void ext_authz_on_check(struct filter_call *c, const struct http_head *answer, struct str body);
