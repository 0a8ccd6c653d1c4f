/* Faults on purpose: requests held up, or answered with an error, by chance or as their own fields
 * ask for it. */
#include <errno.h>
#include <stdatomic.h>

#include <envoy/extensions/filters/http/fault/v3/fault.pb-c.h>

#include "base/rand.h"
#include "net/loop.h"
#include "proxy/duration.h"
#include "proxy/filter_table.h"
#include "proxy/fraction.h"
#include "proxy/string_match.h"

typedef Envoy__Extensions__Filters__Http__Fault__V3__HTTPFault pb_fault;

struct fault_part {
    struct fraction share;
    uint32_t value; /* milliseconds, or a status */
    bool by_field;  /* the request says the value, and may make the share smaller */
};

struct fault {
    struct fault_part delay, abort;
    struct str body; /* of aborts; .p NULL: Envoy's */
    uint8_t grpc;    /* their status of gRPC, and one more; 0: what the status means there */
    struct str cluster;
    struct field_match *fields;
    size_t n_fields;
    struct str *nodes;
    size_t n_nodes;
    uint32_t active_max;
    atomic_uint active; /* requests with a fault, of all workers */
};

struct fault_state {
    struct fault *counted; /* among its active ones; NULL: not */
    struct loop_timer *timer;
};

/* ---- configuration ---- */

static uint32_t milliseconds(const Google__Protobuf__Duration *d)
{
    uint64_t ms = duration_ms(d, 0);
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static int compile_match(struct filter_compile *c, const pb_fault *m, struct fault *f)
{
    f->cluster = arena_str(c->a, str_from(m->upstream_cluster));
    f->n_fields = m->n_headers;
    f->fields = arena_alloc(c->a, f->n_fields * sizeof(*f->fields));
    f->n_nodes = m->n_downstream_nodes;
    f->nodes = arena_alloc(c->a, f->n_nodes * sizeof(*f->nodes));
    if (!f->fields || !f->nodes || !f->cluster.p)
        return -ENOMEM;
    for (size_t i = 0; i < f->n_nodes; i++)
        if (!(f->nodes[i] = arena_str(c->a, str_from(m->downstream_nodes[i]))).p)
            return -ENOMEM;
    for (size_t i = 0; i < f->n_fields; i++) {
        size_t mark = pb_path_field(c->path, "headers");
        pb_path_index(c->path, i);
        int r = field_match_compile(m->headers[i], c->a, c->path, &f->fields[i], c->err);
        if (r < 0)
            return r;
        pb_path_back(c->path, mark);
    }
    return 0;
}

/* A status of gRPC, and what others than its clients are told (its http-grpc-status-mapping, the
 * other way). */
static bool set_grpc(struct fault *f, uint32_t grpc)
{
    static const uint16_t statuses[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                        400, 409, 400, 501, 500, 503, 500, 401};
    if (grpc >= ARRAY_LEN(statuses))
        return false;
    f->abort.value = statuses[grpc];
    f->grpc = (uint8_t)(grpc + 1);
    return true;
}

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_fault *m = (const pb_fault *)message;
    struct fault *f = *ret = arena_alloc(c->a, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->active_max = m->max_active_faults ? m->max_active_faults->value : UINT32_MAX;
    if (m->delay) {
        f->delay.share = fraction_of(m->delay->percentage);
        f->delay.by_field =
            m->delay->fault_delay_secifier_case ==
            ENVOY__EXTENSIONS__FILTERS__COMMON__FAULT__V3__FAULT_DELAY__FAULT_DELAY_SECIFIER_HEADER_DELAY;
        f->delay.value = f->delay.by_field ? 0 : milliseconds(m->delay->fixed_delay);
    }
    if (m->abort) {
        f->abort.share = fraction_of(m->abort->percentage);
        f->abort.by_field =
            m->abort->error_type_case ==
            ENVOY__EXTENSIONS__FILTERS__HTTP__FAULT__V3__FAULT_ABORT__ERROR_TYPE_HEADER_ABORT;
        f->abort.value = f->abort.by_field ? 0 : m->abort->http_status;
        if (m->abort->error_type_case ==
                ENVOY__EXTENSIONS__FILTERS__HTTP__FAULT__V3__FAULT_ABORT__ERROR_TYPE_GRPC_STATUS &&
            !set_grpc(f, m->abort->grpc_status))
            return pb_path_fail(c->path, c->err, -EINVAL, "abort.grpc_status must be 0 to 16");
        if (*m->abort->response_body &&
            !(f->body = arena_str(c->a, str_from(m->abort->response_body))).p)
            return -ENOMEM;
    }
    return compile_match(c, m, f);
}

/* ---- requests ---- */

static bool number(const struct filter_call *c, const char *name, uint64_t *ret)
{
    const struct http_field *f = http_head_find_text(c->head, str_from(name));
    return f && str_to_u64(str_trim(http_field_value(f)), ret) == 0;
}

static bool is_meant(const struct fault *f, const struct filter_call *c)
{
    if (f->cluster.n && (!c->cluster || !str_is(f->cluster, c->cluster)))
        return false;
    struct str node =
        http_field_value(http_head_find_text(c->head, STR("x-envoy-downstream-service-node")));
    bool from = !f->n_nodes;
    for (size_t i = 0; i < f->n_nodes && node.p; i++)
        from |= str_eq(f->nodes[i], node);
    for (size_t i = 0; i < f->n_fields && from; i++)
        from = field_matches(&f->fields[i], c->head);
    return from;
}

/* Is it this request's turn, and with which value? */
static bool hits(const struct fault_part *p, const struct filter_call *c, const char *field,
                 const char *share_field, uint64_t *ret)
{
    struct fraction share = p->share;
    uint64_t asked;
    *ret = p->value;
    if (p->by_field) {
        if (!number(c, field, ret))
            return false;
        if (number(c, share_field, &asked) && asked < share.numerator)
            share.numerator = (uint32_t)asked;
    }
    return fraction_hits(share, rand_u64(), false);
}

static bool count(struct fault *f, struct filter_call *c)
{
    struct fault_state *s = c->state;
    if (s->counted)
        return true;
    if (atomic_fetch_add_explicit(&f->active, 1, memory_order_relaxed) >= f->active_max) {
        atomic_fetch_sub_explicit(&f->active, 1, memory_order_relaxed);
        stats_inc(c->stats, HTTP_STAT_FAULT_OVERFLOW);
        return false;
    }
    s->counted = f;
    return true;
}

static struct fault *fault_of(const struct filter_call *c)
{
    /* Shared by all workers, and but for the counter never changed. */
    return (struct fault *)(uintptr_t)(c->route ? c->route : c->config);
}

static enum filter_result try_abort(struct filter_call *c)
{
    struct fault *f = fault_of(c);
    uint64_t status;
    if (!hits(&f->abort, c, "x-envoy-fault-abort-request", "x-envoy-fault-abort-request-percentage",
              &status) ||
        status < 200 || status > 599 || !count(f, c))
        return FILTER_CONTINUE;
    stats_inc(c->stats, HTTP_STAT_FAULT_ABORTS);
    c->answer.reason = REASON_FAULT_ABORT;
    c->answer.status = (uint16_t)status;
    c->answer.body = f->body;
    c->answer.grpc = f->grpc;
    return FILTER_ANSWERED;
}

static void on_delay(void *user)
{
    struct filter_call *c = user;
    c->go_on(c, try_abort(c));
}

static enum filter_result on_request(struct filter_call *c)
{
    struct fault *f = fault_of(c);
    struct fault_state *s = c->state;
    uint64_t ms;
    if (!is_meant(f, c))
        return FILTER_CONTINUE;
    if (!hits(&f->delay, c, "x-envoy-fault-delay-request", "x-envoy-fault-delay-request-percentage",
              &ms) ||
        !ms || !count(f, c))
        return try_abort(c);
    stats_inc(c->stats, HTTP_STAT_FAULT_DELAYS);
    c->delayed = true;
    s->timer = loop_timer_new(c->loop, on_delay, c);
    loop_timer_start(s->timer, ms < UINT32_MAX ? ms : UINT32_MAX);
    return FILTER_WAIT;
}

static void on_done(struct filter_call *c)
{
    struct fault_state *s = c->state;
    loop_timer_free(TAKE(s->timer));
    if (s->counted)
        atomic_fetch_sub_explicit(&TAKE(s->counted)->active, 1, memory_order_relaxed);
}

const struct filter_type filter_fault = {
    .name = "envoy.filters.http.fault",
    .message = &envoy__extensions__filters__http__fault__v3__httpfault__descriptor,
    .route_message = &envoy__extensions__filters__http__fault__v3__httpfault__descriptor,
    .compile = compile,
    .compile_route = compile,
    .state_bytes = sizeof(struct fault_state),
    .on_request = on_request,
    .on_done = on_done,
};
