/* Indexes over the controllers' caches, so that a change costs what it concerns, not what there is.
 *
 * Owns, for each object, the values it is found by (and the object, so that the state before a
 * change is known), and for each value the keys of the objects that have it. Objects themselves are
 * read from the informers. Kept by the frame (controller.c) before any controller hears of a
 * change.
 */
#include "lab/controllers/controller_index.h"

#include <stdio.h>

#include "base/map.h"
#include "base/vec.h"

struct values {
    char **v;
    size_t n;
    size_t cap;
};

struct indexed {
    json_t *object;
    struct values values;
};

struct controller_index {
    struct map objects[_WATCHED_MAX]; /* key -> struct indexed */
    struct map groups;                /* value -> struct map of keys */
    json_t *before;                   /* until settled */
};

struct controller_index *controller_index_new(void)
{
    return NEW(struct controller_index);
}

static void values_done(struct values *v)
{
    VEC_FOREACH (text, v)
        free(*text);
    vec_done(v);
}

/* One namespace of values for everything: the kind, the index, the value. */
static char *value_text(enum watched kind, enum index_by by, const char *value)
{
    return xasprintf("%d %d %s", (int)kind, (int)by, value);
}

static void add_value(struct values *v, enum watched kind, enum index_by by, const char *value)
{
    vec_push(v, value_text(kind, by, value));
}

char *index_pair(const char *ns, const char *name, const char *value)
{
    return xasprintf("%s/%s=%s", ns ? ns : "", name ? name : "", value ? value : "");
}

char *index_selector(const char *ns, const json_t *match_labels)
{
    const char *least = NULL, *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)match_labels, name,
                        value) if (!least || strcmp(name, least) < 0) least = name;
    return least ? index_pair(ns, least, json_key_str(match_labels, least)) : NULL;
}

static void collect(enum watched kind, const json_t *object, struct values *ret)
{
    const char *ns = json_at_str(object, "metadata.namespace"), *name;
    json_t *ref, *value;
    size_t i;
    json_array_foreach(json_at(object, "metadata.ownerReferences"), i,
                       ref) if (json_key_str(ref, "uid"))
        add_value(ret, kind, INDEX_OWNER, json_key_str(ref, "uid"));
    if (kind == WATCHED_POD || kind == WATCHED_ENDPOINTSLICE || kind == WATCHED_REPLICASET)
        json_object_foreach(json_at(object, "metadata.labels"), name, value)
        {
            AUTO_CHARS char *pair = index_pair(ns, name, json_string_value(value));
            add_value(ret, kind, INDEX_LABEL, pair);
        }
    if (kind == WATCHED_POD || kind == WATCHED_REPLICASET ||
        kind == WATCHED_REPLICATIONCONTROLLER || kind == WATCHED_DEPLOYMENT ||
        kind == WATCHED_DAEMONSET || kind == WATCHED_JOB)
        add_value(ret, kind, INDEX_NAMESPACE, ns ? ns : "");
    if (kind == WATCHED_POD && !json_at_str(object, "spec.nodeName"))
        add_value(ret, kind, INDEX_WAITING, "");
    if (kind == WATCHED_SERVICE) {
        AUTO_CHARS char *pair = index_selector(ns, json_at(object, "spec.selector"));
        if (pair)
            add_value(ret, kind, INDEX_SELECTOR, pair);
    }
}

static bool same_values(const struct values *a, const struct values *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!streq(a->v[i], b->v[i]))
            return false;
    return true;
}

static void link_values(struct controller_index *ix, const struct values *values, const char *key)
{
    static char present; /* a map keeps no empty values */
    VEC_FOREACH (text, values) {
        struct map *group = map_find_cstr(&ix->groups, *text);
        if (!group) {
            group = NEW(struct map);
            map_put_cstr(&ix->groups, *text, group);
        }
        map_put_cstr(group, key, &present);
    }
}

static void unlink_values(struct controller_index *ix, const struct values *values, const char *key)
{
    VEC_FOREACH (text, values) {
        struct map *group = map_find_cstr(&ix->groups, *text);
        if (!group)
            continue; /* the same value twice on one object */
        map_remove_cstr(group, key);
        if (group->used)
            continue;
        map_remove_cstr(&ix->groups, *text);
        map_done(group);
        free(group);
    }
}

void controller_index_put(struct controller_index *ix, enum watched kind, json_t *object,
                          const json_t **ret_before)
{
    char key[512];
    struct values values = {0};
    object_key(object, key);
    struct indexed *x = map_find_cstr(&ix->objects[kind], key);
    controller_index_settle(ix);
    collect(kind, object, &values);
    if (!x) {
        x = NEW(struct indexed);
        map_put_cstr(&ix->objects[kind], key, x);
    }
    ix->before = x->object;
    x->object = json_incref(object);
    *ret_before = ix->before;
    if (same_values(&x->values, &values)) {
        values_done(&values);
        return;
    }
    unlink_values(ix, &x->values, key);
    values_done(&x->values);
    x->values = values;
    link_values(ix, &x->values, key);
}

static void indexed_free(struct indexed *x)
{
    values_done(&x->values);
    json_decref(x->object);
    free(x);
}

void controller_index_remove(struct controller_index *ix, enum watched kind, const char *key)
{
    struct indexed *x = map_remove_cstr(&ix->objects[kind], key);
    if (!x)
        return;
    unlink_values(ix, &x->values, key);
    indexed_free(x);
}

void controller_index_settle(struct controller_index *ix)
{
    json_decref(TAKE(ix->before));
}

bool controller_index_next(const struct controller_index *ix, enum watched kind, enum index_by by,
                           const char *value, size_t *at, struct str *ret_key)
{
    if (!value)
        return false;
    AUTO_CHARS char *text = value_text(kind, by, value);
    const struct map *group = map_find_cstr(&ix->groups, text);
    return group && map_next(group, at, ret_key, NULL);
}

void controller_index_free(struct controller_index *ix)
{
    void *value;
    if (!ix)
        return;
    controller_index_settle(ix);
    for (int k = 0; k < _WATCHED_MAX; k++) {
        for (size_t at = 0; map_next(&ix->objects[k], &at, NULL, &value);)
            indexed_free(value);
        map_done(&ix->objects[k]);
    }
    for (size_t at = 0; map_next(&ix->groups, &at, NULL, &value);) {
        map_done(value);
        free(value);
    }
    map_done(&ix->groups);
    free(ix);
}
