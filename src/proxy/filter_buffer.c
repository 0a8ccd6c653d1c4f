/* A request goes on when all of its body is here; one that is too large is refused. */
#include <errno.h>

#include <envoy/extensions/filters/http/buffer/v3/buffer.pb-c.h>

#include "proxy/filter_table.h"

typedef Envoy__Extensions__Filters__Http__Buffer__V3__Buffer pb_buffer;
typedef Envoy__Extensions__Filters__Http__Buffer__V3__BufferPerRoute pb_route;

struct limit {
    uint64_t bytes;
    bool disabled;
};

static int compile_limit(struct filter_compile *c, const pb_buffer *m, struct limit *ret)
{
    if (!m->max_request_bytes || !m->max_request_bytes->value)
        return pb_path_fail(c->path, c->err, -EINVAL, "max_request_bytes must be greater than 0");
    ret->bytes = m->max_request_bytes->value;
    return 0;
}

static int compile(struct filter_compile *c, const ProtobufCMessage *m, void **ret)
{
    struct limit *l = *ret = arena_alloc(c->a, sizeof(*l));
    return l ? compile_limit(c, (const pb_buffer *)m, l) : -ENOMEM;
}

static int compile_route(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_route *m = (const pb_route *)message;
    struct limit *l = *ret = arena_alloc(c->a, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->disabled =
        m->override_case ==
            ENVOY__EXTENSIONS__FILTERS__HTTP__BUFFER__V3__BUFFER_PER_ROUTE__OVERRIDE_DISABLED &&
        m->disabled;
    if (m->override_case ==
        ENVOY__EXTENSIONS__FILTERS__HTTP__BUFFER__V3__BUFFER_PER_ROUTE__OVERRIDE_BUFFER)
        return compile_limit(c, m->buffer, l);
    return l->disabled ? 0
                       : pb_path_fail(c->path, c->err, -EINVAL, "needs one of disabled, buffer");
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct limit *l = c->route ? c->route : c->config;
    if (l->disabled)
        return FILTER_CONTINUE;
    if (c->head->content_length > 0 && (uint64_t)c->head->content_length > l->bytes) {
        c->answer.reason = REASON_BODY_TOO_LARGE;
        return FILTER_ANSWERED;
    }
    c->collect_max = l->bytes;
    return FILTER_COLLECT;
}

const struct filter_type filter_buffer = {
    .name = "envoy.filters.http.buffer",
    .message = &envoy__extensions__filters__http__buffer__v3__buffer__descriptor,
    .route_message = &envoy__extensions__filters__http__buffer__v3__buffer_per_route__descriptor,
    .compile = compile,
    .compile_route = compile_route,
    .on_request = on_request,
};
