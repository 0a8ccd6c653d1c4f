/* AuthorizationPolicies: checked, and found by workload. Values stay where the object has them. */
#include "model/authorization_policy.h"

#include "codec/http_head.h"

#define DRY_RUN_ANNOTATION "istio.io/dry-run"

enum {
    VALUES_MAX = 20000,
    VALUE_BYTES_MAX = 1024,
    RULES_MAX = 512 /* also sources, operations and conditions */
};

/* ---- keys ---- */

struct field {
    const char *name, *not_name;
    enum authorization_key key;
};

static const struct field of_source[] = {
    {"principals", "notPrincipals", AUTHORIZATION_PRINCIPAL},
    {"requestPrincipals", "notRequestPrincipals", AUTHORIZATION_REQUEST_PRINCIPAL},
    {"namespaces", "notNamespaces", AUTHORIZATION_NAMESPACE},
    {"serviceAccounts", "notServiceAccounts", AUTHORIZATION_ACCOUNT},
    {"trustDomains", "notTrustDomains", AUTHORIZATION_TRUST_DOMAIN},
    {"ipBlocks", "notIpBlocks", AUTHORIZATION_PEER},
    {"remoteIpBlocks", "notRemoteIpBlocks", AUTHORIZATION_CLIENT},
};

static const struct field of_operation[] = {
    {"hosts", "notHosts", AUTHORIZATION_HOST},
    {"ports", "notPorts", AUTHORIZATION_PORT},
    {"methods", "notMethods", AUTHORIZATION_METHOD},
    {"paths", "notPaths", AUTHORIZATION_PATH},
};

#define METADATA_KEY "experimental." /* what follows is a filter's name */

static const struct {
    const char *name;
    enum authorization_key key;
    unsigned parts; /* in brackets; 2: or more */
} of_when[] = {
    {"source.ip", AUTHORIZATION_PEER, 0},
    {"remote.ip", AUTHORIZATION_CLIENT, 0},
    {"source.namespace", AUTHORIZATION_NAMESPACE, 0},
    {"source.principal", AUTHORIZATION_PRINCIPAL, 0},
    {"source.serviceAccount", AUTHORIZATION_ACCOUNT, 0},
    {"source.trustDomain", AUTHORIZATION_TRUST_DOMAIN, 0},
    {"request.auth.principal", AUTHORIZATION_REQUEST_PRINCIPAL, 0},
    {"request.auth.audiences", AUTHORIZATION_AUDIENCE, 0},
    {"request.auth.presenter", AUTHORIZATION_PRESENTER, 0},
    {"destination.ip", AUTHORIZATION_ADDRESS, 0},
    {"destination.port", AUTHORIZATION_PORT, 0},
    {"connection.sni", AUTHORIZATION_SERVER_NAME, 0},
    {"request.headers", AUTHORIZATION_HEADER, 1},
    {"request.auth.claims", AUTHORIZATION_CLAIM, 2},
};

bool authorization_key_is_http(enum authorization_key key)
{
    switch (key) {
    case AUTHORIZATION_PRINCIPAL:
    case AUTHORIZATION_NAMESPACE:
    case AUTHORIZATION_ACCOUNT:
    case AUTHORIZATION_TRUST_DOMAIN:
    case AUTHORIZATION_PEER:
    case AUTHORIZATION_CLIENT:
    case AUTHORIZATION_PORT:
    case AUTHORIZATION_ADDRESS:
    case AUTHORIZATION_SERVER_NAME:
        return false;
    case AUTHORIZATION_REQUEST_PRINCIPAL:
    case AUTHORIZATION_HOST:
    case AUTHORIZATION_METHOD:
    case AUTHORIZATION_PATH:
    case AUTHORIZATION_HEADER:
    case AUTHORIZATION_AUDIENCE:
    case AUTHORIZATION_PRESENTER:
    case AUTHORIZATION_CLAIM:
    case AUTHORIZATION_METADATA:
        return true;
    }
    return true;
}

/* "[a][b]" as ["a", "b"]; NULL: it is none of these. */
static json_t *read_parts(struct str s)
{
    json_t *list = json_array();
    while (s.n) {
        struct str rest, part;
        if (s.p[0] != '[')
            break;
        part = str_cut(str_sub(s, 1, s.n), ']', &rest);
        if (!part.n || !rest.p || memchr(part.p, '[', part.n))
            break;
        json_array_append_new(list, json_stringn(part.p, part.n));
        s = rest;
    }
    if (!s.n && json_array_size(list))
        return list;
    json_decref(list);
    return NULL;
}

/* experimental.envoy.filters.x.y[key] */
static bool read_metadata_key(struct str key, struct authorization_condition *c)
{
    struct str name = str_sub(key, STR(METADATA_KEY).n, key.n), rest,
               filter = str_cut(name, '[', &rest);
    if (!str_starts(filter, STR("envoy.filters.")) || !rest.p)
        return false;
    AUTO_JSON json_t *parts = read_parts(str_sub(name, filter.n, name.n));
    if (json_array_size(parts) != 1)
        return false;
    json_array_insert_new(parts, 0, json_stringn(filter.p, filter.n));
    c->key = AUTHORIZATION_METADATA;
    c->path = json_incref(parts);
    return true;
}

/* One name of a field of a request. */
static bool is_field_name(const json_t *parts)
{
    struct str name = str_from(json_string_value(json_array_get(parts, 0)));
    return json_array_size(parts) == 1 &&
           http_is_token(str_starts(name, STR(":")) ? str_sub(name, 1, name.n) : name);
}

static bool read_key(struct str key, struct authorization_condition *c)
{
    struct str rest, name = str_cut(key, '[', &rest);
    if (str_starts(key, STR(METADATA_KEY)))
        return read_metadata_key(key, c);
    for (size_t i = 0; i < ARRAY_LEN(of_when); i++) {
        if (!str_is(name, of_when[i].name))
            continue;
        c->key = of_when[i].key;
        if (of_when[i].parts == 0)
            return !rest.p;
        c->path = read_parts(str_sub(key, name.n, key.n));
        return c->path && (of_when[i].parts > 1 || is_field_name(c->path));
    }
    return false;
}

/* ---- values ---- */

/* {*} is one segment, {**} what is left of the path: once, and no other behind it. */
static bool check_template(struct object_reader *r, const char *path)
{
    bool rest = false;
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("\\^`\"<>", *p))
            return reader_error(r, NULL, "write others in percent encoding",
                                "%.100s has a character that no path has", path);
    for (const char *p = path; (p = strpbrk(p, "{}*"));) {
        bool all = strncmp(p, "{**}", 4) == 0;
        if (rest || (!all && strncmp(p, "{*}", 3) != 0) || (p > path && p[-1] == '}'))
            return reader_error(r, NULL, "a template has {*}, and one {**} at its end",
                                "%.100s is no template", path);
        rest = all;
        p += all ? 4 : 3;
    }
    return *path == '/' || reader_error(r, NULL, NULL, "%.100s does not begin with /", path);
}

static bool check_pattern(struct object_reader *r, const char *value)
{
    size_t n = strlen(value);
    const char *star = strchr(value, '*');
    if (star && strchr(star + 1, '*') && n > 1)
        return reader_error(r, NULL, "write x, x*, *x or *", "%.100s has more than one asterisk",
                            value);
    if (star && star != value && star != value + n - 1)
        return reader_error(r, NULL, "write x, x*, *x or *", "%.100s has an asterisk inside",
                            value);
    return true;
}

static bool check_address(struct object_reader *r, const char *value)
{
    struct prefix p;
    struct ip ip;
    return ip_parse(str_from(value), &ip) == 0 || prefix_parse(str_from(value), &p) == 0 ||
           reader_error(r, NULL, "write 10.0.0.1 or 10.0.0.0/8", "%.60s is no address", value);
}

static bool check_value(struct object_reader *r, enum authorization_key key, const char *value)
{
    uint64_t port;
    switch (key) {
    case AUTHORIZATION_PEER:
    case AUTHORIZATION_CLIENT:
    case AUTHORIZATION_ADDRESS:
        return check_address(r, value);
    case AUTHORIZATION_PORT:
        return (str_to_u64(str_from(value), &port) == 0 && port >= 1 && port <= UINT16_MAX) ||
               reader_error(r, NULL, "write it as \"8080\"", "%.20s is no port", value);
    case AUTHORIZATION_PATH:
        return strchr(value, '{') || strchr(value, '}') ? check_template(r, value)
                                                        : check_pattern(r, value);
    case AUTHORIZATION_ACCOUNT:
        return (!strchr(value, '*') && *value != '/' && value[strlen(value) - 1] != '/' &&
                (!strchr(value, '/') || strchr(value, '/') == strrchr(value, '/'))) ||
               reader_error(r, NULL, "write namespace/account, or account",
                            "%.100s is no service account", value);
    case AUTHORIZATION_PRINCIPAL:
    case AUTHORIZATION_REQUEST_PRINCIPAL:
    case AUTHORIZATION_NAMESPACE:
    case AUTHORIZATION_TRUST_DOMAIN:
    case AUTHORIZATION_HOST:
    case AUTHORIZATION_METHOD:
    case AUTHORIZATION_HEADER:
    case AUTHORIZATION_AUDIENCE:
    case AUTHORIZATION_PRESENTER:
    case AUTHORIZATION_CLAIM:
    case AUTHORIZATION_SERVER_NAME:
    case AUTHORIZATION_METADATA:
        break;
    }
    return check_pattern(r, value);
}

/* NULL: it is not there, or empty. */
static const json_t *read_values(struct object_reader *r, const json_t *of, const char *name,
                                 enum authorization_key key)
{
    const json_t *list = json_object_get(of, name);
    if (!list || json_is_null(list))
        return NULL;
    if (!json_is_array(list))
        reader_error(r, name, NULL, "is no list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *value = json_string_value(json_array_get(list, i));
        size_t mark = reader_enter_item(r, name, i);
        if (str_empty(value))
            reader_error(r, NULL, "write a text, * for any", "is empty, or no text");
        else if (strlen(value) > VALUE_BYTES_MAX)
            reader_error(r, NULL, NULL, "is longer than %d bytes", VALUE_BYTES_MAX);
        else
            check_value(r, key, value);
        reader_leave(r, mark);
    }
    return json_array_size(list) ? list : NULL;
}

/* ---- rules ---- */

static void check_names(struct object_reader *r, const json_t *of, const struct field *fields,
                        size_t n)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)of, key, value)
    {
        size_t i = 0;
        while (i < n && !streq(key, fields[i].name) && !streq(key, fields[i].not_name))
            i++;
        if (i == n)
            reader_error(r, key, "look for a slip of the pen", "is no field that is known");
    }
}

static void read_fields(struct object_reader *r, const json_t *of, const struct field *fields,
                        size_t n, struct authorization_conditions *ret)
{
    check_names(r, of, fields, n);
    for (size_t i = 0; i < n; i++) {
        struct authorization_condition c = {.key = fields[i].key};
        c.values = read_values(r, of, fields[i].name, c.key);
        c.not_values = read_values(r, of, fields[i].not_name, c.key);
        if (c.values || c.not_values)
            vec_push(&ret->v, c);
    }
    if (!ret->v.n)
        reader_error(r, NULL, "name what is meant, or leave it out", "says nothing");
}

static void check_accounts(struct object_reader *r, const json_t *source)
{
    static const char *const others[] = {"principals", "notPrincipals", "namespaces",
                                         "notNamespaces"};
    if (!json_array_size(json_object_get(source, "serviceAccounts")) &&
        !json_array_size(json_object_get(source, "notServiceAccounts")))
        return;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (json_array_size(json_object_get(source, others[i])))
            reader_error(r, others[i], "say it one way", "stands beside serviceAccounts");
}

/* from or to: a list of objects with one member each. */
static void read_list(struct object_reader *r, const json_t *rule, const char *name,
                      const char *member, const struct field *fields, size_t n_fields,
                      struct authorization_rule *ret)
{
    bool from = streq(name, "from");
    const json_t *list = json_object_get(rule, name);
    if (!list || json_is_null(list))
        return;
    if (!json_array_size(list) || json_array_size(list) > RULES_MAX)
        reader_error(r, name, "leave it out for any", "has none, or more than %d", RULES_MAX);
    for (size_t i = 0; i < MIN(json_array_size(list), (size_t)RULES_MAX); i++) {
        const json_t *one = json_object_get(json_array_get(list, i), member);
        struct authorization_conditions *to = from ? vec_add(&ret->from) : vec_add(&ret->to);
        size_t mark = reader_enter_item(r, name, i), part = reader_enter(r, member);
        *to = (struct authorization_conditions){{NULL, 0, 0}};
        if (!json_is_object(one))
            reader_error(r, NULL, NULL, "is missing");
        else
            read_fields(r, one, fields, n_fields, to);
        if (from)
            check_accounts(r, one);
        reader_leave(r, part);
        reader_leave(r, mark);
    }
}

static void read_when(struct object_reader *r, const json_t *rule,
                      struct authorization_conditions *ret)
{
    const json_t *list = json_object_get(rule, "when");
    if ((list && !json_is_array(list) && !json_is_null(list)) || json_array_size(list) > RULES_MAX)
        reader_error(r, "when", NULL, "is no list, or one of more than %d", RULES_MAX);
    for (size_t i = 0; i < MIN(json_array_size(list), (size_t)RULES_MAX); i++) {
        const json_t *one = json_array_get(list, i);
        const char *key = json_key_str(one, "key");
        struct authorization_condition c = {.path = NULL};
        size_t mark = reader_enter_item(r, "when", i);
        if (str_empty(key)) {
            reader_error(r, "key", NULL, "is missing");
        } else if (!read_key(str_from(key), &c)) {
            reader_error(r, "key", "docs/istio-api.md lists them", "%.100s is no key", key);
        } else {
            c.values = read_values(r, one, "values", c.key);
            c.not_values = read_values(r, one, "notValues", c.key);
            if (!c.values && !c.not_values)
                reader_error(r, NULL, "say values or notValues", "says nothing");
        }
        if (c.key == AUTHORIZATION_METADATA)
            reader_warn(r, "key", NULL, "no filter of a sidecar says anything there");
        vec_push(&ret->v, c);
        reader_leave(r, mark);
    }
}

static void read_rule(struct object_reader *r, const json_t *j, struct authorization_rule *ret)
{
    static const struct field parts[] = {{"from", "to", 0}, {"when", "when", 0}};
    *ret = (struct authorization_rule){.when = {{NULL, 0, 0}}};
    if (!json_is_object(j))
        reader_error(r, NULL, "{} is one that anything matches", "is no object");
    check_names(r, j, parts, ARRAY_LEN(parts));
    read_list(r, j, "from", "source", of_source, ARRAY_LEN(of_source), ret);
    read_list(r, j, "to", "operation", of_operation, ARRAY_LEN(of_operation), ret);
    read_when(r, j, &ret->when);
}

/* ---- the object ---- */

static void read_action(struct object_reader *r, struct authorization_policy *p)
{
    static const char *const words[] = {"ALLOW", "DENY", "AUDIT", "CUSTOM"};
    const json_t *action = json_object_get(p->o.spec, "action");
    const char *word = json_string_value(action);
    size_t i = 0;
    while (word && i < ARRAY_LEN(words) && !streq(word, words[i]))
        i++;
    if (i < ARRAY_LEN(words))
        p->action = (enum authorization_action)i;
    if (i == ARRAY_LEN(words) || (action && !word && !json_is_null(action)))
        reader_error(r, "action", NULL, "one of ALLOW, DENY, AUDIT and CUSTOM");
    p->provider = json_at_str(p->o.spec, "provider.name");
    if (p->action == AUTHORIZATION_CUSTOM && str_empty(p->provider))
        reader_error(r, "provider.name", "say who is asked", "is missing");
    if (p->action != AUTHORIZATION_CUSTOM && json_at(p->o.spec, "provider"))
        reader_error(r, "provider", "say action: CUSTOM", "is for CUSTOM alone");
}

static void read_target(struct object_reader *r, struct authorization_policy *p)
{
    const json_t *selector = json_object_get(p->o.spec, "selector"),
                 *labels = json_object_get(selector, "matchLabels");
    const char *key;
    json_t *value;
    bool refs = json_array_size(json_object_get(p->o.spec, "targetRefs")) ||
                json_is_object(json_object_get(p->o.spec, "targetRef"));
    if (refs && selector)
        reader_error(r, "targetRefs", "say it one way", "stand beside selector");
    else if (refs)
        reader_warn(r, "targetRefs", "use selector",
                    "are of gateways and waypoints: no sidecar heeds it");
    p->nobodys = refs && !selector;
    if ((selector && !json_is_object(selector) && !json_is_null(selector)) ||
        (labels && !json_is_object(labels) && !json_is_null(labels)))
        reader_error(r, "selector", "write matchLabels: {app: x}", "is no object");
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        if (!json_is_string(value) || strchr(key, '*') || strchr(json_string_value(value), '*'))
            reader_error(r, "selector.matchLabels", "write labels as they are",
                         "%.100s is compared with no text, or with an asterisk", key);
    }
    if (json_object_size(labels))
        p->labels = labels;
}

static size_t count(const struct authorization_conditions *c)
{
    size_t n = 0;
    VEC_FOREACH (one, &c->v)
        n += 1 + json_array_size(one->values) + json_array_size(one->not_values);
    return n;
}

/* As many values as the rule is written out with: what stands in `when` goes with each alternative.
 */
static size_t weight(const struct authorization_rule *rule)
{
    size_t n = (MAX(rule->to.n, (size_t)1) + MAX(rule->from.n, (size_t)1)) * count(&rule->when);
    VEC_FOREACH (c, &rule->to)
        n += count(c);
    VEC_FOREACH (c, &rule->from)
        n += count(c);
    return n;
}

static void read_rules(struct object_reader *r, struct authorization_policy *p)
{
    size_t values = 0;
    const json_t *rules = json_object_get(p->o.spec, "rules");
    if ((rules && !json_is_array(rules) && !json_is_null(rules)) ||
        json_array_size(rules) > RULES_MAX)
        reader_error(r, "rules", NULL, "is no list, or one of more than %d", RULES_MAX);
    if (!json_array_size(rules) && p->action == AUTHORIZATION_CUSTOM)
        reader_error(r, "rules", "[{}] is whatever comes", "is empty: nobody is ever asked");
    else if (!json_array_size(rules) && p->action != AUTHORIZATION_ALLOW)
        reader_warn(r, "rules", "[{}] is whatever comes", "is empty: it never matches");
    for (size_t i = 0; i < MIN(json_array_size(rules), (size_t)RULES_MAX); i++) {
        size_t mark = reader_enter_item(r, "rules", i);
        read_rule(r, json_array_get(rules, i), vec_add(&p->rules));
        values += weight(&p->rules.v[p->rules.n - 1]);
        if (values > VALUES_MAX) {
            reader_error(
                r, NULL, "split it up",
                "with this rule the policy has more than %d values, those of when once for "
                "each of to and from",
                VALUES_MAX);
            reader_leave(r, mark);
            return;
        }
        reader_leave(r, mark);
    }
}

struct authorization_policy *authorization_policy_decode(const json_t *j)
{
    struct authorization_policy *p = NEW(struct authorization_policy);
    if (!istio_object_decode(j, &p->o)) {
        authorization_policy_free(p);
        return NULL;
    }
    AUTO_DONE(object_reader)
    struct object_reader r = {
        .findings = &p->o.findings, .object = p->o.key, .id = "AuthorizationInvalid"};
    size_t mark = reader_enter(&r, "spec");
    p->dry_run =
        streq(json_key_str(json_at(j, "metadata.annotations"), DRY_RUN_ANNOTATION), "true");
    if (p->o.spec && !json_is_object(p->o.spec))
        reader_error(&r, NULL, NULL, "is no object");
    read_target(&r, p);
    read_action(&r, p);
    read_rules(&r, p);
    reader_leave(&r, mark);
    p->broken = r.errors > 0;
    return p;
}

static void conditions_done(struct authorization_conditions *c)
{
    VEC_FOREACH (one, &c->v)
        json_decref(one->path);
    vec_done(&c->v);
}

void authorization_policy_check(struct authorization_policy *p, const struct mesh_config *c)
{
    const struct mesh_provider *to = p->provider ? mesh_config_find(c, p->provider) : NULL;
    if (p->broken || p->action != AUTHORIZATION_CUSTOM ||
        (to && mesh_provider_authorizes(to->kind)))
        return;
    finding_add(&p->o.findings, FINDING_ERROR, "AuthorizationInvalid", p->o.key,
                "spec.provider.name",
                "name an envoyExtAuthzHttp or envoyExtAuthzGrpc of the mesh config",
                "%.100s %s: what the rules are about is refused", p->provider,
                to ? "is of a kind that is not served" : "is no provider of the mesh config");
}

void authorization_policy_free(struct authorization_policy *p)
{
    if (!p)
        return;
    VEC_FOREACH (rule, &p->rules) {
        VEC_FOREACH (c, &rule->from)
            conditions_done(c);
        VEC_FOREACH (c, &rule->to)
            conditions_done(c);
        vec_done(&rule->from);
        vec_done(&rule->to);
        conditions_done(&rule->when);
    }
    vec_done(&p->rules);
    istio_object_done(&p->o);
    free(p);
}

/* ---- the table ---- */

static struct selected decode_selected(const json_t *j)
{
    struct authorization_policy *p = authorization_policy_decode(j);
    return p ? (struct selected){p, &p->o, p->labels, p->nobodys, p->broken}
             : (struct selected){.object = NULL};
}

static void free_selected(void *object)
{
    authorization_policy_free(object);
}

struct selected_objects *authorization_policies_new(const char *root_namespace)
{
    static const struct selected_kind kind = {decode_selected, free_selected};
    return selected_objects_new(&kind, root_namespace);
}

static void add(const void *object, void *user)
{
    struct authorization_list *list = user;
    vec_push(&list->v, object);
}

void authorization_policies_find(const struct selected_objects *t, struct str ns,
                                 const struct workloads *pods, const struct workload *pod,
                                 struct authorization_list *ret)
{
    selected_objects_find(t, ns, pods, pod, add, ret);
}
