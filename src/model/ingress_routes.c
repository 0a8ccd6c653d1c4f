/* The table of Ingresses: who is ours, who names which host, which host is to be built anew. */
#include "model/ingress_routes.h"

#include <ctype.h>

#include "base/vec.h"
#include "model/ingress_host.h"
#include "model/ingress_value.h"

/* An Ingress whose host is to have this name, too (server-alias), or to be where requests of this
 * name are sent (from-to-www-redirect). */
struct alias_claim {
    struct ingress_entry *entry;
    char *of; /* the host */
    bool www;
};

/* A host that some Ingress names, or named since it was taken. */
struct host_slot {
    struct list_node dirty;
    VEC(struct ingress_entry *) entries; /* the first to be heeded first */
    VEC(struct alias_claim) claims;      /* the same; heeded where there are no entries */
    struct ingress_services services;    /* that the last build has asked for */
    char name[];
};

struct service_users {
    VEC(struct host_slot *) hosts;
};

struct ingress_routes {
    const struct ingress_options *options;
    const struct service_join *join;
    const struct ingress_settings *settings; /* NULL: none */
    struct map entries;                      /* key -> struct ingress_entry, ours or not */
    struct map classes;                      /* name -> struct ingress_class */
    struct map hosts;                        /* name -> struct host_slot */
    struct map services;                     /* key -> struct service_users */
    struct list_node dirty, changed;
    char *taken; /* the name given last */
    bool ends;   /* nothing is to be built any more */
};

/* ---- hosts and the Services they ask for ---- */

static void mark_one(struct ingress_routes *t, struct host_slot *h)
{
    if (h && !list_is_linked(&h->dirty))
        list_add_tail(&t->dirty, &h->dirty);
}

/* With its other names. */
static void mark(struct ingress_routes *t, struct host_slot *h)
{
    mark_one(t, h);
    VEC_FOREACH (e, &h->entries)
        for (uint32_t i = 0; i < (*e)->policy->steer.n_aliases; i++)
            mark_one(t, map_find_cstr(&t->hosts, (*e)->policy->steer.aliases[i]));
}

static void forget_services(struct ingress_routes *t, struct host_slot *h)
{
    VEC_FOREACH (key, &h->services) {
        struct service_users *u = map_find_cstr(&t->services, *key);
        for (size_t i = 0; u && i < u->hosts.n; i++)
            if (u->hosts.v[i] == h) {
                u->hosts.v[i] = vec_pop(&u->hosts);
                break;
            }
        if (u && !u->hosts.n) {
            map_remove_cstr(&t->services, *key);
            vec_done(&u->hosts);
            free(u);
        }
        free(*key);
    }
    vec_clear(&h->services);
}

static void note_services(struct ingress_routes *t, struct host_slot *h)
{
    VEC_FOREACH (key, &h->services) {
        struct service_users *u = map_find_cstr(&t->services, *key);
        if (!u) {
            u = NEW(struct service_users);
            map_put_cstr(&t->services, *key, u);
        }
        vec_push(&u->hosts, h);
    }
}

void ingress_routes_service_changed(struct ingress_routes *t, struct str key)
{
    struct service_users *u = map_find(&t->services, key);
    for (size_t i = 0; u && i < u->hosts.n; i++)
        mark(t, u->hosts.v[i]);
}

/* Names compare without case. */
static struct host_slot *slot_of(struct ingress_routes *t, const char *host)
{
    AUTO_CHARS char *name = xstrdup(*host ? host : "*");
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    struct host_slot *h = map_find_cstr(&t->hosts, name);
    if (!h) {
        h = xcalloc(1, sizeof(*h) + strlen(name) + 1);
        memcpy(h->name, name, strlen(name));
        map_put_cstr(&t->hosts, name, h);
    }
    return h;
}

struct ingress_routes *ingress_routes_new(const struct ingress_options *o,
                                          const struct service_join *join)
{
    struct ingress_routes *t = NEW(struct ingress_routes);
    t->options = o;
    t->join = join;
    list_init(&t->dirty);
    list_init(&t->changed);
    if (o->default_backend)
        mark_one(t, slot_of(t, "*"));
    return t;
}

static void join_host(struct ingress_routes *t, struct ingress_entry *e, const char *host)
{
    struct host_slot *h = slot_of(t, host);
    size_t at = 0;
    VEC_FOREACH (other, &h->entries)
        if (*other == e)
            return;
    while (at < h->entries.n && ingress_entry_compare(h->entries.v[at], e) < 0)
        at++;
    vec_push(&h->entries, e);
    memmove(&h->entries.v[at + 1], &h->entries.v[at],
            (h->entries.n - 1 - at) * sizeof(*h->entries.v));
    h->entries.v[at] = e;
    mark(t, h);
}

static void leave_host(struct ingress_routes *t, const struct ingress_entry *e, const char *host)
{
    struct host_slot *h = slot_of(t, host);
    mark(t, h);
    for (size_t i = 0; i < h->entries.n; i++)
        if (h->entries.v[i] == e) {
            vec_remove(&h->entries, i);
            return;
        }
}

static void join_alias(struct ingress_routes *t, struct ingress_entry *e, const char *name,
                       const char *of, bool www)
{
    struct host_slot *h = slot_of(t, name);
    size_t at = 0;
    VEC_FOREACH (c, &h->claims)
        if (c->entry == e && streq(c->of, of))
            return;
    while (at < h->claims.n && ingress_entry_compare(h->claims.v[at].entry, e) <= 0)
        at++;
    vec_push(&h->claims, (struct alias_claim){0});
    memmove(&h->claims.v[at + 1], &h->claims.v[at], (h->claims.n - 1 - at) * sizeof(*h->claims.v));
    h->claims.v[at] = (struct alias_claim){e, xstrdup(of), www};
    mark(t, h);
}

static void leave_alias(struct ingress_routes *t, const struct ingress_entry *e, const char *name)
{
    struct host_slot *h = slot_of(t, name);
    mark(t, h);
    for (size_t i = h->claims.n; i-- > 0;)
        if (h->claims.v[i].entry == e) {
            free(h->claims.v[i].of);
            vec_remove(&h->claims, i);
        }
}

static void for_alias(struct ingress_routes *t, struct ingress_entry *e, bool joins,
                      const char *name, const char *of, bool www)
{
    if (joins)
        join_alias(t, e, name, of, www);
    else
        leave_alias(t, e, name);
}

/* The other names of a host that the Ingress names. */
static void for_aliases(struct ingress_routes *t, struct ingress_entry *e, bool joins,
                        const char *host)
{
    const struct ingress_steer *s = &e->policy->steer;
    AUTO_CHARS char *of = xstrdup(host);
    for (char *c = of; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (!*of || strchr(of, '*') || e->policy->canary.on)
        return;
    for (uint32_t i = 0; i < s->n_aliases; i++)
        for_alias(t, e, joins, s->aliases[i], of, false);
    bool with = str_starts(str_from(of), STR("www."));
    AUTO_CHARS char *www = with ? xstrdup(of + 4) : xasprintf("www.%s", of);
    if (s->www && str_is_dns1123_subdomain(str_from(www)))
        for_alias(t, e, joins, www, of, true);
}

/* The API server lets no other pass; what is none must not reach a table that others share. */
static bool host_is_valid(const char *host)
{
    struct str s = str_from(host);
    AUTO_CHARS char *lower = xstrdup(host);
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (ingress_value_is_reserved(s))
        return false;
    return !*host || str_is(s, "*") ||
           str_is_dns1123_subdomain(str_from(lower + (str_starts(s, STR("*.")) ? 2 : 0)));
}

/* Of every host it names. */
static void for_hosts(struct ingress_routes *t, struct ingress_entry *e, bool joins)
{
    const struct ingress_object *i = e->object;
    bool bare = !i->n_rules && ingress_backend_is_set(&i->default_backend);
    for (uint32_t r = 0; r < i->n_rules + bare; r++) {
        const char *host = bare ? "*" : i->rules[r].host;
        AUTO_CHARS char *field = xasprintf("spec.rules[%u].host", r);
        if (!host_is_valid(host))
            finding_add(&e->findings, FINDING_ERROR, "HostInvalid", i->key, field,
                        "give a DNS name, or one behind \"*.\"; names of " INGRESS_RESERVED_DOMAIN
                        " are the gateway's own",
                        "\"%.80s\" is not served", host);
        else if (joins)
            join_host(t, e, host);
        else
            leave_host(t, e, host);
        if (host_is_valid(host))
            for_aliases(t, e, joins, host);
    }
}

/* ---- whose is it ---- */

bool ingress_routes_is_controller(const struct ingress_routes *t, const char *controller)
{
    for (const char *const *c = t->options->controllers; *c; c++)
        if (streq(*c, controller))
            return true;
    return false;
}

static bool is_ours(const struct ingress_routes *t, const struct ingress_object *i, bool *ret_nginx)
{
    const char *name = i->class_ ? i->class_ : i->class_annotation;
    const struct ingress_class *c = name ? map_find_cstr(&t->classes, name) : NULL;
    bool by_annotation = !i->class_ && i->class_annotation;
    if (c) {
        *ret_nginx = streq(c->controller, INGRESS_CONTROLLER_NGINX);
        return ingress_routes_is_controller(t, c->controller);
    }
    *ret_nginx = by_annotation && streq(i->class_annotation, "nginx");
    return by_annotation ? streq(i->class_annotation, t->options->class_name)
                         : !i->class_ && t->options->without_class;
}

static void tell(struct ingress_routes *t, struct ingress_entry *e)
{
    if (!list_is_linked(&e->changed))
        list_add_tail(&t->changed, &e->changed);
}

static void release(struct ingress_routes *t, struct ingress_entry *e)
{
    if (e->policy)
        for_hosts(t, e, false);
    ingress_policy_free(TAKE(e->policy));
    findings_done(&e->findings);
    e->findings = (struct findings){0};
    list_remove(&e->changed);
}

static void adopt(struct ingress_routes *t, struct ingress_entry *e)
{
    if (!is_ours(t, e->object, &e->nginx))
        return;
    e->settings = t->settings;
    e->policy = ingress_policy_new(e->object, e->nginx, t->settings, &e->findings);
    if (e->object->truncated)
        finding_add(&e->findings, FINDING_ERROR, "TooLarge", e->object->key, "spec",
                    "make several of it",
                    "more than %d rules, paths or hosts in one list: the "
                    "rest is left out",
                    INGRESS_RULES_MAX);
    for_hosts(t, e, true);
    tell(t, e);
}

static void entry_free(struct ingress_routes *t, struct ingress_entry *e)
{
    release(t, e);
    ingress_object_free(e->object);
    free(e);
}

void ingress_routes_add(struct ingress_routes *t, struct ingress_object *i)
{
    struct ingress_entry *e = map_find_cstr(&t->entries, i->key);
    if (!e) {
        e = NEW(struct ingress_entry);
        map_put_cstr(&t->entries, i->key, e);
    }
    release(t, e);
    ingress_object_free(e->object);
    e->object = i;
    adopt(t, e);
}

void ingress_routes_remove(struct ingress_routes *t, struct str key)
{
    struct ingress_entry *e = map_remove(&t->entries, key);
    if (e)
        entry_free(t, e);
}

/* A class came or went: for whom that changes something. */
static void decide_anew(struct ingress_routes *t)
{
    void *entry;
    for (size_t at = 0; map_next(&t->entries, &at, NULL, &entry);) {
        struct ingress_entry *e = entry;
        bool nginx = false, ours = is_ours(t, e->object, &nginx);
        if (ours == (e->policy != NULL) && (!ours || nginx == e->nginx))
            continue;
        release(t, e);
        adopt(t, e);
    }
}

void ingress_routes_set_settings(struct ingress_routes *t, const struct ingress_settings *s)
{
    void *entry;
    if (t->settings == s)
        return;
    t->settings = s;
    for (size_t at = 0; map_next(&t->entries, &at, NULL, &entry);) {
        struct ingress_entry *e = entry;
        bool told = e->policy && !list_is_linked(&e->changed);
        release(t, e);
        adopt(t, e);
        if (told) /* what is wrong with the object is not told again */
            list_remove(&e->changed);
    }
}

void ingress_routes_add_class(struct ingress_routes *t, struct ingress_class *c)
{
    ingress_class_free(map_put_cstr(&t->classes, c->name, c));
    decide_anew(t);
}

void ingress_routes_remove_class(struct ingress_routes *t, struct str name)
{
    ingress_class_free(map_remove(&t->classes, name));
    decide_anew(t);
}

/* ---- what others ask ---- */

static const struct ingress_entry *find_ours(const struct ingress_routes *t, struct str key)
{
    const struct ingress_entry *e = map_find(&t->entries, key);
    return e && e->policy ? e : NULL;
}

const struct ingress_object *ingress_routes_find(const struct ingress_routes *t, struct str key)
{
    const struct ingress_entry *e = find_ours(t, key);
    return e ? e->object : NULL;
}

bool ingress_routes_next(const struct ingress_routes *t, size_t *at,
                         const struct ingress_object **ret)
{
    void *entry;
    while (map_next(&t->entries, at, NULL, &entry)) {
        const struct ingress_entry *e = entry;
        *ret = e->object;
        if (e->policy)
            return true;
    }
    return false;
}

const struct findings *ingress_routes_findings(const struct ingress_routes *t, struct str key)
{
    const struct ingress_entry *e = find_ours(t, key);
    return e ? &e->findings : NULL;
}

const struct ingress_object *ingress_routes_take_changed(struct ingress_routes *t)
{
    if (list_is_empty(&t->changed))
        return NULL;
    struct ingress_entry *e = CONTAINER_OF(t->changed.next, struct ingress_entry, changed);
    list_remove(&e->changed);
    return e->object;
}

/* Who may not have the name is told. */
static void tell_claims(const struct host_slot *h, struct route_host *to)
{
    for (size_t i = h->entries.n ? 0 : 1; i < h->claims.n; i++) {
        const struct alias_claim *c = &h->claims.v[i];
        if (!c->www)
            finding_add(&to->findings, FINDING_WARNING, "AliasUnused", c->entry->object->key,
                        "metadata.annotations[" INGRESS_NGINX_PREFIX "server-alias]",
                        "remove it from one of them", "%s belongs to another Ingress already",
                        h->name);
    }
}

static struct route_host *build(struct ingress_routes *t, struct host_slot *h)
{
    const struct alias_claim *c = h->claims.v;
    struct host_slot *of = h->entries.n || !c ? h : map_find_cstr(&t->hosts, c->of);
    const struct ingress_alias as = {.name = h->name, .www = c && c->www};
    struct route_host *host =
        ingress_host_build(of->name, h->entries.n || !c ? NULL : &as, of->entries.v, of->entries.n,
                           t->options->default_backend, t->join, &h->services);
    tell_claims(h, host);
    return host;
}

/* Without any Ingress. */
static bool is_kept(const struct ingress_routes *t, const struct host_slot *h)
{
    return t->options->default_backend && !t->ends && streq(h->name, "*");
}

bool ingress_routes_take_dirty(struct ingress_routes *t, const char **ret_name,
                               struct route_host **ret)
{
    if (list_is_empty(&t->dirty))
        return false;
    struct host_slot *h = CONTAINER_OF(t->dirty.next, struct host_slot, dirty);
    list_remove(&h->dirty);
    forget_services(t, h);
    free(t->taken);
    *ret_name = t->taken = xstrdup(h->name);
    *ret = NULL;
    if (h->entries.n || h->claims.n || is_kept(t, h)) {
        *ret = build(t, h);
        note_services(t, h);
        return true;
    }
    map_remove_cstr(&t->hosts, h->name);
    vec_done(&h->services);
    vec_done(&h->entries);
    vec_done(&h->claims);
    free(h);
    return true;
}

void ingress_routes_free(struct ingress_routes *t)
{
    const char *name;
    struct route_host *host;
    void *value;
    if (!t)
        return;
    for (size_t at = 0; map_next(&t->entries, &at, NULL, &value);)
        entry_free(t, value);
    t->ends = true;
    if (t->options->default_backend)
        mark_one(t, slot_of(t, "*"));
    while (ingress_routes_take_dirty(t, &name, &host)) /* none is left */
        route_host_unref(host);
    for (size_t at = 0; map_next(&t->classes, &at, NULL, &value);)
        ingress_class_free(value);
    map_done(&t->entries);
    map_done(&t->classes);
    map_done(&t->hosts);
    map_done(&t->services);
    free(t->taken);
    free(t);
}
