/* What becomes of a request on its way: further tries, copies, fields that are set. */
#include <stdio.h>

#include "control/translate_priv.h"
#include "control/xds_fields.h"

/* What may be sent again whatever it is: the backend has not begun with it, or refused it. */
#define RETRY_ON         "connect-failure,refused-stream,reset-before-request"
#define OTHER_HOSTS_NAME "envoy.retry_host_predicates.previous_hosts"
#define OTHER_HOSTS_TYPE                                                                           \
    XDS_TYPE_PREFIX "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"

enum {
    TRIES_DEFAULT = 3,
    OTHER_HOST_CHOICES = 32, /* by hash each is as good as drawn: of two the other one is found */
    OVERWRITE_OR_ADD = 2,    /* HeaderValueOption.HeaderAppendAction */
    MILLION = 2,             /* FractionalPercent.DenominatorType */
};

#define FAULT_NAME "envoy.filters.http.fault"
#define FAULT_TYPE XDS_TYPE_PREFIX "envoy.extensions.filters.http.fault.v3.HTTPFault"

static void add_fraction(struct buf *b, unsigned number, uint32_t per_million)
{
    size_t at = pb_begin(b, number);
    pb_add_uint(b, F_FRACTION_NUMERATOR, per_million);
    pb_add_uint(b, F_FRACTION_DENOMINATOR, MILLION);
    pb_end(b, at);
}

/* ---- further tries ---- */

/* Not the one that has just failed, if there is another. */
static void add_other_hosts(struct buf *b, uint32_t choices)
{
    size_t predicate = pb_begin(b, F_RETRY_HOST_PREDICATE), any;
    pb_add_text(b, F_RETRY_PREDICATE_NAME, OTHER_HOSTS_NAME);
    any = pb_begin(b, F_RETRY_PREDICATE_TYPED_CONFIG);
    pb_add_text(b, F_ANY_TYPE_URL, OTHER_HOSTS_TYPE);
    pb_end(b, any);
    pb_end(b, predicate);
    pb_add_uint(b, F_RETRY_HOST_SELECTION_MAX, choices);
}

/* What the proxy beside an app answers when the app took no connection (proxy/request_answer.c): an
 * answer that says of itself that nobody has seen the request. */
static void add_unseen(struct buf *b)
{
    size_t matcher = pb_begin(b, F_RETRY_HEADERS);
    pb_add_text(b, F_HEADER_NAME, "x-fairlead-unseen");
    pb_add_uint(b, F_HEADER_PRESENT_MATCH, true);
    pb_end(b, matcher);
}

/* Words that begin with "fairlead-" are passed over by other proxies, which then try less often. */
static void retry_words(const struct route_retry *r, struct buf *to)
{
    bool any = r->on & ROUTE_RETRY_ANY_METHOD;
    if (r->on & ROUTE_RETRY_OFF)
        return;
    if (r->conditions) {
        buf_add_cstr(to, r->conditions);
        return;
    }
    buf_add_cstr(to, RETRY_ON);
    if (r->on & ROUTE_RETRY_ERROR)
        buf_add_cstr(to, any ? ",reset" : ",fairlead-safe-reset");
    if (r->on & ROUTE_RETRY_TIMEOUT)
        buf_add_cstr(to, any ? ",fairlead-timeout" : ",fairlead-safe-timeout");
    if (r->n_statuses)
        buf_add_cstr(to, any ? ",retriable-status-codes" : ",fairlead-safe-status-codes");
    if (r->within_s)
        buf_addf(to, ",fairlead-within-%u", r->within_s);
}

void translate_retries(struct buf *b, const struct route_retry *r, uint32_t idle_timeout_s)
{
    AUTO_DONE(buf) struct buf words = {0};
    uint32_t tries = r->on & ROUTE_RETRY_OFF ? 1 : r->tries ? r->tries : TRIES_DEFAULT;
    size_t retry = pb_begin(b, F_ACTION_RETRY_POLICY), n;
    retry_words(r, &words);
    if (str_contains(buf_str(&words), STR("connect-failure"))) {
        buf_add_cstr(&words, ",retriable-headers"); /* of the app behind it */
        add_unseen(b);
    }
    pb_add_text(b, F_RETRY_RETRY_ON, buf_cstr(&words));
    n = pb_begin(b, F_RETRY_NUM_RETRIES);
    pb_add_uint(b, F_UINT32_VALUE, tries - 1);
    pb_end(b, n);
    if (!r->conditions || r->other_hosts)
        add_other_hosts(b, r->conditions ? r->other_hosts : OTHER_HOST_CHOICES);
    if (r->per_try_ms)
        translate_duration(b, F_RETRY_PER_TRY_TIMEOUT, r->per_try_ms);
    if (r->backoff_ms) {
        size_t backoff = pb_begin(b, F_RETRY_BACK_OFF);
        translate_duration(b, F_BACK_OFF_BASE, r->backoff_ms);
        pb_end(b, backoff);
    }
    for (uint32_t i = 0; i < r->n_statuses; i++)
        pb_add_uint(b, F_RETRY_STATUS_CODES, r->statuses[i]);
    if (idle_timeout_s) {
        size_t idle = pb_begin(b, F_RETRY_PER_TRY_IDLE_TIMEOUT);
        pb_add_uint(b, F_DURATION_SECONDS, idle_timeout_s);
        pb_end(b, idle);
    }
    pb_end(b, retry);
}

/* ---- fields ---- */

/* What a proxy would take for operators is text. */
static void add_escaped(struct buf *to, const char *value)
{
    for (; *value; value++) {
        if (*value == '%')
            buf_add_char(to, '%');
        buf_add_char(to, *value);
    }
}

static void add_field(struct buf *b, unsigned number, const char *name, const char *text,
                      enum route_field_op op)
{
    AUTO_DONE(buf) struct buf value = {0};
    size_t option = pb_begin(b, number), header = pb_begin(b, F_OPTION_HEADER);
    add_escaped(&value, text);
    pb_add_text(b, F_HEADER_VALUE_KEY, name);
    pb_add_text(b, F_HEADER_VALUE_VALUE, buf_cstr(&value));
    pb_end(b, header);
    if (op == ROUTE_FIELD_SET) /* 0: append, or add */
        pb_add_uint(b, F_OPTION_APPEND_ACTION, OVERWRITE_OR_ADD);
    pb_end(b, option);
}

const struct translate_field_numbers translate_fields_of_weight[2] = {
    {F_WEIGHT_REQUEST_HEADERS_TO_ADD, F_WEIGHT_REQUEST_HEADERS_TO_REMOVE},
    {F_WEIGHT_RESPONSE_HEADERS_TO_ADD, F_WEIGHT_RESPONSE_HEADERS_TO_REMOVE}};

void translate_field_list(struct buf *b, const struct translate_field_numbers *to,
                          const struct route_fields *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (f->v[i].op == ROUTE_FIELD_REMOVE)
            pb_add_text(b, to->remove, f->v[i].name);
        else
            add_field(b, to->add, f->v[i].name, f->v[i].value, f->v[i].op);
}

void translate_fields(struct buf *b, const struct route *r, const struct translate_view *view)
{
    const struct auth_fields *map =
        r->answer_map ? auth_objects_fields(view->objects, r->answer_map) : NULL;
    static const struct translate_field_numbers requests = {F_ROUTE_REQUEST_HEADERS_TO_ADD,
                                                            F_ROUTE_REQUEST_HEADERS_TO_REMOVE},
                                                answers = {F_ROUTE_RESPONSE_HEADERS_TO_ADD,
                                                           F_ROUTE_RESPONSE_HEADERS_TO_REMOVE};
    translate_field_list(b, &requests, &r->request_fields);
    translate_field_list(b, &answers, &r->answer_fields);
    for (size_t i = 0; map && i < map->n; i++)
        if (ingress_settings_allow(view->settings, map->v[i].name))
            add_field(b, F_ROUTE_RESPONSE_HEADERS_TO_ADD, map->v[i].name, map->v[i].value,
                      ROUTE_FIELD_SET);
}

/* ---- filters ---- */

void translate_filter_config(const char *name, const char *type, struct str config, struct buf *b)
{
    size_t entry = pb_begin(b, F_ROUTE_TYPED_PER_FILTER_CONFIG), any;
    pb_add_text(b, F_MAP_KEY, name);
    any = pb_begin(b, F_MAP_VALUE);
    pb_add_text(b, F_ANY_TYPE_URL, type);
    pb_add_bytes(b, F_ANY_VALUE, config);
    pb_end(b, any);
    pb_end(b, entry);
}

/* ---- copies ---- */

void translate_mirror(struct buf *b, const struct route_mirror *m)
{
    char name[CLUSTER_NAME_MAX];
    bool usual = m->port == (m->tls ? 443 : 80);
    size_t at;
    if (!m->host && !m->per_million)
        return;
    if (!m->host) { /* by the request's own host */
        at = pb_begin(b, F_ACTION_REQUEST_MIRROR_POLICIES);
        pb_add_text(b, F_MIRROR_CLUSTER, translate_backend_name(&m->to, NULL, name));
        size_t fraction = pb_begin(b, F_MIRROR_FRACTION);
        add_fraction(b, F_RUNTIME_FRACTION_DEFAULT, m->per_million);
        pb_end(b, fraction);
        pb_add_uint(b, F_MIRROR_KEEPS_HOST, 1);
        pb_end(b, at);
        return;
    }
    AUTO_CHARS char *host = m->as_host ? xstrdup(m->as_host)
                            : usual    ? xstrdup(m->host)
                                       : xasprintf("%s:%u", m->host, m->port);
    at = pb_begin(b, F_ACTION_REQUEST_MIRROR_POLICIES);
    pb_add_text(b, F_MIRROR_CLUSTER, translate_host_cluster_name(m->host, m->port, m->tls, name));
    pb_add_uint(b, F_MIRROR_KEEPS_HOST, 1);
    pb_add_text(b, F_MIRROR_HOST, host);
    pb_end(b, at);
}

/* ---- what goes wrong on purpose ---- */

void translate_fault(struct buf *b, const struct route_fault *f)
{
    AUTO_DONE(buf) struct buf fault = {0};
    if (f->delay_per_million) {
        size_t delay = pb_begin(&fault, F_FAULT_DELAY);
        translate_duration(&fault, F_DELAY_FIXED, f->delay_ms);
        add_fraction(&fault, F_DELAY_PERCENTAGE, f->delay_per_million);
        pb_end(&fault, delay);
    }
    if (f->abort_per_million) {
        size_t abort = pb_begin(&fault, F_FAULT_ABORT);
        if (f->abort_grpc)
            pb_add_uint(&fault, F_ABORT_GRPC_STATUS, f->abort_grpc - 1u);
        else
            pb_add_uint(&fault, F_ABORT_HTTP_STATUS, f->abort_status);
        add_fraction(&fault, F_ABORT_PERCENTAGE, f->abort_per_million);
        pb_end(&fault, abort);
    }
    if (fault.n)
        translate_filter_config(FAULT_NAME, FAULT_TYPE, buf_str(&fault), b);
}
