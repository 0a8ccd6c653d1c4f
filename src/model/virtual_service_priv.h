#pragma once
/* Parts of VirtualServices, one file each. */

#include "model/virtual_service.h"

/* ---- virtual_service_route.c ---- */
/* A match (NULL: all requests) and what becomes of its requests, into a zeroed route; false: it is
 * wrong, and told. */
bool virtual_service_read_match(struct object_reader *r, const json_t *match, struct route *to);
bool virtual_service_read_action(struct object_reader *r, const json_t *http, const char *ns,
                                 const struct virtual_service_place *p, struct route *to);
/* "route" of anything: to where, and with which weights. */
bool virtual_service_read_backends(struct object_reader *r, const json_t *list, const char *ns,
                                   const struct virtual_service_place *p,
                                   struct route_backend **ret, uint32_t *ret_n);
/* ---- virtual_service_stream.c ---- */
void virtual_service_check_streams(struct virtual_service *v, struct object_reader *r);
/* for (size_t at = 0; (d = virtual_service_next_stream_destination(v, &at));) */
const json_t *virtual_service_next_stream_destination(const struct virtual_service *v, size_t *at);

/* ---- virtual_service_route.c ---- */
/* Of a match: gateways, port, sourceNamespace, sourceLabels. */
bool virtual_service_is_for(const json_t *match, const struct virtual_service_place *p);
void virtual_service_note_source(struct virtual_service *v, const json_t *match);

/* ---- virtual_service_policy.c ---- */
bool virtual_service_read_retries(struct object_reader *r, const json_t *http, struct route *to);
bool virtual_service_read_fault(struct object_reader *r, const json_t *http, struct route *to);
bool virtual_service_read_cors(struct object_reader *r, const json_t *http, struct route *to);
bool virtual_service_read_headers(struct object_reader *r, const json_t *of,
                                  struct route_fields *requests, struct route_fields *answers);
/* A field's name in lower case, owned; NULL: it is none, and told. */
char *virtual_service_field_name(struct object_reader *r, const char *name);

/* ---- virtual_service_delegate.c ---- */
/* The route of a delegate as the root's makes it: both must match, and what it leaves open the root
 * says. A new reference; NULL: no request can match both, told. */
json_t *virtual_service_merge(struct object_reader *r, const json_t *root, const json_t *delegate);
