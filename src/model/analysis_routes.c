/* What an analysis says of hosts and their paths: who shares one, what is never reached, and where
 * the rules of ingress-nginx give a path another meaning than its manifest. */
#include <stdio.h>

#include "codec/regex.h"
#include "model/analysis_priv.h"
#include "model/explain.h"

static const struct ingress_object *object_of(const struct analysis *a, const struct route *r)
{
    return ingress_routes_find(a->snapshot->routes, str_from(r->origin.object));
}

/* The rule's path that the route is made of; NULL: of something else. */
static const struct ingress_path *path_of(const struct analysis *a, const struct route *r)
{
    const struct ingress_object *i = object_of(a, r);
    unsigned rule, path;
    if (!i || sscanf(r->origin.field, "spec.rules[%u].http.paths[%u]", &rule, &path) != 2 ||
        rule >= i->n_rules || path >= i->rules[rule].n_paths)
        return NULL;
    return &i->rules[rule].paths[path];
}

/* ---- one host, several Ingresses ---- */

static struct str namespace_of(const char *object)
{
    struct str rest;
    return str_cut(str_from(object), '/', &rest);
}

static void check_shared(const struct analysis *a, const struct route_host *h)
{
    const char *first = h->n_routes ? h->routes[0].origin.object : NULL;
    for (uint32_t i = 1; i < h->n_routes; i++) {
        const char *object = h->routes[i].origin.object;
        if (streq(object, first))
            continue;
        bool same = str_eq(namespace_of(object), namespace_of(first));
        finding_add(a->out, same ? FINDING_INFO : FINDING_WARNING, "HostShared", object,
                    "spec.rules",
                    same ? NULL : "let one namespace have the host, if that was not meant",
                    "host %s has rules of Ingress %s, too", h->name, first);
    }
}

static bool takes_all(const struct route *r)
{
    return !r->n_headers && r->path.kind != ROUTE_PATH_EXACT && streq(r->path.text, "/");
}

static void check_wildcard(const struct analysis *a, const struct route_host *h)
{
    const struct route_host *wider = NULL;
    for (uint32_t i = 0; i < h->n_routes; i++)
        if (takes_all(&h->routes[i]))
            return;
    for (size_t n = 1; !wider && *h->name != '*' && h->n_routes; n++) {
        AUTO_CHARS char *name = explain_host_name(str_from(h->name), n);
        if (!name)
            return;
        wider = ingress_snapshot_host(a->snapshot, name);
    }
    if (wider)
        finding_add(a->out, FINDING_INFO, "HostHidesWildcard", h->routes[0].origin.object,
                    "spec.rules", "add a path / to the host, if that was not meant",
                    "what matches no path of host %s is answered with 404: the rules of host %s "
                    "do not apply to it",
                    h->name, wider->name);
}

/* ---- paths that are never reached ---- */

/* Whatever follows a match of it, it still matches. */
static bool is_open(const char *regex)
{
    return !strchr(regex, '$') && !strstr(regex, "\\b") && !strstr(regex, "\\B") &&
           !strstr(regex, "\\z");
}

/* Of one expression: what matches all that begins as a match of it, and how its matches begin. */
struct expression {
    struct regex *open, *plain; /* NULL: not to be asked */
};

enum { EXPRESSIONS_MAX = 500 }; /* of a host; with more of them none is looked at */

static struct expression *read_expressions(const struct route_host *h)
{
    struct expression *list = xcalloc(h->n_routes + 1, sizeof(*list));
    size_t n = 0;
    for (uint32_t i = 0; i < h->n_routes; i++)
        n += h->routes[i].path.kind == ROUTE_PATH_REGEX;
    for (uint32_t i = 0; n <= EXPRESSIONS_MAX && i < h->n_routes; i++) {
        const struct route_path *p = &h->routes[i].path;
        AUTO_CHARS char *open = xasprintf("%s(?:%s).*", p->ignore_case ? "(?i)" : "", p->text);
        if (p->kind != ROUTE_PATH_REGEX)
            continue;
        if (!is_open(p->text) || regex_new(str_from(open), &list[i].open, NULL) < 0)
            list[i].open = NULL;
        if (regex_new(str_from(p->text), &list[i].plain, NULL) < 0)
            list[i].plain = NULL;
    }
    return list;
}

static void free_expressions(struct expression *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        regex_free(list[i].open);
        regex_free(list[i].plain);
    }
    free(list);
}

/* Does it match all that the other one does? True only where that is plain. */
static bool expression_covers(const struct expression *by, const struct expression *e)
{
    struct str prefix = e->plain ? regex_literal_prefix(e->plain) : (struct str){NULL, 0};
    return by->open && prefix.n && regex_matches_all(by->open, prefix);
}

static bool covers(const struct route *by, const struct route *r)
{
    struct str text = str_from(r->path.text), wide = str_from(by->path.text);
    if (r->path.kind == ROUTE_PATH_REGEX)
        return false;
    switch (by->path.kind) {
    case ROUTE_PATH_EXACT:
        return r->path.kind == ROUTE_PATH_EXACT && str_eq(text, wide);
    case ROUTE_PATH_PREFIX:
        return str_starts(text, wide);
    case ROUTE_PATH_SEGMENTS:
        return str_starts(text, wide) && (text.n == wide.n || text.p[wide.n] == '/');
    case ROUTE_PATH_REGEX:
        break;
    }
    return false;
}

static void check_shadowed(const struct analysis *a, const struct route_host *h)
{
    struct expression *expressions = read_expressions(h);
    for (uint32_t i = 0; i < h->n_routes; i++)
        for (uint32_t by = 0; by < i; by++) {
            const struct route *r = &h->routes[i], *before = &h->routes[by];
            bool alike = before->path.ignore_case || !r->path.ignore_case;
            if (before->n_headers ||
                !(covers(before, r) ||
                  (alike && expression_covers(&expressions[by], &expressions[i]))))
                continue;
            finding_add(a->out, FINDING_WARNING, "PathShadowed", r->origin.object, r->origin.field,
                        "remove one of them, or make the one before it narrower",
                        "no request of host %s gets here: %s of Ingress %s, %s, takes them all",
                        h->name, before->path.text, before->origin.object, before->origin.field);
            break;
        }
    free_expressions(expressions, h->n_routes);
}

/* ---- the ways of ingress-nginx ---- */

static bool asks_for_regex(const struct ingress_object *i)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    const char *use = ingress_annotation(i, "use-regex");
    for (size_t n = 0; n < ARRAY_LEN(yes); n++)
        if (streq(use, yes[n]))
            return true;
    return ingress_annotation(i, "rewrite-target") != NULL;
}

static const char *who_asks_for_regex(const struct analysis *a, const struct route_host *h)
{
    for (uint32_t i = 0; i < h->n_routes; i++) {
        const struct ingress_object *o = object_of(a, &h->routes[i]);
        if (o && asks_for_regex(o))
            return o->key;
    }
    return NULL;
}

/* by: the Ingress that makes the host's paths expressions; NULL: none. */
static void check_regex(const struct analysis *a, const struct route_host *h, const struct route *r,
                        const struct ingress_path *p, const char *by)
{
    const struct ingress_object *i = object_of(a, r);
    if (by && !asks_for_regex(i))
        finding_add(a->out, FINDING_WARNING, "RegexWholeHost", r->origin.object, r->origin.field,
                    "give the other Ingress a host of its own, if that was not meant",
                    "Ingress %s makes all paths of host %s expressions without regard to case", by,
                    h->name);
    if (p->type == INGRESS_PATH_EXACT)
        finding_add(a->out, FINDING_WARNING, "ExactIsRegex", r->origin.object, r->origin.field,
                    "end it with $, if no longer path is to match",
                    "Exact path %s also matches longer paths and other case: the paths of host "
                    "%s are expressions",
                    p->path, h->name);
    if (r->rewrite.path && !strchr(r->rewrite.path, '$') && r->action == ROUTE_FORWARD)
        finding_add(a->out, FINDING_INFO, "RewriteDropsRest", r->origin.object, r->origin.field,
                    "to keep what follows: path /x(/|$)(.*) and rewrite-target /$2",
                    "every path that begins with %s is sent to the backend as %s", p->path,
                    r->rewrite.path);
}

static void check_nginx(const struct analysis *a, const struct route_host *h, const struct route *r,
                        const char *by)
{
    const struct ingress_path *p = path_of(a, r);
    size_t n = strlen(r->path.text);
    if (!p || r->n_headers)
        return;
    if (r->path.kind == ROUTE_PATH_REGEX)
        check_regex(a, h, r, p, by);
    else if (strpbrk(p->path, "()[]*+^$|\\"))
        finding_add(a->out, FINDING_WARNING, "RegexLiteral", r->origin.object, r->origin.field,
                    "set the annotation use-regex (class of ingress-nginx), or write a plain path",
                    "path %s is compared as it stands: no Ingress of host %s has use-regex or "
                    "rewrite-target",
                    p->path, h->name);
    if (r->path.kind == ROUTE_PATH_EXACT && r->action == ROUTE_REDIRECT &&
        strlen(p->path) == n + 1 && str_starts(str_from(p->path), str_from(r->path.text)))
        finding_add(a->out, FINDING_INFO, "TrailingSlashRedirect", r->origin.object,
                    r->origin.field, "leave the slash out, if that was not meant",
                    "%s is answered with 301 to %s", r->path.text, p->path);
}

void analysis_routes(const struct analysis *a)
{
    for (size_t n = 0; n < a->snapshot->n_hosts; n++) {
        const struct route_host *h = a->snapshot->sorted[n];
        check_shared(a, h);
        check_wildcard(a, h);
        check_shadowed(a, h);
        const char *by = who_asks_for_regex(a, h);
        for (uint32_t i = 0; i < h->n_routes; i++)
            check_nginx(a, h, &h->routes[i], by);
    }
}
