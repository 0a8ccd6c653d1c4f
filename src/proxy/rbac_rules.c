/* Policies of RBAC. A rule is a tree whose depth the message's own bounds (PB_DEPTH_MAX). */
#include "proxy/rbac_rules.h"

#include <envoy/extensions/path/match/uri_template/v3/uri_template_match.pb-c.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/metadata_match.h"
#include "proxy/string_match.h"
#include "proxy/uri_template.h"
#include "xds/xds_check.h"

typedef Envoy__Config__Rbac__V3__RBAC pb_rbac;
typedef Envoy__Config__Rbac__V3__Policy pb_policy;
typedef Envoy__Config__Rbac__V3__Permission pb_permission;
typedef Envoy__Config__Rbac__V3__Principal pb_principal;
typedef Envoy__Extensions__Path__Match__UriTemplate__V3__UriTemplateMatchConfig pb_template;

enum rule_kind {
    RULE_ANY,
    RULE_AND,
    RULE_OR,
    RULE_NOT, /* of the one child */
    RULE_FIELD,
    RULE_PATH,     /* without the query */
    RULE_TEMPLATE, /* the same */
    RULE_METADATA,
    RULE_LOCAL, /* an address of ours */
    RULE_PEER,
    RULE_CLIENT,      /* behind proxies that are believed */
    RULE_NAME,        /* of the peer's certificate */
    RULE_CERTIFICATE, /* it has shown one */
    RULE_SERVER_NAME,
    RULE_PORT, /* of ours, in [low, high) */
};

struct rule {
    uint8_t kind;
    union {
        struct {
            struct rule *v;
            size_t n;
        } children;
        struct field_match field;
        struct string_match string;
        struct prefix prefix;
        struct regex *template;
        struct metadata_match *metadata;
        struct {
            uint32_t low, high;
        } port;
    };
};

struct policy {
    struct str name;
    struct rule permissions, principals;
};

struct rbac_rules {
    uint8_t action; /* Envoy's enum */
    struct policy *policies;
    size_t n;
};

/* ---- configuration ---- */

struct compiling {
    struct arena *a;
    struct pb_path *path;
    struct err *err;
};

#define FAIL(c, ...) pb_path_fail((c)->path, (c)->err, -EINVAL, __VA_ARGS__)

static int compile_field(struct compiling *c, const Envoy__Config__Route__V3__HeaderMatcher *m,
                         struct rule *ret)
{
    size_t mark = pb_path_field(c->path, "header");
    ret->kind = RULE_FIELD;
    int r = field_match_compile(m, c->a, c->path, &ret->field, c->err);
    pb_path_back(c->path, mark);
    return r;
}

static int compile_prefix(struct compiling *c, const char *field, enum rule_kind kind,
                          const Envoy__Config__Core__V3__CidrRange *m, struct rule *ret)
{
    size_t mark = pb_path_field(c->path, field);
    uint32_t len = m->prefix_len ? m->prefix_len->value : 0;
    struct prefix p = {0};
    if (ip_parse(str_from(m->address_prefix), &p.ip) < 0)
        return FAIL(c, "malformed IP address: %s", m->address_prefix);
    if (len > ip_bytes(&p.ip) * 8)
        return FAIL(c, "prefix_len %u: at most %zu", len, ip_bytes(&p.ip) * 8);
    p.len = (uint8_t)len;
    p.ip = prefix_network(&p);
    ret->kind = (uint8_t)kind;
    ret->prefix = p;
    pb_path_back(c->path, mark);
    return 0;
}

static int compile_path(struct compiling *c, const Envoy__Type__Matcher__V3__PathMatcher *m,
                        struct rule *ret)
{
    size_t mark = pb_path_field(c->path, "url_path");
    if (!m->path)
        return FAIL(c, "path must be set");
    ret->kind = RULE_PATH;
    int r = string_match_compile(m->path, c->a, c->path, &ret->string, c->err);
    pb_path_back(c->path, mark);
    return r;
}

static int compile_template(struct compiling *c,
                            const Envoy__Config__Core__V3__TypedExtensionConfig *m,
                            struct rule *ret)
{
    AUTO(arena) struct arena *scratch = arena_new(0);
    ProtobufCMessage *config;
    struct err err = {0};
    size_t mark = pb_path_field(c->path, "uri_template");
    if (!m->typed_config)
        return FAIL(c, "typed_config must be set");
    int r = xds_any_unpack(m->typed_config, scratch, &config, &err);
    if (r < 0)
        return FAIL(c, "%s", err_text(&err));
    if (config->descriptor !=
        &envoy__extensions__path__match__uri_template__v3__uri_template_match_config__descriptor)
        return FAIL(c, "needs an UriTemplateMatchConfig");
    ret->kind = RULE_TEMPLATE;
    r = uri_template_compile(str_from(((const pb_template *)config)->path_template), c->a, c->path,
                             &ret->template, c->err);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

static int compile_metadata(struct compiling *c, const Envoy__Type__Matcher__V3__MetadataMatcher *m,
                            struct rule *ret)
{
    size_t mark = pb_path_field(c->path, "metadata");
    ret->kind = RULE_METADATA;
    int r = metadata_match_compile(m, c->a, c->path, &ret->metadata, c->err);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

static int compile_authenticated(struct compiling *c,
                                 const Envoy__Config__Rbac__V3__Principal__Authenticated *m,
                                 struct rule *ret)
{
    ret->kind = RULE_CERTIFICATE;
    if (!m->principal_name)
        return 0;
    ret->kind = RULE_NAME;
    size_t mark = pb_path_field(c->path, "authenticated.principal_name");
    int r = string_match_compile(m->principal_name, c->a, c->path, &ret->string, c->err);
    pb_path_back(c->path, mark);
    return r;
}

static int compile_ports(struct compiling *c, int64_t low, int64_t high, struct rule *ret)
{
    if (low < 0 || high > 65536 || low >= high)
        return FAIL(c, "destination_port_range: expected 0 <= start < end <= 65536");
    ret->kind = RULE_PORT;
    ret->port.low = (uint32_t)low;
    ret->port.high = (uint32_t)high;
    return 0;
}

static int make_children(struct compiling *c, enum rule_kind kind, size_t n, struct rule *ret)
{
    ret->kind = (uint8_t)kind;
    ret->children.n = n;
    ret->children.v = arena_alloc(c->a, n * sizeof(*ret->children.v));
    return ret->children.v ? 0 : -ENOMEM;
}

static int compile_permission(struct compiling *c, const pb_permission *m, struct rule *ret);
static int compile_principal(struct compiling *c, const pb_principal *m, struct rule *ret);

static int compile_permissions(struct compiling *c, enum rule_kind kind, const char *field,
                               pb_permission *const *m, size_t n, struct rule *ret)
{
    int r = make_children(c, kind, n, ret);
    for (size_t i = 0; i < n && r == 0; i++) {
        size_t mark = pb_path_field(c->path, field);
        pb_path_index(c->path, i);
        r = compile_permission(c, m[i], &ret->children.v[i]);
        if (r == 0)
            pb_path_back(c->path, mark);
    }
    return r;
}

static int compile_principals(struct compiling *c, enum rule_kind kind, const char *field,
                              pb_principal *const *m, size_t n, struct rule *ret)
{
    int r = make_children(c, kind, n, ret);
    for (size_t i = 0; i < n && r == 0; i++) {
        size_t mark = pb_path_field(c->path, field);
        pb_path_index(c->path, i);
        r = compile_principal(c, m[i], &ret->children.v[i]);
        if (r == 0)
            pb_path_back(c->path, mark);
    }
    return r;
}

static int compile_permission(struct compiling *c, const pb_permission *m, struct rule *ret)
{
    switch ((int)m->rule_case) {
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_AND_RULES:
        return compile_permissions(c, RULE_AND, "and_rules.rules", m->and_rules->rules,
                                   m->and_rules->n_rules, ret);
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_OR_RULES:
        return compile_permissions(c, RULE_OR, "or_rules.rules", m->or_rules->rules,
                                   m->or_rules->n_rules, ret);
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_NOT_RULE:
        return compile_permissions(c, RULE_NOT, "not_rule", &m->not_rule, 1, ret);
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_ANY:
        ret->kind = RULE_ANY;
        return 0;
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_HEADER:
        return compile_field(c, m->header, ret);
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_URL_PATH:
        return compile_path(c, m->url_path, ret);
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_URI_TEMPLATE:
        return compile_template(c, m->uri_template, ret);
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_METADATA:
        return compile_metadata(c, m->metadata, ret);
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_REQUESTED_SERVER_NAME: {
        ret->kind = RULE_SERVER_NAME;
        size_t mark = pb_path_field(c->path, "requested_server_name");
        int r = string_match_compile(m->requested_server_name, c->a, c->path, &ret->string, c->err);
        pb_path_back(c->path, mark);
        return r;
    }
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_DESTINATION_IP:
        return compile_prefix(c, "destination_ip", RULE_LOCAL, m->destination_ip, ret);
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_DESTINATION_PORT:
        return compile_ports(c, m->destination_port, (int64_t)m->destination_port + 1, ret);
    case ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_DESTINATION_PORT_RANGE:
        return compile_ports(c, m->destination_port_range->start, m->destination_port_range->end,
                             ret);
    default:
        return FAIL(c, "needs a rule that is implemented");
    }
}

static int compile_principal(struct compiling *c, const pb_principal *m, struct rule *ret)
{
    switch ((int)m->identifier_case) {
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_AND_IDS:
        return compile_principals(c, RULE_AND, "and_ids.ids", m->and_ids->ids, m->and_ids->n_ids,
                                  ret);
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_OR_IDS:
        return compile_principals(c, RULE_OR, "or_ids.ids", m->or_ids->ids, m->or_ids->n_ids, ret);
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_NOT_ID:
        return compile_principals(c, RULE_NOT, "not_id", &m->not_id, 1, ret);
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_ANY:
        ret->kind = RULE_ANY;
        return 0;
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_HEADER:
        return compile_field(c, m->header, ret);
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_URL_PATH:
        return compile_path(c, m->url_path, ret);
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_METADATA:
        return compile_metadata(c, m->metadata, ret);
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_SOURCE_IP:
        return compile_prefix(c, "source_ip", RULE_PEER, m->source_ip, ret);
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_DIRECT_REMOTE_IP:
        return compile_prefix(c, "direct_remote_ip", RULE_PEER, m->direct_remote_ip, ret);
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_REMOTE_IP:
        return compile_prefix(c, "remote_ip", RULE_CLIENT, m->remote_ip, ret);
    case ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_AUTHENTICATED:
        return compile_authenticated(c, m->authenticated, ret);
    default:
        return FAIL(c, "needs an identifier that is implemented");
    }
}

static int by_name(const void *a, const void *b)
{
    struct str x = ((const struct policy *)a)->name, y = ((const struct policy *)b)->name;
    int r = memcmp(x.p, y.p, MIN(x.n, y.n));
    return r ? r : (x.n > y.n) - (x.n < y.n);
}

static int compile_policy(struct compiling *c, const char *name, const pb_policy *m,
                          struct policy *ret)
{
    ret->name = arena_str(c->a, str_from(name));
    if (!ret->name.p)
        return -ENOMEM;
    if (!m || !m->n_permissions || !m->n_principals)
        return FAIL(c, "needs permissions and principals");
    int r = compile_permissions(c, RULE_OR, "permissions", m->permissions, m->n_permissions,
                                &ret->permissions);
    return r < 0 ? r
                 : compile_principals(c, RULE_OR, "principals", m->principals, m->n_principals,
                                      &ret->principals);
}

int rbac_rules_compile(const pb_rbac *m, struct arena *a, struct pb_path *path,
                       struct rbac_rules **ret, struct err *reterr)
{
    struct compiling c = {a, path, reterr};
    struct rbac_rules *rules = arena_alloc(a, sizeof(*rules));
    if (!rules)
        return -ENOMEM;
    rules->action = (uint8_t)m->action;
    rules->n = m->n_policies;
    rules->policies = arena_alloc(a, m->n_policies * sizeof(*rules->policies));
    if (!rules->policies)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_policies; i++) {
        size_t mark = pb_path_field(path, "policies");
        pb_path_key(path, str_from(m->policies[i]->key));
        int r = compile_policy(&c, m->policies[i]->key, m->policies[i]->value, &rules->policies[i]);
        if (r < 0)
            return r;
        pb_path_back(path, mark);
    }
    if (rules->n)
        qsort(rules->policies, rules->n, sizeof(*rules->policies), by_name);
    *ret = rules;
    return 0;
}

/* ---- requests ---- */

/* A certificate whose chain nobody has looked at says nothing of who shows it. */
static const struct tls_peer *verified_peer(struct tls_session *tls)
{
    const struct tls_peer *peer = tls ? tls_session_peer(tls) : NULL;
    return peer && peer->verified ? peer : NULL;
}

/* URIs, else DNS names, else the subject; as Envoy. */
static bool name_matches(const struct string_match *m, struct tls_session *tls)
{
    const struct tls_peer *peer = verified_peer(tls);
    if (!peer)
        return false;
    VEC_FOREACH (uri, &peer->uris)
        if (string_matches(m, *uri))
            return true;
    VEC_FOREACH (name, &peer->dns)
        if (string_matches(m, *name))
            return true;
    return peer->subject.p && string_matches(m, peer->subject);
}

static bool matches(const struct rule *r, const struct rbac_request *q)
{
    struct str query;
    switch ((enum rule_kind)r->kind) {
    case RULE_ANY:
        return true;
    case RULE_AND:
        for (size_t i = 0; i < r->children.n; i++)
            if (!matches(&r->children.v[i], q))
                return false;
        return true;
    case RULE_OR:
        for (size_t i = 0; i < r->children.n; i++)
            if (matches(&r->children.v[i], q))
                return true;
        return false;
    case RULE_NOT:
        return !matches(r->children.v, q);
    case RULE_FIELD:
        return field_matches(&r->field, q->head);
    case RULE_PATH:
        return string_matches(&r->string, str_cut(q->head->path, '?', &query));
    case RULE_TEMPLATE:
        return regex_matches_all(r->template, str_cut(q->head->path, '?', &query));
    case RULE_METADATA:
        return metadata_matches(r->metadata, q->metadata);
    case RULE_LOCAL:
        return prefix_contains(&r->prefix, &q->local);
    case RULE_PEER:
        return prefix_contains(&r->prefix, &q->peer);
    case RULE_SERVER_NAME:
        return string_matches(&r->string, q->server_name);
    case RULE_CLIENT:
        return prefix_contains(&r->prefix, &q->client);
    case RULE_CERTIFICATE:
        return verified_peer(q->tls);
    case RULE_NAME:
        return name_matches(&r->string, q->tls);
    case RULE_PORT:
        return q->local_port >= r->port.low && q->local_port < r->port.high;
    }
    return false;
}

static bool needs_head(const struct rule *r)
{
    if (r->kind == RULE_FIELD || r->kind == RULE_PATH || r->kind == RULE_TEMPLATE ||
        r->kind == RULE_METADATA)
        return true;
    if (r->kind != RULE_AND && r->kind != RULE_OR && r->kind != RULE_NOT)
        return false;
    for (size_t i = 0; i < r->children.n; i++)
        if (needs_head(&r->children.v[i]))
            return true;
    return false;
}

bool rbac_rules_need_head(const struct rbac_rules *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (needs_head(&r->policies[i].permissions) || needs_head(&r->policies[i].principals))
            return true;
    return false;
}

static void audit(const struct rbac_request *q, struct str policy)
{
    const struct tls_peer *peer = verified_peer(q->tls);
    char ip[IP_TEXT_BYTES];
    log_info("a request that a policy watches", kv_str("policy", policy),
             kv_str("peer", peer && peer->uris.n ? peer->uris.v[0] : STR("")),
             kv_s("address", q->peer.family ? ip_format(&q->peer, ip) : ""),
             kv_str("method", q->head ? q->head->method : STR("")));
}

bool rbac_rules_allow(const struct rbac_rules *r, const struct rbac_request *q,
                      struct str *ret_policy)
{
    bool found = false;
    *ret_policy = (struct str){NULL, 0};
    for (size_t i = 0; i < r->n && !found; i++) {
        found = matches(&r->policies[i].permissions, q) && matches(&r->policies[i].principals, q);
        if (found)
            *ret_policy = r->policies[i].name;
    }
    switch ((int)r->action) {
    case ENVOY__CONFIG__RBAC__V3__RBAC__ACTION__ALLOW:
        return found;
    case ENVOY__CONFIG__RBAC__V3__RBAC__ACTION__DENY:
        return !found;
    case ENVOY__CONFIG__RBAC__V3__RBAC__ACTION__LOG:
        if (found)
            audit(q, *ret_policy);
        return true;
    default:
        return false; /* an action that is not known forbids */
    }
}
