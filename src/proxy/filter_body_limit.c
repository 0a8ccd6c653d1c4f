/* A body that is larger than it may be is refused: before anything is done about the request, where
 * its length is told; else when it has come that far. Nothing is gathered. */
#include <errno.h>

#include <fairlead/filters/http/v1/body_limit.pb-c.h>

#include "proxy/filter_table.h"

struct body_limit {
    uint64_t max_bytes; /* 0: none */
};

static int compile(struct filter_compile *c, const ProtobufCMessage *m, void **ret)
{
    struct body_limit *l = *ret = arena_alloc(c->a, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->max_bytes = ((const Fairlead__Filters__Http__V1__BodyLimit *)m)->max_bytes;
    return 0;
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct body_limit *l = c->route ? c->route : c->config;
    if (!l->max_bytes)
        return FILTER_CONTINUE;
    if (c->head->content_length > 0 && (uint64_t)c->head->content_length > l->max_bytes) {
        c->answer.reason = REASON_BODY_TOO_LARGE;
        return FILTER_ANSWERED;
    }
    c->body_max = l->max_bytes;
    return FILTER_CONTINUE;
}

const struct filter_type filter_body_limit = {
    .name = "fairlead.filters.http.body_limit",
    .message = &fairlead__filters__http__v1__body_limit__descriptor,
    .route_message = &fairlead__filters__http__v1__body_limit__descriptor,
    .compile = compile,
    .compile_route = compile,
    .on_request = on_request,
};
