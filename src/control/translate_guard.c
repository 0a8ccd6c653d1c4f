#include "control/translate_guard.h"

#include "control/xds_fields.h"

#define RBAC_TYPE   XDS_TYPE_PREFIX "envoy.extensions.filters.http.rbac.v3.RBACPerRoute"
#define BUFFER_TYPE XDS_TYPE_PREFIX "envoy.extensions.filters.http.buffer.v3.BufferPerRoute"

void translate_filter_config(const char *name, const char *type_url, struct str message,
                             struct buf *out)
{
    size_t entry = pb_begin(out, F_ROUTE_TYPED_PER_FILTER_CONFIG), any;
    pb_add_text(out, F_MAP_KEY, name);
    any = pb_begin(out, F_MAP_VALUE);
    pb_add_text(out, F_ANY_TYPE_URL, type_url);
    pb_add_bytes(out, F_ANY_VALUE, message);
    pb_end(out, any);
    pb_end(out, entry);
}

/* ---- bodies ---- */

static void add_body_limit(uint64_t max_bytes, struct buf *out)
{
    AUTO_DONE(buf) struct buf m = {0};
    pb_add_uint(&m, F_BODY_LIMIT_MAX_BYTES, max_bytes);
    translate_filter_config(BODY_LIMIT_NAME, BODY_LIMIT_TYPE, buf_str(&m), out);
}

/* What Envoy has gathers the body first. */
static void add_buffer(uint64_t max_bytes, struct buf *out)
{
    AUTO_DONE(buf) struct buf m = {0};
    size_t buffer = pb_begin(&m, F_BUFFER_PER_ROUTE_BUFFER),
           max = pb_begin(&m, F_BUFFER_MAX_REQUEST_BYTES);
    pb_add_uint(&m, F_UINT32_VALUE, MIN(max_bytes, (uint64_t)UINT32_MAX));
    pb_end(&m, max);
    pb_end(&m, buffer);
    translate_filter_config(BUFFER_NAME, BUFFER_TYPE, buf_str(&m), out);
}

/* ---- addresses ---- */

static void add_prefix(const struct prefix *p, struct buf *b)
{
    char text[IP_TEXT_BYTES];
    size_t principal = pb_begin(b, F_PRINCIPAL_SET_IDS), range = pb_begin(b, F_PRINCIPAL_REMOTE_IP),
           len;
    pb_add_text(b, F_CIDR_ADDRESS_PREFIX, ip_format(&p->ip, text));
    len = pb_begin(b, F_CIDR_PREFIX_LEN);
    pb_add_uint(b, F_UINT32_VALUE, p->len);
    pb_end(b, len);
    pb_end(b, range);
    pb_end(b, principal);
}

/* One of them. */
static void add_or(const struct route_prefixes *list, struct buf *b)
{
    size_t set = pb_begin(b, F_PRINCIPAL_OR_IDS);
    for (uint32_t i = 0; i < list->n; i++)
        add_prefix(&list->v[i], b);
    pb_end(b, set);
}

/* None of those that are denied, and one of those that are allowed, if any are named. */
static void add_principal(const struct route_addresses *a, struct buf *b)
{
    size_t principal = pb_begin(b, F_POLICY_PRINCIPALS), and = pb_begin(b, F_PRINCIPAL_AND_IDS), id,
           not ;
    if (a->deny.n) {
        id = pb_begin(b, F_PRINCIPAL_SET_IDS);
        not = pb_begin(b, F_PRINCIPAL_NOT_ID);
        add_or(&a->deny, b);
        pb_end(b, not );
        pb_end(b, id);
    }
    if (a->allow.n) {
        id = pb_begin(b, F_PRINCIPAL_SET_IDS);
        add_or(&a->allow, b);
        pb_end(b, id);
    }
    pb_end(b, and);
    pb_end(b, principal);
}

static void add_addresses(const struct route_addresses *a, struct buf *out)
{
    AUTO_DONE(buf) struct buf m = {0};
    size_t rbac = pb_begin(&m, F_RBAC_PER_ROUTE_RBAC), rules = pb_begin(&m, F_RBAC_RULES),
           entry = pb_begin(&m, F_RULES_POLICIES), policy, permission;
    pb_add_text(&m, F_MAP_KEY, "source-range");
    policy = pb_begin(&m, F_MAP_VALUE);
    permission = pb_begin(&m, F_POLICY_PERMISSIONS);
    pb_add_uint(&m, F_PERMISSION_ANY, 1);
    pb_end(&m, permission);
    add_principal(a, &m);
    pb_end(&m, policy);
    pb_end(&m, entry);
    pb_end(&m, rules);
    pb_end(&m, rbac);
    translate_filter_config(RBAC_NAME, RBAC_TYPE, buf_str(&m), out);
}

/* ---- the whole ---- */

bool translate_guard_can(const struct route_guard *g, enum translate_peer peer)
{
    (void)g;
    (void)peer;
    return true;
}

void translate_guard(const struct route_guard *g, enum translate_peer peer, struct buf *out)
{
    if (!g)
        return;
    if (g->body_max_bytes && peer == TRANSLATE_FOREIGN)
        add_buffer(g->body_max_bytes, out);
    else if (g->body_max_bytes)
        add_body_limit(g->body_max_bytes, out);
    if (g->addresses.allow.n || g->addresses.deny.n)
        add_addresses(&g->addresses, out);
}
