/* Decoders of Ingress and IngressClass. Pure; nothing here fails. */
#include "kube/ingress.h"

#include "base/time.h"

static char *text_or_null(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

static char *text_or_empty(const char *s)
{
    return xstrdup(s ? s : "");
}

/* ---- backends ---- */

static struct ingress_backend decode_backend(const json_t *j)
{
    struct ingress_backend b = {0};
    const char *name = json_at_str(j, "service.name");
    int64_t port = json_at_int(j, "service.port.number", 0);
    b.resource = json_at(j, "resource") != NULL;
    if (str_empty(name))
        return b;
    b.service = xstrdup(name);
    b.port_name = text_or_null(json_at_str(j, "service.port.name"));
    b.port = port >= 1 && port <= 65535 ? (uint16_t)port : 0;
    return b;
}

static void backend_done(struct ingress_backend *b)
{
    free(b->service);
    free(b->port_name);
}

bool ingress_backend_is_set(const struct ingress_backend *b)
{
    return b->service || b->resource;
}

/* ---- rules ---- */

/* How many of a list are taken. */
static size_t list_n(struct ingress_object *i, const json_t *list)
{
    size_t n = json_array_size(list);
    i->truncated = i->truncated || n > INGRESS_RULES_MAX;
    return MIN(n, (size_t)INGRESS_RULES_MAX);
}

static enum ingress_path_type path_type_of(const char *type)
{
    return streq(type, "Exact")    ? INGRESS_PATH_EXACT
           : streq(type, "Prefix") ? INGRESS_PATH_PREFIX
                                   : INGRESS_PATH_IMPLEMENTATION;
}

static void decode_rules(struct ingress_object *i, const json_t *rules)
{
    size_t n = list_n(i, rules);
    i->rules = xcalloc(n + 1, sizeof(*i->rules));
    for (; i->n_rules < n; i->n_rules++) {
        const json_t *from = json_array_get(rules, i->n_rules),
                     *paths = json_at(from, "http.paths");
        struct ingress_rule *r = &i->rules[i->n_rules];
        size_t m = list_n(i, paths);
        r->host = text_or_empty(json_at_str(from, "host"));
        r->paths = xcalloc(m + 1, sizeof(*r->paths));
        for (; r->n_paths < m; r->n_paths++) {
            const json_t *p = json_array_get(paths, r->n_paths);
            r->paths[r->n_paths] =
                (struct ingress_path){.path = text_or_empty(json_at_str(p, "path")),
                                      .type = path_type_of(json_at_str(p, "pathType")),
                                      .backend = decode_backend(json_at(p, "backend"))};
        }
    }
}

static void decode_tls(struct ingress_object *i, const json_t *list)
{
    size_t n = list_n(i, list);
    i->tls = xcalloc(n + 1, sizeof(*i->tls));
    for (; i->n_tls < n; i->n_tls++) {
        const json_t *from = json_array_get(list, i->n_tls), *hosts = json_at(from, "hosts");
        struct ingress_tls *t = &i->tls[i->n_tls];
        size_t m = list_n(i, hosts);
        t->secret = text_or_empty(json_at_str(from, "secretName"));
        t->hosts = xcalloc(m + 1, sizeof(*t->hosts));
        for (size_t k = 0; k < m; k++) {
            const char *host = json_string_value(json_array_get(hosts, k));
            if (host)
                t->hosts[t->n_hosts++] = xstrdup(host);
        }
    }
}

static void decode_annotations(struct ingress_object *i, const json_t *annotations)
{
    const size_t prefix_n = sizeof(INGRESS_NGINX_PREFIX) - 1;
    const char *name;
    json_t *value;
    size_t n = MIN(json_object_size(annotations), (size_t)INGRESS_ANNOTATIONS_MAX);
    i->class_annotation = text_or_null(json_key_str(annotations, "kubernetes.io/ingress.class"));
    i->truncated = i->truncated || n < json_object_size(annotations);
    i->annotations = xcalloc(n + 1, sizeof(*i->annotations));
    json_object_foreach((json_t *)(uintptr_t)annotations, name, value)
    {
        if (i->n_annotations < n && strncmp(name, INGRESS_NGINX_PREFIX, prefix_n) == 0 &&
            json_is_string(value))
            i->annotations[i->n_annotations++] = (struct ingress_annotation){
                xstrdup(name + prefix_n), xstrdup(json_string_value(value))};
    }
}

struct ingress_object *ingress_object_decode(const json_t *j)
{
    const char *name = json_at_str(j, "metadata.name"), *ns = json_at_str(j, "metadata.namespace"),
               *created = json_at_str(j, "metadata.creationTimestamp");
    int64_t created_us = 0;
    if (str_empty(name))
        return NULL;
    struct ingress_object *i = NEW(struct ingress_object);
    i->namespace_ = text_or_empty(ns);
    i->name = xstrdup(name);
    i->key = xasprintf("%s/%s", i->namespace_, name);
    i->uid = text_or_empty(json_at_str(j, "metadata.uid"));
    if (created && time_parse_rfc3339(str_from(created), &created_us) == 0)
        i->created_s = created_us / 1000000;
    i->class_ = text_or_null(json_at_str(j, "spec.ingressClassName"));
    i->default_backend = decode_backend(json_at(j, "spec.defaultBackend"));
    decode_rules(i, json_at(j, "spec.rules"));
    decode_tls(i, json_at(j, "spec.tls"));
    decode_annotations(i, json_at(j, "metadata.annotations"));
    return i;
}

void ingress_object_free(struct ingress_object *i)
{
    if (!i)
        return;
    for (uint32_t r = 0; r < i->n_rules; r++) {
        for (uint32_t p = 0; p < i->rules[r].n_paths; p++) {
            free(i->rules[r].paths[p].path);
            backend_done(&i->rules[r].paths[p].backend);
        }
        free(i->rules[r].paths);
        free(i->rules[r].host);
    }
    for (uint32_t t = 0; t < i->n_tls; t++) {
        for (uint32_t h = 0; h < i->tls[t].n_hosts; h++)
            free(i->tls[t].hosts[h]);
        free(i->tls[t].hosts);
        free(i->tls[t].secret);
    }
    for (uint32_t a = 0; a < i->n_annotations; a++) {
        free(i->annotations[a].name);
        free(i->annotations[a].value);
    }
    backend_done(&i->default_backend);
    free(i->rules);
    free(i->tls);
    free(i->annotations);
    free(i->key);
    free(i->namespace_);
    free(i->name);
    free(i->uid);
    free(i->class_);
    free(i->class_annotation);
    free(i);
}

const char *ingress_annotation(const struct ingress_object *i, const char *name)
{
    for (uint32_t a = 0; a < i->n_annotations; a++)
        if (streq(i->annotations[a].name, name))
            return i->annotations[a].value;
    return NULL;
}

/* ---- classes ---- */

struct ingress_class *ingress_class_decode(const json_t *j)
{
    const char *name = json_at_str(j, "metadata.name");
    if (str_empty(name))
        return NULL;
    struct ingress_class *c = NEW(struct ingress_class);
    c->name = xstrdup(name);
    c->controller = text_or_empty(json_at_str(j, "spec.controller"));
    c->is_default = streq(json_key_str(json_at(j, "metadata.annotations"),
                                       "ingressclass.kubernetes.io/is-default-class"),
                          "true");
    const json_t *parameters = json_at(j, "spec.parameters");
    if (json_is_object(parameters))
        c->parameters = xasprintf("%.63s %.253s", json_key_str(parameters, "kind") ?: "?",
                                  json_key_str(parameters, "name") ?: "?");
    return c;
}

void ingress_class_free(struct ingress_class *c)
{
    if (!c)
        return;
    free(c->name);
    free(c->controller);
    free(c->parameters);
    free(c);
}
