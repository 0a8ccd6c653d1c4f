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
};

/* ---- further tries ---- */

/* Not the one that has just failed, if there is another. */
static void add_other_hosts(struct buf *b)
{
    size_t predicate = pb_begin(b, F_RETRY_HOST_PREDICATE), any;
    pb_add_text(b, F_RETRY_PREDICATE_NAME, OTHER_HOSTS_NAME);
    any = pb_begin(b, F_RETRY_PREDICATE_TYPED_CONFIG);
    pb_add_text(b, F_ANY_TYPE_URL, OTHER_HOSTS_TYPE);
    pb_end(b, any);
    pb_end(b, predicate);
    pb_add_uint(b, F_RETRY_HOST_SELECTION_MAX, OTHER_HOST_CHOICES);
}

/* Words that begin with "fairlead-" are passed over by other proxies, which then try less often. */
static void retry_words(const struct route_retry *r, struct buf *to)
{
    bool any = r->on & ROUTE_RETRY_ANY_METHOD;
    if (r->on & ROUTE_RETRY_OFF)
        return;
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
    pb_add_text(b, F_RETRY_RETRY_ON, buf_cstr(&words));
    n = pb_begin(b, F_RETRY_NUM_RETRIES);
    pb_add_uint(b, F_UINT32_VALUE, tries - 1);
    pb_end(b, n);
    add_other_hosts(b);
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

static void add_field(struct buf *b, unsigned number, const char *name, const char *text)
{
    AUTO_DONE(buf) struct buf value = {0};
    size_t option = pb_begin(b, number), header = pb_begin(b, F_OPTION_HEADER);
    add_escaped(&value, text);
    pb_add_text(b, F_HEADER_VALUE_KEY, name);
    pb_add_text(b, F_HEADER_VALUE_VALUE, buf_cstr(&value));
    pb_end(b, header);
    pb_add_uint(b, F_OPTION_APPEND_ACTION, OVERWRITE_OR_ADD);
    pb_end(b, option);
}

void translate_field_list(struct buf *b, unsigned number, const struct route_fields *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        add_field(b, number, f->v[i].name, f->v[i].value);
}

void translate_fields(struct buf *b, const struct route *r, const struct translate_view *view)
{
    const struct auth_fields *map =
        r->answer_map ? auth_objects_fields(view->objects, r->answer_map) : NULL;
    translate_field_list(b, F_ROUTE_REQUEST_HEADERS_TO_ADD, &r->request_fields);
    translate_field_list(b, F_ROUTE_RESPONSE_HEADERS_TO_ADD, &r->answer_fields);
    for (size_t i = 0; map && i < map->n; i++)
        if (ingress_settings_allow(view->settings, map->v[i].name))
            add_field(b, F_ROUTE_RESPONSE_HEADERS_TO_ADD, map->v[i].name, map->v[i].value);
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
    if (!m->host)
        return;
    AUTO_CHARS char *host = m->as_host ? xstrdup(m->as_host)
                            : usual    ? xstrdup(m->host)
                                       : xasprintf("%s:%u", m->host, m->port);
    size_t at = pb_begin(b, F_ACTION_REQUEST_MIRROR_POLICIES);
    pb_add_text(b, F_MIRROR_CLUSTER, translate_host_cluster_name(m->host, m->port, m->tls, name));
    pb_add_uint(b, F_MIRROR_KEEPS_HOST, 1);
    pb_add_text(b, F_MIRROR_HOST, host);
    pb_end(b, at);
}
