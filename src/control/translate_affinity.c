/* Who goes to which endpoint: hash policies of routes, sessions that keep their endpoint. */
#include "control/translate_priv.h"
#include "control/xds_fields.h"

#define SESSION_NAME "envoy.filters.http.stateful_session"
#define SESSION_TYPE                                                                               \
    XDS_TYPE_PREFIX "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute"
#define COOKIE_NAME "envoy.http.stateful_session.cookie"
#define COOKIE_TYPE                                                                                \
    XDS_TYPE_PREFIX "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState"
/* Browsers that take SameSite=None for Strict, or refuse the cookie: Chrome 50 to 69, iOS 12,
 * Safari of macOS 10.14. Envoy takes no expression whose program is longer than 100 for RE2, where
 * a negated class has a dozen steps. */
#define OLD_BROWSERS                                                                               \
    ".*(Chrom(e|ium)/[56][0-9]\\..*|\\(iP[ -(*-~]* OS 12[_ ].*|"                                   \
    "X 10_14[_0-9]*\\) [ -~]+Gecko\\)( Version/[0-9.]+( Safari/[0-9.]+)?)?)"

/* Both messages of a cookie have these numbers. */
static_assert((int)F_HASH_COOKIE_NAME == F_COOKIE_NAME && (int)F_HASH_COOKIE_TTL == F_COOKIE_TTL &&
                  (int)F_HASH_COOKIE_PATH == F_COOKIE_PATH &&
                  (int)F_HASH_COOKIE_ATTRIBUTES == F_COOKIE_ATTRIBUTES &&
                  (int)F_HASH_ATTRIBUTE_NAME == F_ATTRIBUTE_NAME &&
                  (int)F_HASH_ATTRIBUTE_VALUE == F_ATTRIBUTE_VALUE,
              "a cookie is a cookie");

static void add_attribute(struct buf *b, const char *name, const char *value)
{
    size_t at = pb_begin(b, F_COOKIE_ATTRIBUTES);
    pb_add_text(b, F_ATTRIBUTE_NAME, name);
    if (value)
        pb_add_text(b, F_ATTRIBUTE_VALUE, value);
    pb_end(b, at);
}

static void add_cookie(struct buf *b, const struct route_cookie *c, struct translate_place where)
{
    bool secure = c->secure == ROUTE_SECURE_ALWAYS ||
                  (c->secure == ROUTE_SECURE_WITH_TLS && where.side == TRANSLATE_TLS);
    pb_add_text(b, F_COOKIE_NAME, c->name);
    if (!c->found_only) {
        size_t ttl = pb_begin(b, F_COOKIE_TTL);
        if (c->max_age_s)
            pb_add_uint(b, F_DURATION_SECONDS, c->max_age_s);
        pb_end(b, ttl);
    }
    pb_add_text(b, F_COOKIE_PATH, c->path);
    if (c->domain)
        add_attribute(b, "Domain", c->domain);
    if (secure)
        add_attribute(b, "Secure", NULL);
    if (c->same_site && !where.old_browser)
        add_attribute(b, "SameSite", c->same_site);
    for (uint32_t i = 0; i < c->n_attributes; i++)
        add_attribute(b, c->attributes[2 * i], c->attributes[2 * i + 1]);
}

static void add_any(struct buf *b, unsigned number, const char *type, const struct buf *message)
{
    size_t any = pb_begin(b, number);
    pb_add_text(b, F_ANY_TYPE_URL, type);
    pb_add_bytes(b, F_ANY_VALUE, buf_str(message));
    pb_end(b, any);
}

static void add_session(struct buf *b, const struct route_cookie *c, struct translate_place where)
{
    AUTO_DONE(buf) struct buf state = {0};
    AUTO_DONE(buf) struct buf route = {0};
    size_t cookie = pb_begin(&state, F_SESSION_COOKIE);
    add_cookie(&state, c, where);
    pb_end(&state, cookie);
    size_t session = pb_begin(&route, F_SESSION_ROUTE_SESSION);
    size_t extension = pb_begin(&route, F_SESSION_STATE);
    pb_add_text(&route, F_EXTENSION_NAME, COOKIE_NAME);
    add_any(&route, F_EXTENSION_TYPED_CONFIG, COOKIE_TYPE, &state);
    pb_end(&route, extension);
    pb_end(&route, session);
    translate_filter_config(SESSION_NAME, SESSION_TYPE, buf_str(&route), b);
}

/* A field of the request; of a path what stands before the query. */
static void add_header_key(struct buf *b, const char *name, bool without_query)
{
    size_t header = pb_begin(b, F_HASH_HEADER);
    pb_add_text(b, F_HASH_HEADER_NAME, name);
    if (without_query) {
        size_t rewrite = pb_begin(b, F_HASH_HEADER_REGEX_REWRITE),
               pattern = pb_begin(b, F_REWRITE_PATTERN);
        pb_add_text(b, F_REGEX_REGEX, "^([^?]*).*$");
        pb_end(b, pattern);
        pb_add_text(b, F_REWRITE_SUBSTITUTION, "\\1");
        pb_end(b, rewrite);
    }
    pb_end(b, header);
}

static void add_key(struct buf *b, const struct route_key *k)
{
    size_t policy = pb_begin(b, F_ACTION_HASH_POLICY), part;
    switch (k->kind) {
    case ROUTE_KEY_URI:
    case ROUTE_KEY_PATH:
        add_header_key(b, ":path", k->kind == ROUTE_KEY_PATH);
        break;
    case ROUTE_KEY_HOST:
        add_header_key(b, ":authority", false);
        break;
    case ROUTE_KEY_HEADER:
        add_header_key(b, k->name, false);
        break;
    case ROUTE_KEY_ADDRESS:
        part = pb_begin(b, F_HASH_CONNECTION);
        pb_add_uint(b, F_HASH_CONNECTION_SOURCE_IP, 1);
        pb_end(b, part);
        break;
    case ROUTE_KEY_QUERY:
        part = pb_begin(b, F_HASH_QUERY);
        pb_add_text(b, F_HASH_QUERY_NAME, k->name);
        pb_end(b, part);
        break;
    case ROUTE_KEY_COOKIE:
        part = pb_begin(b, F_HASH_COOKIE);
        pb_add_text(b, F_HASH_COOKIE_NAME, k->name);
        pb_end(b, part);
        break;
    }
    pb_end(b, policy);
}

void translate_affinity_action(struct buf *b, const struct route *r, struct translate_place where)
{
    for (uint32_t i = 0; i < r->n_keys; i++)
        add_key(b, &r->keys[i]);
    if (!r->affinity.name || r->affinity.endpoint)
        return;
    size_t policy = pb_begin(b, F_ACTION_HASH_POLICY), cookie = pb_begin(b, F_HASH_COOKIE);
    add_cookie(b, &r->affinity, where);
    pb_end(b, cookie);
    pb_end(b, policy);
}

void translate_affinity_weights(struct buf *b, const struct route *r)
{
    if (!r->affinity.name || r->affinity.endpoint || r->affinity.canary_anew)
        return;
    size_t by_hash = pb_begin(b, F_WEIGHTED_USE_HASH_POLICY);
    pb_add_uint(b, F_BOOL_VALUE, 1);
    pb_end(b, by_hash);
}

void translate_affinity_route(struct buf *b, const struct route *r, struct translate_place where)
{
    if (r->affinity.name && r->affinity.endpoint)
        add_session(b, &r->affinity, where);
}

const char *translate_affinity_browsers(const struct route *r)
{
    bool splits =
        r->affinity.name && r->affinity.none_by_browser && streq(r->affinity.same_site, "None");
    return splits ? OLD_BROWSERS : NULL;
}
