/* AuthorizationPolicies as Envoy's RBAC: one filter for each action, each rule a policy of it. A
 * connection has no method, path or token: of those that deny, what asks for such things is left
 * out and the rest denies; every other rule that asks for them is left out as a whole. */
#include <stdio.h>

#include "base/addr.h"
#include "control/translate_ext_authz.h"
#include "control/translate_mesh.h"
#include "control/translate_priv.h"

#define JWT_FILTER     "envoy.filters.http.jwt_authn"
#define OWN_DOMAIN     "cluster.local" /* in policies: the mesh's, whatever its name is */
#define SPIFFE         "spiffe://"
#define UNREADABLE     "unreadable"
#define TEMPLATE_NAME  "envoy.path.match.uri_template.uri_template_matcher"
#define TEMPLATE_TYPE  "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
#define HTTP_RBAC_TYPE "envoy.extensions.filters.http.rbac.v3.RBAC"
#define TCP_RBAC_TYPE  "envoy.extensions.filters.network.rbac.v3.RBAC"

struct making {
    const struct authorization_policy *policy;
    const char *trust_domain;
    bool http;
    const char *prefix; /* of its policies' names */
};

/* What conditions of permissions, and those of principals, are put together by. */
struct side {
    const char *all, *any, *list, *not ;
};
static const struct side permissions = {"and_rules", "or_rules", "rules", "not_rule"};
static const struct side principals = {"and_ids", "or_ids", "ids", "not_id"};

/* Takes items. */
static json_t *group(const struct side *s, bool all, json_t *items)
{
    json_t *one = json_array_size(items) == 1 ? json_incref(json_array_get(items, 0)) : NULL;
    if (!one && json_array_size(items))
        return json_pack("{s:{s:o}}", all ? s->all : s->any, s->list, items);
    json_decref(items);
    return one ? one : json_pack("{s:b}", "any", 1);
}

/* ---- texts ---- */

static void quote(struct buf *b, struct str s, const char *star)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '*' && star) {
            buf_add_cstr(b, star);
            continue;
        }
        if (strchr("\\.+*?()|[]{}^$", s.p[i]))
            buf_add_char(b, '\\');
        buf_add_char(b, s.p[i]);
    }
}

static json_t *regex_of(struct buf *b)
{
    return json_pack("{s:{s:s}}", "safe_regex", "regex", buf_cstr(b));
}

/* x, x*, *x or *, all behind intro. */
static json_t *text_match(const char *intro, const char *value, bool ignore_case)
{
    AUTO_DONE(buf) struct buf b = {0};
    size_t n = strlen(value);
    json_t *m;
    if (streq(value, "*")) {
        buf_add_cstr(&b, ".+");
        return regex_of(&b);
    }
    if (*value == '*' && *intro) {
        quote(&b, str_from(intro), NULL);
        buf_add_cstr(&b, ".*");
        quote(&b, str_from(value + 1), NULL);
        return regex_of(&b);
    }
    if (*value == '*') {
        m = json_pack("{s:s}", "suffix", value + 1);
    } else {
        bool prefix = value[n - 1] == '*';
        buf_addf(&b, "%s%.*s", intro, (int)(prefix ? n - 1 : n), value);
        m = json_pack("{s:s}", prefix ? "prefix" : "exact", buf_cstr(&b));
    }
    if (ignore_case)
        json_object_set_new(m, "ignore_case", json_true());
    return m;
}

static json_t *field_match(const char *name, const char *value, bool ignore_case)
{
    json_t *header = json_pack("{s:s}", "name", name);
    if (streq(value, "*"))
        json_object_set_new(header, "present_match", json_true());
    else
        json_object_set_new(header, "string_match", text_match("", value, ignore_case));
    return json_pack("{s:o}", "header", header);
}

static json_t *path_match(const char *value)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (!strchr(value, '{'))
        return json_pack("{s:{s:o}}", "url_path", "path", text_match("", value, false));
    for (const char *p = value; *p; p++)
        if (*p != '{' && *p != '}')
            buf_add_char(&b, *p);
    return json_pack(
        "{s:{s:s,s:o}}", "uri_template", "name", TEMPLATE_NAME, "typed_config",
        translate_typed(TEMPLATE_TYPE, json_pack("{s:s}", "path_template", buf_cstr(&b))));
}

static json_t *network(const char *field, const char *value)
{
    char text[IP_TEXT_BYTES];
    struct prefix p = {0};
    if (prefix_parse(str_from(value), &p) < 0 && ip_parse(str_from(value), &p.ip) == 0)
        p.len = p.ip.family == AF_INET6 ? 128 : 32;
    return json_pack("{s:{s:s,s:i}}", field, "address_prefix", ip_format(&p.ip, text), "prefix_len",
                     (int)p.len);
}

/* ---- who calls ---- */

/* Takes the match. */
static json_t *authenticated(json_t *match)
{
    return json_pack("{s:{s:o}}", "authenticated", "principal_name", match);
}

static json_t *principal(const struct making *m, const char *value)
{
    struct str s = str_from(value), own = STR(OWN_DOMAIN "/");
    if (!str_starts(s, own))
        return authenticated(text_match(SPIFFE, value, false));
    AUTO_CHARS char *name = xasprintf("%s/%s", m->trust_domain, value + own.n);
    return authenticated(text_match(SPIFFE, name, false));
}

/* Parts of an identity, an asterisk for whatever one of them is. */
static json_t *identity(struct str domain, struct str ns, struct str account)
{
    AUTO_DONE(buf) struct buf b = {0};
    buf_add_cstr(&b, SPIFFE);
    quote(&b, domain, "[^/]*");
    buf_add_cstr(&b, "/ns/");
    quote(&b, ns, "[^/]*");
    buf_add_cstr(&b, "/sa/");
    quote(&b, account, "[^/]*");
    return authenticated(regex_of(&b));
}

static json_t *account(const struct making *m, const char *value)
{
    struct str name, ns = str_cut(str_from(value), '/', &name);
    return name.p ? identity(STR("*"), ns, name)
                  : identity(STR("*"), str_from(m->policy->o.ns), ns);
}

/* ---- tokens ---- */

/* Takes the value; path: below the payload. */
static json_t *claim(const json_t *path, json_t *value)
{
    json_t *keys = json_pack("[{s:s}]", "key", "payload");
    for (size_t i = 0; i < json_array_size(path); i++)
        json_array_append_new(keys, json_pack("{s:O}", "key", json_array_get(path, i)));
    return json_pack("{s:{s:s,s:o,s:o}}", "metadata", "filter", JWT_FILTER, "path", keys, "value",
                     value);
}

/* Takes match: of a text, or of one of a list of them. */
static json_t *text_or_list(json_t *match)
{
    return json_pack("{s:{s:[{s:O},{s:{s:{s:o}}}]}}", "or_match", "value_matchers", "string_match",
                     match, "list_match", "one_of", "string_match", match);
}

static json_t *named_claim(const char *name, json_t *value)
{
    AUTO_JSON json_t *path = json_pack("[s]", name);
    return claim(path, value);
}

static json_t *metadata(const struct authorization_condition *c, const char *value)
{
    size_t n = strlen(value);
    json_t *match;
    if (n > 2 && value[0] == '[' && value[n - 1] == ']') {
        AUTO_CHARS char *inner = xstrndup(value + 1, n - 2);
        match = json_pack("{s:{s:{s:o}}}", "list_match", "one_of", "string_match",
                          text_match("", inner, false));
    } else {
        match = json_pack("{s:o}", "string_match", text_match("", value, false));
    }
    return json_pack("{s:{s:O,s:[{s:O}],s:o}}", "metadata", "filter", json_array_get(c->path, 0),
                     "path", "key", json_array_get(c->path, 1), "value", match);
}

/* Both claims; a text NULL: whatever it is. */
static json_t *issuer_and_subject(const char *issuer, const char *subject)
{
    json_t *both = json_array();
    json_array_append_new(both, named_claim("iss", json_pack("{s:o}", "string_match",
                                                             text_match("", issuer, false))));
    json_array_append_new(both, named_claim("sub", json_pack("{s:o}", "string_match",
                                                             text_match("", subject, false))));
    return group(&principals, true, both);
}

/* issuer/subject. An issuer has slashes of its own, and so may a subject: each of them may be the
 * one between the two. */
static json_t *request_principal(const char *value)
{
    json_t *any = json_array();
    size_t n = strlen(value);
    if (streq(value, "*"))
        json_array_append_new(any, issuer_and_subject("*", "*"));
    else if (*value == '*') /* the subject ends so */
        json_array_append_new(any, issuer_and_subject("*", value));
    else if (value[n - 1] == '*') /* the issuer begins so */
        json_array_append_new(any, issuer_and_subject(value, "*"));
    for (const char *slash = strchr(value, '/'); slash && n > 1; slash = strchr(slash + 1, '/')) {
        AUTO_CHARS char *issuer = xstrndup(value, (size_t)(slash - value));
        if (*issuer && slash[1])
            json_array_append_new(any, issuer_and_subject(issuer, slash + 1));
    }
    if (!json_array_size(any)) { /* no principal looks so */
        json_decref(any);
        return json_pack("{s:{s:b}}", "not_id", "any", 1);
    }
    return group(&principals, false, any);
}

/* ---- conditions ---- */

static const struct side *side_of(enum authorization_key key)
{
    switch (key) {
    case AUTHORIZATION_HOST:
    case AUTHORIZATION_PORT:
    case AUTHORIZATION_METHOD:
    case AUTHORIZATION_PATH:
    case AUTHORIZATION_ADDRESS:
    case AUTHORIZATION_SERVER_NAME:
    case AUTHORIZATION_METADATA:
        return &permissions;
    case AUTHORIZATION_PRINCIPAL:
    case AUTHORIZATION_REQUEST_PRINCIPAL:
    case AUTHORIZATION_NAMESPACE:
    case AUTHORIZATION_ACCOUNT:
    case AUTHORIZATION_TRUST_DOMAIN:
    case AUTHORIZATION_PEER:
    case AUTHORIZATION_CLIENT:
    case AUTHORIZATION_HEADER:
    case AUTHORIZATION_AUDIENCE:
    case AUTHORIZATION_PRESENTER:
    case AUTHORIZATION_CLAIM:
        break;
    }
    return &principals;
}

static json_t *match_of(const struct making *m, const struct authorization_condition *c,
                        const char *value)
{
    uint64_t port = 0;
    switch (c->key) {
    case AUTHORIZATION_PRINCIPAL:
        return principal(m, value);
    case AUTHORIZATION_NAMESPACE:
        return identity(STR("*"), str_from(value), STR("*"));
    case AUTHORIZATION_ACCOUNT:
        return account(m, value);
    case AUTHORIZATION_TRUST_DOMAIN:
        return identity(str_from(value), STR("*"), STR("*"));
    case AUTHORIZATION_PEER:
        return network("direct_remote_ip", value);
    case AUTHORIZATION_CLIENT:
        return network("remote_ip", value);
    case AUTHORIZATION_ADDRESS:
        return network("destination_ip", value);
    case AUTHORIZATION_PORT:
        return str_to_u64(str_from(value), &port) == 0
                   ? json_pack("{s:i}", "destination_port", (int)port)
                   : json_pack("{s:{s:b}}", "not_rule", "any", 1);
    case AUTHORIZATION_SERVER_NAME:
        return json_pack("{s:o}", "requested_server_name", text_match("", value, false));
    case AUTHORIZATION_HOST:
        return field_match(":authority", value, true);
    case AUTHORIZATION_METHOD:
        return field_match(":method", value, false);
    case AUTHORIZATION_PATH:
        return path_match(value);
    case AUTHORIZATION_HEADER:
        return field_match(json_string_value(json_array_get(c->path, 0)), value, false);
    case AUTHORIZATION_REQUEST_PRINCIPAL:
        return request_principal(value);
    case AUTHORIZATION_AUDIENCE:
        return named_claim("aud", text_or_list(text_match("", value, false)));
    case AUTHORIZATION_PRESENTER:
        return named_claim("azp", json_pack("{s:o}", "string_match", text_match("", value, false)));
    case AUTHORIZATION_CLAIM:
        return claim(c->path, text_or_list(text_match("", value, false)));
    case AUTHORIZATION_METADATA:
        break;
    }
    return metadata(c, value);
}

static json_t *any_of(const struct making *m, const struct authorization_condition *c,
                      const json_t *values)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(values); i++)
        json_array_append_new(list, match_of(m, c, json_string_value(json_array_get(values, i))));
    return group(side_of(c->key), false, list);
}

static bool denies(const struct making *m)
{
    return m->policy->action == AUTHORIZATION_DENY || m->policy->action == AUTHORIZATION_CUSTOM;
}

/* Those of one side. False: they can never be met by what is no HTTP. */
static bool add_conditions(const struct making *m, const struct authorization_conditions *list,
                           const struct side *side, json_t *to)
{
    VEC_FOREACH (c, &list->v) {
        bool missing = !m->http && authorization_key_is_http(c->key);
        if (missing && !denies(m))
            return false;
        if (missing || side_of(c->key) != side)
            continue;
        if (c->values)
            json_array_append_new(to, any_of(m, c, c->values));
        if (c->not_values)
            json_array_append_new(to, json_pack("{s:o}", side->not, any_of(m, c, c->not_values)));
    }
    return true;
}

/* ---- rules ---- */

/* One of the alternatives, and when. NULL: none can be met. */
static json_t *alternatives(const struct making *m, const struct authorization_conditions *list,
                            size_t n, const struct authorization_conditions *when,
                            const struct side *side)
{
    static const struct authorization_conditions nothing;
    json_t *any = json_array();
    for (size_t i = 0; i < MAX(n, (size_t)1); i++) {
        json_t *all = json_array();
        if (add_conditions(m, n ? &list[i] : &nothing, side, all) &&
            add_conditions(m, when, side, all))
            json_array_append_new(any, group(side, true, all));
        else
            json_decref(all);
    }
    if (json_array_size(any))
        return any;
    json_decref(any);
    return NULL;
}

/* NULL: it can never be met. */
static json_t *rule(const struct making *m, const struct authorization_rule *r)
{
    json_t *may = alternatives(m, r->to.v, r->to.n, &r->when, &permissions),
           *who = alternatives(m, r->from.v, r->from.n, &r->when, &principals);
    if (may && who)
        return json_pack("{s:o,s:o}", "permissions", may, "principals", who);
    json_decref(may);
    json_decref(who);
    return NULL;
}

static void put_policy(json_t *policies, const char *prefix, const struct authorization_policy *p,
                       const char *what, json_t *policy)
{
    AUTO_CHARS char *name =
        xasprintf("%s%s]-policy[%s]-rule[%s]", prefix, p->o.ns, p->o.name, what);
    if (policy)
        json_object_set_new(policies, name, policy);
}

static json_t *anything(void)
{
    return json_pack("{s:[{s:b}],s:[{s:b}]}", "permissions", "any", 1, "principals", "any", 1);
}

static void put_rules(const struct making *m, json_t *policies)
{
    const struct authorization_policy *p = m->policy;
    for (size_t i = 0; i < p->rules.n; i++) {
        char number[24];
        snprintf(number, sizeof(number), "%zu", i);
        put_policy(policies, m->prefix, p, number, rule(m, &p->rules.v[i]));
    }
}

/* ---- filters ---- */

/* Where nobody can be asked, what CUSTOM is about is refused: of connections always. */
static enum authorization_action acts_as(const struct authorization_policy *p)
{
    return p->action == AUTHORIZATION_CUSTOM ? AUTHORIZATION_DENY : p->action;
}

/* True: its provider can be asked about requests. */
static bool is_asked(const struct authorization_policy *p, const struct translate_access *by,
                     char cluster[CLUSTER_NAME_MAX], const struct mesh_provider **ret)
{
    if (p->broken || p->dry_run || p->action != AUTHORIZATION_CUSTOM || !by->config)
        return false;
    *ret = translate_ext_authz_find(p, by->config, by->find, by->user, cluster);
    return *ret != NULL;
}

/* The rules of an action; NULL: no policy has it. */
static json_t *rules_of(const struct authorization_list *list, enum authorization_action action,
                        const struct translate_access *by, bool http, bool dry_run)
{
    static const char *const words[] = {"ALLOW", "DENY", "LOG"};
    json_t *policies = json_object();
    bool found = false;
    VEC_FOREACH (each, &list->v) {
        const struct authorization_policy *p = *each;
        const struct making m = {p, by->trust_domain, http, "ns["};
        const struct mesh_provider *asked;
        char cluster[CLUSTER_NAME_MAX];
        if (p->dry_run != dry_run)
            continue;
        if (p->broken) { /* that watches alone: nobody misses it */
            if (action == AUTHORIZATION_DENY && p->action != AUTHORIZATION_AUDIT && !dry_run) {
                found = true;
                put_policy(policies, "ns[", p, UNREADABLE, anything());
            }
            continue;
        }
        if (acts_as(p) != action || (http && is_asked(p, by, cluster, &asked)))
            continue;
        found = true;
        put_rules(&m, policies);
    }
    /* Without a policy of it nobody is denied, and everybody is who is not allowed. */
    if (found && (json_object_size(policies) || action == AUTHORIZATION_ALLOW))
        return json_pack("{s:s,s:o}", "action", words[action], "policies", policies);
    json_decref(policies);
    return NULL;
}

static void add_filter(json_t *filters, const struct authorization_list *list,
                       enum authorization_action action, const struct translate_access *by,
                       bool http)
{
    json_t *rules = rules_of(list, action, by, http, false),
           *shadow = http ? rules_of(list, action, by, http, true) : NULL, *config = json_object();
    if (rules)
        json_object_set_new(config, "rules", rules);
    if (shadow)
        json_object_set_new(config, "shadow_rules", shadow);
    if (!http)
        json_object_set_new(config, "stat_prefix", json_string("tcp."));
    if (rules || shadow)
        json_array_append_new(
            filters,
            json_pack("{s:s,s:o}", "name",
                      http ? "envoy.filters.http.rbac" : "envoy.filters.network.rbac",
                      "typed_config",
                      translate_typed(http ? HTTP_RBAC_TYPE : TCP_RBAC_TYPE, json_incref(config))));
    json_decref(config);
}

static json_t *filters_of(const struct authorization_list *list, const struct translate_access *by,
                          bool http)
{
    static const enum authorization_action order[] = {AUTHORIZATION_AUDIT, AUTHORIZATION_DENY,
                                                      AUTHORIZATION_ALLOW};
    json_t *filters = json_array();
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        add_filter(filters, list, order[i], by, http);
    return filters;
}

/* ---- who else is asked ---- */

/* One provider: what its policies are about, and the question. */
static void add_question(json_t *filters, const struct authorization_list *list,
                         const struct mesh_provider *provider, const char *cluster,
                         const struct translate_access *by)
{
    AUTO_CHARS char *prefix = translate_ext_authz_prefix(provider->name);
    char scratch[CLUSTER_NAME_MAX];
    json_t *policies = json_object();
    VEC_FOREACH (each, &list->v) {
        const struct mesh_provider *of;
        const struct making m = {*each, by->trust_domain, true, prefix};
        if (is_asked(*each, by, scratch, &of) && of == provider)
            put_rules(&m, policies);
    }
    json_array_append_new(
        filters,
        json_pack("{s:s,s:o}", "name", "envoy.filters.http.rbac", "typed_config",
                  translate_typed(HTTP_RBAC_TYPE,
                                  json_pack("{s:{s:s,s:o},s:s}", "shadow_rules", "action", "DENY",
                                            "policies", policies, "shadow_rules_stat_prefix",
                                            TRANSLATE_EXT_AUTHZ_SHADOW))));
    json_array_append_new(filters, translate_ext_authz(provider, cluster));
}

static json_t *questions(const struct authorization_list *list, const struct translate_access *by)
{
    json_t *filters = json_array();
    VEC(const struct mesh_provider *) asked = {0};
    VEC_FOREACH (each, &list->v) {
        const struct mesh_provider *provider;
        char cluster[CLUSTER_NAME_MAX];
        bool is_new = is_asked(*each, by, cluster, &provider);
        for (size_t i = 0; i < asked.n && is_new; i++)
            is_new = asked.v[i] != provider;
        if (!is_new)
            continue;
        vec_push(&asked, provider);
        add_question(filters, list, provider, cluster, by);
    }
    vec_done(&asked);
    return filters;
}

void translate_mesh_access(const struct authorization_list *list,
                           const struct request_authentication_list *tokens,
                           const struct translate_access *by, struct mesh_access *ret)
{
    json_t *first = translate_tokens(tokens, by->keys), *rest = filters_of(list, by, true);
    ret->http = questions(list, by);
    if (first)
        json_array_append_new(ret->http, first);
    json_array_extend(ret->http, rest);
    json_decref(rest);
    ret->tcp = filters_of(list, by, false);
}

void mesh_access_done(struct mesh_access *a)
{
    json_decref(a->http);
    json_decref(a->tcp);
    *a = (struct mesh_access){0};
}

bool mesh_access_eq(const struct mesh_access *a, const struct mesh_access *b)
{
    return json_equal(a->http, b->http) && json_equal(a->tcp, b->tcp);
}
