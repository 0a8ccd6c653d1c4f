/* What callers may do: Role, ClusterRole and their bindings (rbac.authorization.k8s.io/v1), as a
 * real API server reads them. Held to them are tokens of service accounts: they are what programs
 * run with in a real cluster. Certificates and static tokens are the lab's own, and may do
 * everything, but as whom they ask to be (--as) they too are held to roles.
 *
 * Owns the roles and bindings as trees, read anew when one of them has changed, and counts of what
 * was asked for, so that a test can hold a role against what its program needs. */
#include <inttypes.h>

#include "codec/url.h"
#include "kube/selector.h"
#include "lab/apiserver/api_priv.h"

#define GROUP "rbac.authorization.k8s.io"

enum { USES_MAX = 4096 }; /* kinds of questions that are counted */

struct api_rbac {
    json_t *rules;    /* "NAMESPACE/NAME" of a role -> its rules */
    json_t *bindings; /* ClusterRoleBindings and RoleBindings, whole */
    bool fresh;
    struct map uses; /* labels -> uint64_t */
};

static const char *const plurals[] = {"clusterroles", "roles", "clusterrolebindings",
                                      "rolebindings"};

static uint32_t kind_of(const char *plural)
{
    return (uint32_t)api_kind_find(STR(GROUP), STR("v1"), str_from(plural));
}

void api_rbac_event(struct api_server *s, const struct store_event *e)
{
    if (s->rbac && streq(api_kind_at(e->object->kind)->group, GROUP))
        s->rbac->fresh = false;
}

/* ---- roles ---- */

static bool is_selected(const json_t *selectors, const json_t *role)
{
    size_t i;
    json_t *one;
    bool found = false;
    json_array_foreach((json_t *)(uintptr_t)selectors, i, one)
    {
        struct selector selector = {0};
        bool none = false;
        if (!found && selector_from_object(one, &selector, &none, NULL) == 0)
            found = !none && selector_matches_object(&selector, json_at(role, "metadata.labels"));
        selector_done(&selector);
    }
    return found;
}

/* Rules of the ClusterRoles that a ClusterRole gathers. */
static json_t *gathered(const struct api_server *s, const json_t *selectors)
{
    json_t *rules = json_array();
    uint32_t kind = kind_of("clusterroles");
    for (size_t i = 0; i < store_count(s->store, kind); i++) {
        AUTO_JSON json_t *role = object_tree(store_at(s->store, kind, i));
        json_t *of = json_object_get(role, "rules");
        if (json_is_array(of) && is_selected(selectors, role))
            json_array_extend(rules, of);
    }
    return rules;
}

static void read_roles(struct api_server *s, const char *plural)
{
    uint32_t kind = kind_of(plural);
    for (size_t i = 0; i < store_count(s->store, kind); i++) {
        struct object *o = store_at(s->store, kind, i);
        AUTO_JSON json_t *role = object_tree(o);
        AUTO_CHARS char *key = xasprintf("%s/%s", o->ns, o->name);
        json_t *selectors = json_at(role, "aggregationRule.clusterRoleSelectors");
        if (selectors)
            json_object_set_new(s->rbac->rules, key, gathered(s, selectors));
        else if (json_is_array(json_object_get(role, "rules")))
            json_object_set(s->rbac->rules, key, json_object_get(role, "rules"));
    }
}

static void read_bindings(struct api_server *s, const char *plural)
{
    uint32_t kind = kind_of(plural);
    for (size_t i = 0; i < store_count(s->store, kind); i++)
        json_array_append_new(s->rbac->bindings, object_tree(store_at(s->store, kind, i)));
}

static void drop(struct api_rbac *b)
{
    json_decref(b->rules);
    json_decref(b->bindings);
    b->rules = b->bindings = NULL;
}

static struct api_rbac *current(struct api_server *s)
{
    if (!s->rbac)
        s->rbac = NEW(struct api_rbac);
    if (s->rbac->fresh)
        return s->rbac;
    drop(s->rbac);
    s->rbac->rules = json_object();
    s->rbac->bindings = json_array();
    for (size_t i = 0; i < 2; i++)
        read_roles(s, plurals[i]);
    for (size_t i = 2; i < 4; i++)
        read_bindings(s, plurals[i]);
    s->rbac->fresh = true;
    return s->rbac;
}

void api_rbac_done(struct api_server *s)
{
    void *count;
    if (!s->rbac)
        return;
    drop(s->rbac);
    for (size_t at = 0; map_next(&s->rbac->uses, &at, NULL, &count);)
        free(count);
    map_done(&s->rbac->uses);
    free(s->rbac);
}

/* ---- who ---- */

static bool is_in(const struct api_user *u, const char *group)
{
    for (size_t i = 0; i < u->n_groups; i++)
        if (streq(u->groups[i], group))
            return true;
    return false;
}

bool api_rbac_holds(const struct api_user *u)
{
    if (is_in(u, "system:masters"))
        return false;
    return u->impersonated || is_in(u, "system:serviceaccounts") ||
           (u->name && str_starts(str_from(u->name), STR("system:serviceaccount:")));
}

static bool is_subject(const json_t *subject, const struct api_user *u)
{
    const char *kind = json_key_str(subject, "kind"), *name = json_key_str(subject, "name"),
               *ns = json_key_str(subject, "namespace");
    if (streq(kind, "Group"))
        return is_in(u, name);
    if (streq(kind, "User"))
        return streq(u->name, name);
    AUTO_CHARS char *account =
        xasprintf("system:serviceaccount:%s:%s", ns ? ns : "", name ? name : "");
    return streq(kind, "ServiceAccount") && streq(u->name, account);
}

static bool binds(const json_t *binding, const struct api_user *u)
{
    size_t i;
    json_t *subject;
    json_array_foreach(json_object_get(binding, "subjects"), i,
                       subject) if (is_subject(subject, u)) return true;
    return false;
}

/* The next rules (from *at on) that hold for the user in ns, or "" for the cluster as a whole. */
static const json_t *next_rules(const struct api_rbac *b, const struct api_user *u, const char *ns,
                                size_t *at)
{
    while (*at < json_array_size(b->bindings)) {
        const json_t *binding = json_array_get(b->bindings, (*at)++);
        const char *of = json_at_str(binding, "metadata.namespace"),
                   *kind = json_at_str(binding, "roleRef.kind"),
                   *name = json_at_str(binding, "roleRef.name");
        if ((of && !streq(of, ns)) || !binds(binding, u))
            continue;
        AUTO_CHARS char *key =
            xasprintf("%s/%s", of && streq(kind, "Role") ? of : "", name ? name : "");
        const json_t *rules = json_object_get(b->rules, key);
        if (rules)
            return rules;
    }
    return NULL;
}

/* ---- what ---- */

static bool has(const json_t *list, const char *text)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        const char *have = json_string_value(one);
        if (streq(have, "*") || streq(have, text))
            return true;
    }
    return false;
}

/* A kind, its subresource, all, or a subresource of any kind (an asterisk before the slash). */
static bool has_resource(const json_t *list, const char *resource)
{
    const char *sub = strchr(resource, '/');
    AUTO_CHARS char *of_any = xasprintf("*%s", sub ? sub : "");
    return has(list, resource) || (sub && has(list, of_any));
}

/* No names: all of them. */
static bool has_name(const json_t *list, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       one) if (streq(json_string_value(one), name)) return true;
    return !json_array_size(list);
}

static bool has_path(const json_t *list, const char *path)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        struct str have = str_from(json_string_value(one));
        if (have.n && have.p[have.n - 1] == '*'
                ? str_starts(str_from(path), str_sub(have, 0, have.n - 1))
                : str_is(have, path))
            return true;
    }
    return false;
}

static bool allows(const json_t *rule, const struct api_ask *a)
{
    if (!has(json_object_get(rule, "verbs"), a->verb))
        return false;
    if (a->path)
        return has_path(json_object_get(rule, "nonResourceURLs"), a->path);
    return has(json_object_get(rule, "apiGroups"), a->group) &&
           has_resource(json_object_get(rule, "resources"), a->resource) &&
           has_name(json_object_get(rule, "resourceNames"), a->name);
}

bool api_rbac_allows(struct api_server *s, const struct api_user *u, const struct api_ask *a)
{
    const struct api_rbac *b = current(s);
    const json_t *rules;
    if (!api_rbac_holds(u))
        return true;
    for (size_t at = 0; (rules = next_rules(b, u, a->ns, &at));) {
        size_t i;
        json_t *rule;
        json_array_foreach((json_t *)(uintptr_t)rules, i, rule) if (allows(rule, a)) return true;
    }
    return false;
}

json_t *api_rbac_rules(struct api_server *s, const struct api_user *u, const char *ns)
{
    const struct api_rbac *b = current(s);
    json_t *ret = json_array();
    const json_t *rules;
    for (size_t at = 0; (rules = next_rules(b, u, ns, &at));)
        json_array_extend(ret, (json_t *)(uintptr_t)rules);
    return ret;
}

/* ---- what is asked for is counted ---- */

static void count_use(struct api_server *s, const struct api_user *u, const struct api_ask *a,
                      bool allowed)
{
    AUTO_CHARS char *labels =
        a->path ? xasprintf("user=\"%s\",verb=\"%s\",path=\"%s\",allowed=\"%d\"", u->name, a->verb,
                            a->path, allowed)
                : xasprintf("user=\"%s\",verb=\"%s\",group=\"%s\",resource=\"%s\",namespace=\"%s\","
                            "allowed=\"%d\"",
                            u->name, a->verb, a->group, a->resource, a->ns, allowed);
    uint64_t *n = map_find_cstr(&s->rbac->uses, labels);
    if (!n && (s->rbac->uses.used >= USES_MAX || strpbrk(labels, "\\\n")))
        return;
    if (!n) {
        n = NEW(uint64_t);
        map_put_cstr(&s->rbac->uses, labels, n);
    }
    ++*n;
}

void api_rbac_metrics(struct api_server *s, struct buf *b)
{
    struct str labels;
    void *n;
    buf_add_cstr(b, "# TYPE fairlead_lab_rights_asked_total counter\n");
    for (size_t at = 0; s->rbac && map_next(&s->rbac->uses, &at, &labels, &n);)
        buf_addf(b, "fairlead_lab_rights_asked_total{" STR_FMT "} %" PRIu64 "\n", STR_ARG(labels),
                 *(const uint64_t *)n);
}

/* ---- a request ---- */

static const char *verb_of(const struct api_request *r, struct str method)
{
    if (str_is(method, "POST"))
        return "create";
    if (str_is(method, "PUT"))
        return "update";
    if (str_is(method, "PATCH"))
        return "patch";
    if (str_is(method, "DELETE"))
        return r->name ? "delete" : "deletecollection";
    return r->watch && !r->proxy_path.p ? "watch" : r->name ? "get" : "list";
}

/* A list or watch of one name is about that name. */
static char *name_asked(const struct api_request *r)
{
    AUTO_CHARS char *fields = r->name ? NULL : url_param(r->query, "fieldSelector");
    if (r->name)
        return xstrdup(r->name);
    struct str name = str_from(fields ? fields : "");
    return str_starts(name, STR("metadata.name=")) && !memchr(name.p, ',', name.n)
               ? str_dup(str_sub(name, 14, name.n))
               : xstrdup("");
}

static bool refuse(struct api_request *r, const struct api_ask *a)
{
    char *user = r->user.name;
    if (a->path) {
        api_status(r, 403, "Forbidden", NULL, "forbidden: User \"%s\" cannot %s path \"%s\"", user,
                   a->verb, a->path);
        return false;
    }
    AUTO_CHARS char *where =
        *a->ns ? xasprintf("in the namespace \"%s\"", a->ns) : xstrdup("at the cluster scope");
    AUTO_CHARS char *quoted = *a->name ? xasprintf(" \"%s\"", a->name) : xstrdup("");
    AUTO_JSON json_t *details = api_details(r, *a->name ? a->name : NULL);
    api_status(r, 403, "Forbidden", details,
               "%s%s is forbidden: User \"%s\" cannot %s resource \"%s\" in API group \"%s\" %s",
               api_kind_resource(r->kind), quoted, user, a->verb, a->resource, a->group, where);
    return false;
}

static bool authorize_object(struct api_request *r, struct str method)
{
    AUTO_CHARS char *name = name_asked(r);
    AUTO_CHARS char *resource = xasprintf("%s%s%s", r->kind->plural, r->subresource ? "/" : "",
                                          r->subresource ? r->subresource : "");
    bool of_itself = api_kind_is(r->kind, "Namespace") && r->name;
    struct api_ask a = {.verb = verb_of(r, method),
                        .group = r->kind->group,
                        .resource = resource,
                        .name = name,
                        .ns = of_itself ? r->name : r->ns};
    bool allowed = api_rbac_allows(r->server, &r->user, &a);
    count_use(r->server, &r->user, &a, allowed);
    return allowed || refuse(r, &a);
}

static bool authorize_path(struct api_request *r, struct str method, struct str path)
{
    AUTO_CHARS char *text = str_dup(path);
    AUTO_CHARS char *verb = str_dup(method);
    for (char *p = verb; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    struct api_ask a = {.verb = verb, .path = text, .ns = ""};
    bool allowed = api_rbac_allows(r->server, &r->user, &a);
    count_use(r->server, &r->user, &a, allowed);
    return allowed || refuse(r, &a);
}

bool api_authorize(struct api_request *r, struct str method, struct str path)
{
    if (!api_rbac_holds(&r->user))
        return true;
    return r->kind ? authorize_object(r, method) : authorize_path(r, method, path);
}

/* ---- nobody gives more than he has ---- */

/* Every question that the rule answers with yes. */
static bool covers(struct api_request *r, const json_t *rule, const char *ns)
{
    size_t v, g, i, n;
    json_t *verb, *group, *resource, *url;
    const json_t *names = json_object_get(rule, "resourceNames");
    json_array_foreach(json_object_get(rule, "verbs"), v, verb)
    {
        struct api_ask a = {.verb = json_string_value(verb), .name = "", .ns = ns};
        json_array_foreach(json_object_get(rule, "nonResourceURLs"), i, url)
        {
            a.path = json_string_value(url);
            if (!api_rbac_allows(r->server, &r->user, &a))
                return false;
        }
        a.path = NULL;
        json_array_foreach(json_object_get(rule, "apiGroups"), g, group)
            json_array_foreach(json_object_get(rule, "resources"), i, resource)
        {
            a.group = json_string_value(group);
            a.resource = json_string_value(resource);
            for (n = 0; n < MAX((size_t)1, json_array_size(names)); n++) {
                a.name = names ? json_string_value(json_array_get(names, n)) : "";
                if (!a.name)
                    a.name = "";
                if (!api_rbac_allows(r->server, &r->user, &a))
                    return false;
            }
        }
    }
    return true;
}

static const json_t *rules_given(struct api_request *r, const json_t *object)
{
    const json_t *ref = json_object_get(object, "roleRef");
    if (!ref)
        return json_object_get(object, "rules");
    const char *kind = json_key_str(ref, "kind"), *name = json_key_str(ref, "name");
    AUTO_CHARS char *key = xasprintf("%s/%s", streq(kind, "Role") ? r->ns : "", name ? name : "");
    return json_object_get(current(r->server)->rules, key);
}

/* A role that gathers others may come to hold anything. */
static json_t *everything(void)
{
    return json_pack("[{s:[s],s:[s],s:[s]},{s:[s],s:[s]}]", "verbs", "*", "apiGroups", "*",
                     "resources", "*", "verbs", "*", "nonResourceURLs", "*");
}

bool api_rbac_admit(struct api_request *r, const json_t *object)
{
    size_t i;
    json_t *rule;
    const char *name = json_at_str(object, "metadata.name");
    if (!streq(r->kind->group, GROUP) || !api_rbac_holds(&r->user))
        return true;
    bool is_binding = json_object_get(object, "roleRef");
    struct api_ask freely = {.verb = is_binding ? "bind" : "escalate",
                             .group = GROUP,
                             .resource = !is_binding ? r->kind->plural
                                         : streq(json_at_str(object, "roleRef.kind"), "Role")
                                             ? "roles"
                                             : "clusterroles",
                             .name = is_binding ? json_at_str(object, "roleRef.name") : name,
                             .ns = r->ns};
    if (api_rbac_allows(r->server, &r->user, &freely))
        return true;
    bool gathers = !is_binding && json_at(object, "aggregationRule");
    AUTO_JSON json_t *all = gathers ? everything() : NULL;
    json_array_foreach(all ? all : (json_t *)(uintptr_t)rules_given(r, object), i, rule)
    {
        if (covers(r, rule, r->ns))
            continue;
        AUTO_JSON json_t *details = api_details(r, name);
        AUTO_CHARS char *text = json_dumps(rule, JSON_COMPACT);
        api_status(r, 403, "Forbidden", details,
                   "%s \"%s\" is forbidden: user \"%s\" is attempting to grant RBAC permissions "
                   "not currently held:\n%s",
                   api_kind_resource(r->kind), name ? name : "", r->user.name, text ? text : "");
        return false;
    }
    return true;
}
