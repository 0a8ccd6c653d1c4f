/* Hosts to VirtualServices, Ingresses to Gateways. A VirtualService's routes are tried in their
 * order, as the model's are. */
#include "model/convert_priv.h"

#define API "networking.istio.io/v1"

/* ---- matches ---- */

static json_t *uri(const char *how, const char *text)
{
    return json_pack("{s:{s:s}}", "uri", how, text);
}

/* Whole segments need two. */
static json_t *matches_of(const struct route *r, bool plain_only)
{
    json_t *list = json_array(), *headers = json_object(), *one;
    AUTO_CHARS char *below = xasprintf("%s/", r->path.text);
    AUTO_CHARS char *open =
        xasprintf("%s(?:%s).*", r->path.ignore_case ? "(?i)" : "", r->path.text);
    size_t i;
    switch (r->path.kind) {
    case ROUTE_PATH_EXACT:
        json_array_append_new(list, uri("exact", r->path.text));
        break;
    case ROUTE_PATH_PREFIX:
        json_array_append_new(list, uri("prefix", r->path.text));
        break;
    case ROUTE_PATH_SEGMENTS:
        json_array_append_new(list, uri("exact", r->path.text));
        json_array_append_new(list, uri("prefix", below));
        break;
    case ROUTE_PATH_REGEX:
        json_array_append_new(list, uri("regex", open));
        break;
    }
    for (uint32_t h = 0; h < r->n_headers; h++)
        json_object_set_new(headers, r->headers[h].name,
                            json_pack("{s:s}",
                                      r->headers[h].how == ROUTE_IS_LIKE ? "regex" : "exact",
                                      r->headers[h].value));
    json_array_foreach(list, i, one)
    {
        if (json_object_size(headers))
            json_object_set(one, "headers", headers);
        if (plain_only)
            json_object_set_new(one, "port", json_integer(80));
    }
    json_decref(headers);
    return list;
}

/* ---- actions ---- */

static char *host_of_service(const char *key)
{
    struct str name, ns = str_cut(str_from(key), '/', &name);
    return xasprintf(STR_FMT "." STR_FMT ".svc.cluster.local", STR_ARG(name), STR_ARG(ns));
}

static json_t *destinations_of(const struct route *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->n_backends; i++) {
        AUTO_CHARS char *host = host_of_service(r->backends[i].service);
        json_t *one = json_pack("{s:{s:s,s:{s:i}}}", "destination", "host", host, "port", "number",
                                (int)r->backends[i].port);
        if (r->n_backends > 1)
            json_object_set_new(one, "weight", json_integer(r->backends[i].weight));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *redirect_of(const struct conversion *c, const struct route *r)
{
    const struct route_redirect *to = &r->redirect;
    json_t *j = json_pack("{s:s*,s:s*,s:s*,s:i}", "uri", to->path, "authority", to->host, "scheme",
                          to->scheme, "redirectCode", (int)to->code);
    if (to->port)
        json_object_set_new(j, "port", json_integer(to->port));
    if (to->drop_query && to->path && !strchr(to->path, '?'))
        convert_lost(c, r->origin.object, r->origin.field,
                     "a redirect keeps the request's query, which the Ingress drops");
    return j;
}

static json_t *rewrite_of(const struct route *r)
{
    json_t *j = json_object();
    if (r->rewrite.host)
        json_object_set_new(j, "authority", json_string(r->rewrite.host));
    if (!r->rewrite.path)
        return j;
    AUTO_CHARS char *to = convert_captures(r->rewrite.path);
    AUTO_CHARS char *pattern =
        r->path.kind == ROUTE_PATH_REGEX
            ? xasprintf("%s^(?:%s).*$", r->path.ignore_case ? "(?i)" : "", r->path.text)
            : xstrdup("^/.*$");
    json_object_set_new(j, "uriRegexRewrite",
                        json_pack("{s:s,s:s}", "match", pattern, "rewrite", to));
    return j;
}

/* With an asterisk it is not exact: it stands for a label, or alone for everything. */
static json_t *origin_of(const char *text)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (!strchr(text, '*'))
        return json_pack("{s:s}", "exact", text);
    if (streq(text, "*"))
        return json_pack("{s:s}", "regex", ".*");
    for (const char *p = text; *p; p++)
        if (*p == '*')
            buf_add_cstr(&b, "[^.]+");
        else
            buf_addf(&b, "%s%c", strchr(".[]", *p) ? "\\" : "", *p);
    return json_pack("{s:s}", "regex", buf_cstr(&b));
}

static json_t *cors_of(const struct route_cors *cors)
{
    json_t *origins = json_array(), *j;
    for (uint32_t i = 0; i < cors->n_origins; i++)
        json_array_append_new(origins, origin_of(cors->origins[i]));
    j = json_pack("{s:o,s:o,s:o,s:b}", "allowOrigins", origins, "allowMethods",
                  convert_words(cors->methods), "allowHeaders", convert_words(cors->headers),
                  "allowCredentials", (int)cors->credentials);
    if (cors->expose)
        json_object_set_new(j, "exposeHeaders", convert_words(cors->expose));
    if (cors->max_age) {
        AUTO_CHARS char *age = xasprintf("%ss", cors->max_age);
        json_object_set_new(j, "maxAge", json_string(age));
    }
    return j;
}

/* {NAME: VALUE} that are set; takes nothing. */
static void set_fields(json_t *headers, const char *of, const struct route_fields *f)
{
    json_t *set = json_object();
    for (uint32_t i = 0; i < f->n; i++)
        json_object_set_new(set, f->v[i].name, json_string(f->v[i].value));
    if (f->n)
        json_object_set_new(headers, of, json_pack("{s:O}", "set", set));
    json_decref(set);
}

static json_t *route_of(const struct conversion *c, const struct route *r)
{
    AUTO_JSON json_t *headers = json_object();
    json_t *j = json_pack("{s:o}", "match", matches_of(r, false)), *rewrite;
    if (r->cors.on)
        json_object_set_new(j, "corsPolicy", cors_of(&r->cors));
    if (convert_is_closed(c, r)) {
        convert_lost(c, r->origin.object, r->origin.field,
                     "what protects it cannot be said here: it is closed, with 503");
        json_object_set_new(j, "directResponse", json_pack("{s:i}", "status", 503));
        return j;
    }
    switch (r->action) {
    case ROUTE_FORWARD:
        rewrite = rewrite_of(r);
        if (json_object_size(rewrite))
            json_object_set(j, "rewrite", rewrite);
        json_decref(rewrite);
        set_fields(headers, "request", &r->request_fields);
        set_fields(headers, "response", &r->answer_fields);
        if (json_object_size(headers))
            json_object_set(j, "headers", headers);
        json_object_set_new(j, "route", destinations_of(r));
        break;
    case ROUTE_REDIRECT:
        json_object_set_new(j, "redirect", redirect_of(c, r));
        break;
    case ROUTE_ANSWER:
        json_object_set_new(j, "directResponse", json_pack("{s:i}", "status", (int)r->status));
        break;
    }
    return j;
}

/* ---- objects ---- */

static char *gateway_name(const struct ingress_object *i)
{
    return convert_short_name(xasprintf("%s-" CONVERT_SUFFIX "-%s", i->name, i->namespace_), 253);
}

/* Of every Ingress that names the host, so that each one's certificates lead to it. */
static json_t *gateways_of(const struct conversion *c, const struct ingress_object *const *list,
                           size_t n)
{
    json_t *to = json_array();
    for (size_t i = 0; i < n; i++) {
        AUTO_CHARS char *name = gateway_name(list[i]);
        AUTO_CHARS char *whole = xasprintf("%s/%s", c->options->gateway_namespace, name);
        json_array_append_new(to, json_string(whole));
    }
    return to;
}

static void add_virtual_service(const struct conversion *c, const struct route_host *h)
{
    const struct ingress_object **list;
    size_t n = convert_ingresses_of(c, h, &list);
    const struct ingress_object *owner = list[0];
    if (!n) {
        free(list);
        return;
    }
    json_t *http = json_array();
    for (uint32_t i = 0; i < h->n_routes; i++) {
        const struct route *r = &h->routes[i];
        if (convert_is_hidden(h, i))
            continue;
        if (r->https_only)
            json_array_append_new(http, json_pack("{s:o,s:{s:s,s:i}}", "match", matches_of(r, true),
                                                  "redirect", "scheme", "https", "redirectCode",
                                                  convert_https_code(r)));
        json_array_append_new(http, route_of(c, r));
    }
    if (h->one_label)
        convert_lost(c, owner->key, "spec.rules",
                     "host %s stands for names of one label and more; in an Ingress for one label",
                     h->name);
    AUTO_CHARS char *word = convert_host_word(h->name);
    AUTO_CHARS char *name =
        convert_short_name(xasprintf("%s-%s-" CONVERT_SUFFIX, word, owner->name), 253);
    convert_add(c, API, "VirtualService", name, owner->namespace_,
                json_pack("{s:o,s:[s],s:o}", "gateways", gateways_of(c, list, n), "hosts", h->name,
                          "http", http));
    free(list);
}

static json_t *server(const char *name, const char *protocol, int port, json_t *hosts)
{
    return json_pack("{s:o,s:{s:s,s:i,s:s}}", "hosts", hosts, "port", "name", name, "number", port,
                     "protocol", protocol);
}

/* Those of the entry, else those of the rules. */
static json_t *tls_hosts(const struct ingress_object *i, const struct ingress_tls *tls)
{
    json_t *list = json_array();
    for (uint32_t h = 0; h < tls->n_hosts; h++)
        json_array_append_new(list, json_string(tls->hosts[h]));
    for (uint32_t r = 0; !tls->n_hosts && r < i->n_rules; r++) {
        AUTO_JSON json_t *host = json_string(*i->rules[r].host ? i->rules[r].host : "*");
        if (!json_array_has(list, host))
            json_array_append(list, host);
    }
    if (!json_array_size(list))
        json_array_append_new(list, json_string("*"));
    return list;
}

static void add_gateway(const struct conversion *c, const struct ingress_object *i)
{
    json_t *servers = json_array();
    AUTO_CHARS char *http = xasprintf("http-80-ingress-%s-%s", i->name, i->namespace_);
    AUTO_CHARS char *name = gateway_name(i);
    for (uint32_t t = 0; t < i->n_tls; t++) {
        AUTO_CHARS char *field = xasprintf("spec.tls[%u]", t);
        AUTO_CHARS char *https = xasprintf("https-443-ingress-%s-%s-%u", i->name, i->namespace_, t);
        if (!*i->tls[t].secret) {
            convert_lost(c, i->key, field,
                         "no Secret is named: a Gateway has no default certificate");
            continue;
        }
        json_t *s = server(https, "HTTPS", 443, tls_hosts(i, &i->tls[t]));
        json_object_set_new(
            s, "tls", json_pack("{s:s,s:s}", "mode", "SIMPLE", "credentialName", i->tls[t].secret));
        json_array_append_new(servers, s);
        if (strcmp(i->namespace_, c->options->gateway_namespace) != 0)
            convert_lost(c, i->key, field,
                         "Secret %s must be copied to namespace %s, where the "
                         "gateway runs",
                         i->tls[t].secret, c->options->gateway_namespace);
    }
    json_array_append_new(servers, server(http, "HTTP", 80, json_pack("[s]", "*")));
    convert_add(
        c, API, "Gateway", name, c->options->gateway_namespace,
        json_pack("{s:{s:s},s:o}", "selector", "istio", "ingressgateway", "servers", servers));
}

void convert_to_istio(struct conversion *c)
{
    for (size_t n = 0; n < c->n; n++)
        add_gateway(c, c->ingresses[n]);
    for (size_t h = 0; h < c->snapshot->n_hosts; h++)
        add_virtual_service(c, c->snapshot->sorted[h]);
}
