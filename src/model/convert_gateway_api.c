/* Hosts to HTTPRoutes, in the namespace of each Ingress that has paths of them (a backend of
 * another namespace would need a ReferenceGrant); a Gateway for each namespace. Exact paths come
 * before prefixes and longer ones before shorter there, as in the model. */
#include "base/vec.h"
#include "model/convert_priv.h"

#define API "gateway.networking.k8s.io/v1"

enum { RULES_MAX = 16, SECTION_MAX = 63 };

static char *gateway_name(const struct conversion *c)
{
    return xstrdup(c->options->gateway_class);
}

static char *section_of(const char *host, bool tls)
{
    AUTO_CHARS char *word = convert_host_word(host);
    return convert_short_name(xasprintf("%s-%s", word, tls ? "https" : "http"), SECTION_MAX);
}

/* ---- one rule ---- */

static json_t *match_of(const struct route *r)
{
    static const char *const kinds[] = {[ROUTE_PATH_EXACT] = "Exact",
                                        [ROUTE_PATH_PREFIX] = "PathPrefix",
                                        [ROUTE_PATH_SEGMENTS] = "PathPrefix",
                                        [ROUTE_PATH_REGEX] = "RegularExpression"};
    bool regex = r->path.kind == ROUTE_PATH_REGEX;
    AUTO_CHARS char *text =
        regex ? xasprintf("%s(?:%s).*", r->path.ignore_case ? "(?i)" : "", r->path.text)
              : xstrdup(r->path.text);
    json_t *match = json_pack("{s:{s:s,s:s}}", "path", "type", kinds[r->path.kind], "value", text),
           *headers = json_array();
    for (uint32_t h = 0; h < r->n_headers; h++)
        json_array_append_new(
            headers, json_pack("{s:s,s:s,s:s}", "type",
                               r->headers[h].how == ROUTE_IS_LIKE ? "RegularExpression" : "Exact",
                               "name", r->headers[h].name, "value", r->headers[h].value));
    if (json_array_size(headers))
        json_object_set(match, "headers", headers);
    json_decref(headers);
    return match;
}

static json_t *redirect_filter(const struct conversion *c, const struct route *r)
{
    const struct route_redirect *to = &r->redirect;
    struct str query, path = str_cut(str_from(to->path), '?', &query);
    json_t *j = json_pack("{s:s*,s:s*,s:i}", "scheme", to->scheme, "hostname", to->host,
                          "statusCode", (int)to->code);
    if (to->port)
        json_object_set_new(j, "port", json_integer(to->port));
    if (path.p)
        json_object_set_new(
            j, "path",
            json_pack("{s:s,s:o}", "type", "ReplaceFullPath", "replaceFullPath", json_text(path)));
    if (query.p || to->drop_query)
        convert_lost(c, r->origin.object, r->origin.field,
                     "a redirect keeps the request's query, and cannot have one of its own");
    if (to->code != 301 && to->code != 302)
        convert_lost(c, r->origin.object, r->origin.field,
                     "not every implementation redirects with %u", (unsigned)to->code);
    return json_pack("{s:s,s:o}", "type", "RequestRedirect", "requestRedirect", j);
}

/* "/x(/|$)(.*)" with "/$2" or "/y/$2" takes a prefix away: "/x", and what stands for it. */
static bool read_prefix_rewrite(const struct route *r, char **ret_prefix, char **ret_to)
{
    struct str path = str_from(r->path.text), to = str_from(r->rewrite.path),
               tail = STR("(/|$)(.*)"), caught = STR("/$2");
    if (!str_ends(path, tail) || !str_ends(to, caught))
        return false;
    struct str prefix = str_sub(path, 0, path.n - tail.n), before = str_sub(to, 0, to.n - caught.n);
    for (size_t i = 0; i < prefix.n; i++)
        if (memchr("\\^$.|?*+()[]{}", prefix.p[i], 14))
            return false;
    if (!prefix.n || memchr(before.p, '$', before.n))
        return false;
    *ret_prefix = str_dup(prefix);
    *ret_to = before.n ? str_dup(before) : xstrdup("/");
    return true;
}

/* Changes the match, where a prefix is taken away. */
static json_t *rewrite_filter(const struct conversion *c, const struct route *r, json_t *match)
{
    AUTO_CHARS char *prefix = NULL;
    AUTO_CHARS char *to = NULL;
    json_t *j = json_pack("{s:s*}", "hostname", r->rewrite.host);
    if (r->rewrite.path && read_prefix_rewrite(r, &prefix, &to)) {
        json_object_set_new(match, "path",
                            json_pack("{s:s,s:s}", "type", "PathPrefix", "value", prefix));
        json_object_set_new(
            j, "path",
            json_pack("{s:s,s:s}", "type", "ReplacePrefixMatch", "replacePrefixMatch", to));
    } else if (r->rewrite.path && strchr(r->rewrite.path, '$')) {
        convert_lost(c, r->origin.object, r->origin.field,
                     "the rewrite to %s is left out: there are no captures", r->rewrite.path);
    } else if (r->rewrite.path) {
        json_object_set_new(
            j, "path",
            json_pack("{s:s,s:s}", "type", "ReplaceFullPath", "replaceFullPath", r->rewrite.path));
    }
    if (json_object_size(j))
        return json_pack("{s:s,s:o}", "type", "URLRewrite", "urlRewrite", j);
    json_decref(j);
    return NULL;
}

static json_t *cors_filter(const struct route_cors *cors)
{
    json_t *origins = json_array(), *j;
    for (uint32_t i = 0; i < cors->n_origins; i++)
        json_array_append_new(origins, json_string(cors->origins[i]));
    j = json_pack("{s:o,s:o,s:o,s:b}", "allowOrigins", origins, "allowMethods",
                  convert_words(cors->methods), "allowHeaders", convert_words(cors->headers),
                  "allowCredentials", (int)cors->credentials);
    if (cors->expose)
        json_object_set_new(j, "exposeHeaders", convert_words(cors->expose));
    if (cors->max_age)
        json_object_set_new(j, "maxAge", json_integer(strtol(cors->max_age, NULL, 10)));
    return json_pack("{s:s,s:o}", "type", "CORS", "cors", j);
}

/* Fields that are set; nothing, if there are none. */
static void add_fields(json_t *filters, const char *type, const char *member,
                       const struct route_fields *f)
{
    json_t *set = json_array();
    for (uint32_t i = 0; i < f->n; i++)
        json_array_append_new(set,
                              json_pack("{s:s,s:s}", "name", f->v[i].name, "value", f->v[i].value));
    if (f->n)
        json_array_append_new(filters,
                              json_pack("{s:s,s:{s:O}}", "type", type, member, "set", set));
    json_decref(set);
}

static json_t *backends_of(const struct route *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->n_backends; i++) {
        struct str name;
        (void)str_cut(str_from(r->backends[i].service), '/', &name);
        json_t *one =
            json_pack("{s:o,s:i}", "name", json_text(name), "port", (int)r->backends[i].port);
        if (r->n_backends > 1)
            json_object_set_new(one, "weight", json_integer(r->backends[i].weight));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *rule_of(const struct conversion *c, const struct route *r)
{
    json_t *match = match_of(r), *filters = json_array(), *rule = json_object(), *rewrite = NULL;
    bool closed = convert_is_closed(c, r), forwards = r->action == ROUTE_FORWARD && !closed;
    if (r->cors.on)
        json_array_append_new(filters, cors_filter(&r->cors));
    if (r->action == ROUTE_REDIRECT)
        json_array_append_new(filters, redirect_filter(c, r));
    else if (forwards)
        rewrite = rewrite_filter(c, r, match);
    if (rewrite)
        json_array_append_new(filters, rewrite);
    if (forwards) {
        add_fields(filters, "RequestHeaderModifier", "requestHeaderModifier", &r->request_fields);
        add_fields(filters, "ResponseHeaderModifier", "responseHeaderModifier", &r->answer_fields);
    }
    if (streq(json_at_str(match, "path.type"), "RegularExpression"))
        convert_lost(c, r->origin.object, r->origin.field,
                     "what an expression matches, and when it is tried, is the implementation's "
                     "choice: %s",
                     r->path.text);
    json_object_set_new(rule, "matches", json_pack("[o]", match));
    if (json_array_size(filters))
        json_object_set(rule, "filters", filters);
    json_decref(filters);
    if (forwards)
        json_object_set_new(rule, "backendRefs", backends_of(r));
    else if (closed)
        convert_lost(c, r->origin.object, r->origin.field,
                     "what protects it cannot be said here: it is closed, and has no backend");
    else if (r->action == ROUTE_ANSWER)
        convert_lost(c, r->origin.object, r->origin.field,
                     "it has no backend: it is answered with an error, though not with %u",
                     (unsigned)r->status);
    return rule;
}

static json_t *to_https(const struct route *r)
{
    return json_pack("{s:[o],s:[{s:s,s:{s:s,s:i}}]}", "matches", match_of(r), "filters", "type",
                     "RequestRedirect", "requestRedirect", "scheme", "https", "statusCode", 301);
}

/* ---- HTTPRoutes ---- */

static void add_http_route(const struct conversion *c, const struct route_host *h, const char *ns,
                           const char *name, const char *section, json_t *rules)
{
    AUTO_CHARS char *gateway = gateway_name(c);
    json_t *parent = json_pack("{s:s,s:s*}", "name", gateway, "sectionName", section),
           *spec = json_pack("{s:[o]}", "parentRefs", parent);
    if (strcmp(h->name, "*") != 0)
        json_object_set_new(spec, "hostnames", json_pack("[s]", h->name));
    json_object_set_new(spec, "rules", rules);
    convert_add(c, API, "HTTPRoute", name, ns, spec);
}

/* As many as the rules need; takes them. */
static void add_http_routes(const struct conversion *c, const struct route_host *h, const char *ns,
                            const char *name, const char *section, json_t *rules)
{
    for (size_t at = 0, n = json_array_size(rules), part = 1; at < n; at += RULES_MAX, part++) {
        json_t *some = json_array();
        for (size_t i = at; i < MIN(n, at + RULES_MAX); i++)
            json_array_append(some, json_array_get(rules, i));
        AUTO_CHARS char *whole =
            convert_short_name(part > 1 ? xasprintf("%s-%zu", name, part) : xstrdup(name), 253);
        add_http_route(c, h, ns, whole, section, some);
    }
    json_decref(rules);
}

static bool is_of(const struct route *r, const char *ns)
{
    struct str rest;
    return str_is(str_cut(str_from(r->origin.object), '/', &rest), ns);
}

/* The Secret of the host, if it is of this namespace; else .p is NULL. */
static struct str secret_of(const struct route_host *h, const char *ns)
{
    struct str secret = {0}, of = str_cut(str_from(h->secret), '/', &secret);
    return secret.p && str_is(of, ns) ? secret : (struct str){NULL, 0};
}

/* The rules of a host that come from one namespace: on both ports alike, or, where some ask for
 * https, on each its own. */
static void add_namespace(const struct conversion *c, const struct route_host *h, const char *ns)
{
    json_t *plain = json_array(), *secure = json_array();
    AUTO_CHARS char *word = convert_host_word(h->name);
    AUTO_CHARS char *name = xasprintf("%s-ingress", word);
    bool https_only = false;
    for (uint32_t i = 0; i < h->n_routes; i++) {
        const struct route *r = &h->routes[i];
        if (!is_of(r, ns) || convert_is_hidden(h, i))
            continue;
        AUTO_JSON json_t *rule = rule_of(c, r);
        https_only = https_only || r->https_only;
        if (r->https_only && !secret_of(h, ns).p)
            convert_lost(c, r->origin.object, r->origin.field,
                         "plain requests are not redirected to https: host %s has no HTTPS "
                         "listener here",
                         h->name);
        json_array_append(secure, rule);
        json_array_append_new(plain, r->https_only ? to_https(r) : json_incref(rule));
    }
    if (https_only && secret_of(h, ns).p) {
        AUTO_CHARS char *http = section_of(h->name, false);
        AUTO_CHARS char *https = section_of(h->name, true);
        AUTO_CHARS char *redirect = xasprintf("%s-plain", name);
        add_http_routes(c, h, ns, name, https, secure);
        add_http_routes(c, h, ns, redirect, http, plain);
    } else {
        add_http_routes(c, h, ns, name, NULL, secure);
        json_decref(plain);
    }
}

static void add_host(const struct conversion *c, const struct route_host *h)
{
    VEC(char *) namespaces = {0};
    for (uint32_t i = 0; i < h->n_routes; i++) {
        struct str rest, ns = str_cut(str_from(h->routes[i].origin.object), '/', &rest);
        bool known = false;
        VEC_FOREACH (n, &namespaces)
            known = known || str_is(ns, *n);
        if (!known)
            vec_push(&namespaces, str_dup(ns));
    }
    VEC_FOREACH (ns, &namespaces) {
        add_namespace(c, h, *ns);
        free(*ns);
    }
    if (namespaces.n > 1)
        convert_lost(c, h->routes[0].origin.object, "spec.rules",
                     "host %s is shared by %zu namespaces: each gets a Gateway, with an address of "
                     "its own",
                     h->name, namespaces.n);
    if (h->one_label && h->n_routes)
        convert_lost(c, h->routes[0].origin.object, "spec.rules",
                     "host %s stands for names of one label and more; in an Ingress for one label",
                     h->name);
    vec_done(&namespaces);
}

/* ---- Gateways ---- */

static void add_listener(json_t *to, const struct route_host *h, const char *secret)
{
    AUTO_CHARS char *name = section_of(h->name, secret != NULL);
    json_t *l = json_pack("{s:s}", "name", name);
    if (strcmp(h->name, "*") != 0)
        json_object_set_new(l, "hostname", json_string(h->name));
    json_object_set_new(l, "port", json_integer(secret ? 443 : 80));
    json_object_set_new(l, "protocol", json_string(secret ? "HTTPS" : "HTTP"));
    if (secret)
        json_object_set_new(
            l, "tls",
            json_pack("{s:s,s:[{s:s}]}", "mode", "Terminate", "certificateRefs", "name", secret));
    json_array_append_new(to, l);
}

/* Listeners of the hosts that have rules of the namespace. */
static json_t *listeners_of(const struct conversion *c, const char *ns)
{
    json_t *list = json_array();
    for (size_t n = 0; n < c->snapshot->n_hosts; n++) {
        const struct route_host *h = c->snapshot->sorted[n];
        const struct route *ours = NULL;
        for (uint32_t i = 0; !ours && i < h->n_routes; i++)
            ours = is_of(&h->routes[i], ns) ? &h->routes[i] : NULL;
        if (!ours)
            continue;
        struct str secret = secret_of(h, ns);
        add_listener(list, h, NULL);
        if (secret.p) {
            AUTO_CHARS char *name = str_dup(secret);
            add_listener(list, h, name);
        } else if (h->secret) {
            convert_lost(c, ours->origin.object, "spec.tls",
                         "host %s has no HTTPS listener here: its Secret %s", h->name,
                         *h->secret ? "is in another namespace" : "is not named");
        }
    }
    return list;
}

static void add_gateway(const struct conversion *c, const char *ns)
{
    enum { LISTENERS_MAX = 64 };
    AUTO_CHARS char *name = gateway_name(c);
    json_t *listeners = listeners_of(c, ns);
    if (json_array_size(listeners) > LISTENERS_MAX)
        for (size_t i = 0; i < c->n; i++)
            if (streq(c->ingresses[i]->namespace_, ns))
                convert_lost(c, c->ingresses[i]->key, "spec.rules",
                             "the Gateway of namespace %s has %zu listeners, over the API's 64: "
                             "make several of it",
                             ns, json_array_size(listeners));
    if (json_array_size(listeners))
        convert_add(c, API, "Gateway", name, ns,
                    json_pack("{s:s,s:o}", "gatewayClassName", c->options->gateway_class,
                              "listeners", listeners));
    else
        json_decref(listeners);
}

void convert_to_gateway_api(struct conversion *c)
{
    struct map seen = {0};
    VEC(const char *) namespaces = {0};
    for (size_t n = 0; n < c->n; n++) {
        const char *ns = c->ingresses[n]->namespace_;
        if (!map_put_cstr(&seen, ns, c))
            vec_push(&namespaces, ns);
    }
    VEC_FOREACH (ns, &namespaces)
        add_gateway(c, *ns);
    for (size_t h = 0; h < c->snapshot->n_hosts; h++)
        add_host(c, c->snapshot->sorted[h]);
    vec_done(&namespaces);
    map_done(&seen);
}
