/* By key; there are few, so they are all looked at for a pod. */
#include "model/proxy_settings.h"

#include "base/map.h"

struct proxy_settings {
    struct istio_object o;
    const json_t *labels; /* NULL: of its whole namespace */
};

struct proxy_settings_table {
    struct map all; /* key -> struct proxy_settings */
    char *root;
};

static void settings_free(struct proxy_settings *s)
{
    if (s)
        istio_object_done(&s->o);
    free(s);
}

static void check(struct proxy_settings *s)
{
    AUTO_DONE(object_reader)
    struct object_reader r = {
        .findings = &s->o.findings, .object = s->o.key, .id = "ProxyConfigInvalid"};
    size_t mark = reader_enter(&r, "spec");
    const char *type = json_key_str(json_object_get(s->o.spec, "image"), "imageType");
    struct inject_config scratch = {0};
    inject_config_lay(s->o.spec, &r, &scratch);
    inject_config_done(&scratch);
    if (!str_empty(type))
        reader_warn(&r, "image.imageType", "annotate the pods: sidecar.istio.io/proxyImage",
                    "has no effect: there is one image of the proxy");
    reader_leave(&r, mark);
}

const struct istio_object *proxy_settings_put(struct proxy_settings_table *t, const json_t *j)
{
    struct proxy_settings *s = NEW(struct proxy_settings);
    if (!istio_object_decode(j, &s->o)) {
        settings_free(s);
        return NULL;
    }
    const json_t *labels = json_at(s->o.spec, "selector.matchLabels");
    s->labels = json_object_size(labels) ? labels : NULL;
    check(s);
    settings_free(map_put_cstr(&t->all, s->o.key, s));
    return &s->o;
}

void proxy_settings_remove(struct proxy_settings_table *t, struct str key)
{
    settings_free(map_remove(&t->all, key));
}

static bool fits(const json_t *wanted, const json_t *labels)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)wanted, key,
                        value) if (!json_equal(json_object_get(labels, key), value)) return false;
    return true;
}

static void older(const struct proxy_settings **best, const struct proxy_settings *s)
{
    if (!*best || istio_object_compare(&s->o, &(*best)->o) < 0)
        *best = s;
}

void proxy_settings_find(const struct proxy_settings_table *t, struct str ns, const json_t *labels,
                         struct inject_settings *ret)
{
    const struct proxy_settings *mesh = NULL, *of = NULL, *own = NULL;
    void *p;
    for (size_t at = 0; map_next(&t->all, &at, NULL, &p);) {
        const struct proxy_settings *s = p;
        bool here = str_is(ns, s->o.ns);
        if (!s->labels && streq(s->o.ns, t->root))
            older(&mesh, s);
        else if (!s->labels && here)
            older(&of, s);
        else if (s->labels && here && fits(s->labels, labels))
            older(&own, s);
    }
    *ret = (struct inject_settings){{mesh ? mesh->o.spec : NULL, of ? of->o.spec : NULL},
                                    own ? own->o.spec : NULL};
}

struct proxy_settings_table *proxy_settings_new(const char *root_namespace)
{
    struct proxy_settings_table *t = NEW(struct proxy_settings_table);
    t->root = xstrdup(root_namespace ? root_namespace : "");
    return t;
}

void proxy_settings_free(struct proxy_settings_table *t)
{
    void *p;
    if (!t)
        return;
    for (size_t at = 0; map_next(&t->all, &at, NULL, &p);)
        settings_free(p);
    map_done(&t->all);
    free(t->root);
    free(t);
}
