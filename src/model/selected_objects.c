#include "model/selected_objects.h"

struct entry {
    struct selected holds;
    struct selected told; /* a later form that cannot be read */
};

/* Those of a namespace, by name. */
struct entries {
    VEC(struct entry) v;
};

struct selected_objects {
    const struct selected_kind *kind;
    char *root;
    struct map namespaces; /* name -> struct entries */
};

struct selected_objects *selected_objects_new(const struct selected_kind *kind, const char *root)
{
    struct selected_objects *t = NEW(struct selected_objects);
    t->kind = kind;
    t->root = xstrdup(root);
    return t;
}

static void entry_done(const struct selected_objects *t, struct entry *e)
{
    t->kind->free(e->holds.object);
    t->kind->free(e->told.object);
}

void selected_objects_free(struct selected_objects *t)
{
    void *p;
    if (!t)
        return;
    for (size_t at = 0; map_next(&t->namespaces, &at, NULL, &p);) {
        struct entries *list = p;
        VEC_FOREACH (e, &list->v)
            entry_done(t, e);
        vec_done(&list->v);
        free(list);
    }
    map_done(&t->namespaces);
    free(t->root);
    free(t);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->holds.o->name,
                  ((const struct entry *)b)->holds.o->name);
}

static struct entry *find(struct entries *list, struct str key)
{
    for (size_t i = 0; list && i < list->v.n; i++)
        if (str_is(key, list->v.v[i].holds.o->key))
            return &list->v.v[i];
    return NULL;
}

const struct istio_object *selected_objects_put(struct selected_objects *t, const json_t *j)
{
    struct selected s = t->kind->decode(j);
    if (!s.object)
        return NULL;
    struct entries *list = map_find_cstr(&t->namespaces, s.o->ns);
    struct entry *e = find(list, str_from(s.o->key));
    if (!list) {
        list = NEW(struct entries);
        map_put_cstr(&t->namespaces, s.o->ns, list);
    }
    if (!e) {
        vec_push(&list->v, (struct entry){s, {NULL, NULL, NULL, false, false}});
        qsort(list->v.v, list->v.n, sizeof(*list->v.v), by_name);
    } else if (s.broken && !e->holds.broken) {
        t->kind->free(e->told.object);
        e->told = s;
    } else {
        entry_done(t, e);
        *e = (struct entry){s, {NULL, NULL, NULL, false, false}};
    }
    return s.o;
}

void selected_objects_remove(struct selected_objects *t, struct str key)
{
    struct str name, ns = str_cut(key, '/', &name);
    struct entries *list = map_find(&t->namespaces, ns);
    struct entry *e = find(list, key);
    if (!e)
        return;
    entry_done(t, e);
    vec_remove(&list->v, (size_t)(e - list->v.v));
    if (list->v.n)
        return;
    map_remove(&t->namespaces, ns);
    vec_done(&list->v);
    free(list);
}

bool selected_objects_is_root(const struct selected_objects *t, struct str ns)
{
    return str_is(ns, t->root);
}

static void find_in(const struct selected_objects *t, struct str ns, const struct workloads *pods,
                    const struct workload *pod, void (*add)(const void *object, void *user),
                    void *user)
{
    const struct entries *list = map_find(&t->namespaces, ns);
    for (size_t i = 0; list && i < list->v.n; i++) {
        const struct selected *s = &list->v.v[i].holds;
        if (!s->nobodys && (!s->labels || (pod && workload_has_labels(pods, pod, s->labels))))
            add(s->object, user);
    }
}

void selected_objects_each(const struct selected_objects *t,
                           void (*add)(const void *object, void *user), void *user)
{
    void *list;
    for (size_t at = 0; map_next(&t->namespaces, &at, NULL, &list);)
        VEC_FOREACH (e, &((const struct entries *)list)->v)
            add(e->holds.object, user);
}

void selected_objects_find(const struct selected_objects *t, struct str ns,
                           const struct workloads *pods, const struct workload *pod,
                           void (*add)(const void *object, void *user), void *user)
{
    find_in(t, str_from(t->root), pods, pod, add, user);
    if (!str_is(ns, t->root))
        find_in(t, ns, pods, pod, add, user);
}
