/* Which webhooks there are and which are asked. Pure, but for the certificates that are read. */
#include "lab/apiserver/webhook_set.h"

#include "codec/base64.h"

/* ---- the set ---- */

static void read_selector(const json_t *object, struct selector *ret, bool *ret_all, bool *ret_none)
{
    bool none = false;
    *ret_none = selector_from_object(object, ret, &none, NULL) < 0 || none;
    *ret_all = !*ret_none && !ret->n;
}

static void read_trust(struct webhook *h)
{
    const char *bundle = json_at_str(h->spec, "clientConfig.caBundle");
    AUTO_DONE(buf) struct buf pem = {0};
    struct tls_config config = {0}; /* without a bundle: the system's store */
    if (!str_empty(bundle) && base64_decode(str_from(bundle), &pem) == 0)
        config.ca_pem = buf_str(&pem);
    if (tls_context_new_client(&config, &h->tls, &h->tls_error) < 0)
        h->tls = NULL;
}

void webhook_set_add(struct webhook_set *s, const json_t *configuration, bool mutating)
{
    json_t *spec;
    size_t i;
    json_array_foreach(json_object_get(configuration, "webhooks"), i, spec)
    {
        struct webhook h = {
            .name = json_key_str(spec, "name"),
            .spec = json_incref(spec),
            .mutating = mutating,
            .fails_open = streq(json_key_str(spec, "failurePolicy"), "Ignore"),
            .exact = streq(json_key_str(spec, "matchPolicy"), "Exact"),
            .again = streq(json_key_str(spec, "reinvocationPolicy"), "IfNeeded"),
            .timeout_s = (uint64_t)json_at_int(spec, "timeoutSeconds", 10),
        };
        read_selector(json_object_get(spec, "namespaceSelector"), &h.namespaces, &h.all_namespaces,
                      &h.no_namespaces);
        read_selector(json_object_get(spec, "objectSelector"), &h.objects, &h.all_objects,
                      &h.no_objects);
        read_trust(&h);
        vec_push(s, h);
    }
}

struct webhook_set *webhook_set_ref(struct webhook_set *s)
{
    s->refs++;
    return s;
}

void webhook_set_unref(struct webhook_set *s)
{
    if (!s || --s->refs)
        return;
    for (size_t i = 0; i < s->n; i++) {
        selector_done(&s->v[i].namespaces);
        selector_done(&s->v[i].objects);
        tls_context_unref(s->v[i].tls);
        json_decref(s->v[i].spec);
    }
    vec_done(s);
    free(s);
}

/* ---- which is asked ---- */

static bool lists(const json_t *list, const char *value)
{
    json_t *v;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        if (streq(json_string_value(v), "*") || streq(json_string_value(v), value))
            return true;
    }
    return false;
}

/* "pods", "pods/status", "*", "pods/\*": a name alone is the object itself. */
static bool lists_resource(const json_t *list, const char *plural, const char *subresource)
{
    json_t *v;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        struct str sub, res = str_cut(str_from(json_string_value(v)), '/', &sub);
        if ((str_is(res, "*") || str_is(res, plural)) &&
            (sub.p ? str_is(sub, "*") || str_is(sub, subresource ? subresource : "")
                   : !subresource))
            return true;
    }
    return false;
}

static bool is_in_scope(const char *scope, const struct webhook_subject *s)
{
    bool of_cluster = !*s->ns || api_kind_is(s->kind, "Namespace");
    return !scope || streq(scope, "*") || streq(scope, of_cluster ? "Cluster" : "Namespaced");
}

static bool rules_match(const struct webhook *h, const struct webhook_subject *s,
                        const struct api_kind *k)
{
    json_t *rule;
    size_t i;
    json_array_foreach(json_object_get(h->spec, "rules"), i, rule)
    {
        if (lists(json_object_get(rule, "operations"), s->operation) &&
            lists(json_object_get(rule, "apiGroups"), k->group) &&
            lists(json_object_get(rule, "apiVersions"), k->version) &&
            lists_resource(json_object_get(rule, "resources"), k->plural, s->subresource) &&
            is_in_scope(json_key_str(rule, "scope"), s))
            return true;
    }
    return false;
}

static const json_t *labels_of(const json_t *object)
{
    return json_at(object, "metadata.labels");
}

/* A namespace is selected by its own labels; what is of the cluster has no namespace to ask. */
static bool is_namespace_selected(const struct webhook *h, const struct webhook_subject *s)
{
    const json_t *labels = s->namespace_labels;
    if (h->all_namespaces)
        return true;
    if (api_kind_is(s->kind, "Namespace"))
        labels = labels_of(s->object ? s->object : s->old);
    else if (!*s->ns)
        return true;
    return !h->no_namespaces && selector_matches_object(&h->namespaces, labels);
}

static bool is_object_selected(const struct webhook *h, const struct webhook_subject *s)
{
    if (h->all_objects)
        return true;
    return !h->no_objects &&
           ((s->object && selector_matches_object(&h->objects, labels_of(s->object))) ||
            (s->old && selector_matches_object(&h->objects, labels_of(s->old))));
}

/* Webhooks do not decide about webhooks, or nobody could ever mend a broken one. */
static bool is_exempt(const struct api_kind *k)
{
    return k->review || (!k->custom && streq(k->group, "admissionregistration.k8s.io"));
}

const struct api_kind *webhook_matches(const struct webhook *h, const struct webhook_subject *s)
{
    const struct api_kind *found = NULL;
    if (is_exempt(s->kind))
        return NULL;
    if (rules_match(h, s, s->kind))
        found = s->kind;
    for (size_t i = 0; !found && !h->exact && i < api_kinds_count(); i++) {
        const struct api_kind *k = api_kind_at(i);
        if (k != s->kind && k->plural && !k->home && api_kind_is_served(k) &&
            api_kind_index(k) == api_kind_index(s->kind) && rules_match(h, s, k))
            found = k;
    }
    return found && is_namespace_selected(h, s) && is_object_selected(h, s) ? found : NULL;
}

/* ---- what is not done ---- */

static bool is_unasked(const char *resource)
{
    static const char *const subresources[] = {"scale", "binding", "eviction", "token"};
    struct str sub;
    (void)str_cut(str_from(resource), '/', &sub);
    for (size_t i = 0; sub.p && i < ARRAY_LEN(subresources); i++)
        if (str_is(sub, subresources[i]))
            return true;
    return false;
}

static void warn_of_rule(const json_t *rule, const char *name,
                         void (*fn)(void *user, const char *text), void *user)
{
    json_t *v;
    size_t i;
    json_array_foreach(json_object_get(rule, "resources"), i, v)
    {
        const char *resource = json_string_value(v);
        AUTO_CHARS char *text =
            xasprintf("webhook %s: this lab asks nobody about %s", name, resource);
        if (is_unasked(resource))
            fn(user, text);
    }
    json_array_foreach(json_object_get(rule, "operations"), i, v)
    {
        AUTO_CHARS char *text = xasprintf("webhook %s: this lab asks nobody about CONNECT", name);
        if (streq(json_string_value(v), "CONNECT"))
            fn(user, text);
    }
}

void warn_of_webhooks(const json_t *configuration, void (*fn)(void *user, const char *text),
                      void *user)
{
    json_t *hook, *rule;
    size_t i, k;
    json_array_foreach(json_object_get(configuration, "webhooks"), i, hook)
    {
        json_array_foreach(json_object_get(hook, "rules"), k, rule)
            warn_of_rule(rule, json_key_str(hook, "name"), fn, user);
    }
}
