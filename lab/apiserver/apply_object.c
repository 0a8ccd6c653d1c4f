/* Walks over objects by their shapes (apply_type.h). Depth is bounded by the body's
 * (codec/json.h); lists are matched by their elements' keys as text, in a map, so that long lists
 * cost no square. Pure, on trees. */
#include "lab/apiserver/apply_object.h"

#include <errno.h>

#include "base/map.h"
#include "base/vec.h"

/* The elements of a list by their keys, in order. */
struct elements {
    struct map by_key; /* key -> element */
    VEC(char *) keys;
};

static void elements_read(struct elements *e, const struct apply_type *t, enum apply_shape shape,
                          const json_t *list)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        char *key = apply_element_key(t, shape, item);
        if (!map_find_cstr(&e->by_key, key))
            map_put_cstr(&e->by_key, key, item);
        vec_push(&e->keys, key);
    }
}

static void elements_done(struct elements *e)
{
    map_done(&e->by_key);
    VEC_FOREACH (k, &e->keys)
        free(*k);
    vec_done(&e->keys);
}

static struct fields *member(struct fields *f, const char *name)
{
    AUTO_CHARS char *key = xasprintf("f:%s", name);
    return fields_child(f, key);
}

static const struct fields *find_member(const struct fields *f, const char *name)
{
    AUTO_CHARS char *key = xasprintf("f:%s", name);
    return fields_find(f, key);
}

/* ---- all fields ---- */

static int fields_of(const struct apply_type *t, const json_t *v, struct fields *set,
                     struct buf *path, struct err *reterr);

static int list_fields(const struct apply_type *t, enum apply_shape shape, const json_t *list,
                       struct fields *set, struct buf *path, struct err *reterr)
{
    const struct apply_type of = apply_items(t);
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        AUTO_CHARS char *key = apply_element_key(t, shape, item);
        struct fields *child = fields_child(set, key);
        if (child->in) {
            AUTO_DONE(buf) struct buf step = {0};
            fields_step(&step, key);
            return err_set(reterr, -EINVAL, NULL, "duplicate entries for key %s", buf_cstr(&step));
        }
        child->in = true;
        int code = shape == APPLY_KEYED ? fields_of(&of, item, child, path, reterr) : 0;
        if (code < 0)
            return code;
    }
    return 0;
}

/* On the way back from an error: where it was. */
static int add_path(struct buf *path, const char *name, int code)
{
    AUTO_CHARS char *rest = xstrdup(buf_cstr(path));
    buf_clear(path);
    buf_addf(path, ".%s%s", name, rest);
    return code;
}

static int fields_of(const struct apply_type *t, const json_t *v, struct fields *set,
                     struct buf *path, struct err *reterr)
{
    enum apply_shape shape = apply_shape(t, v);
    const char *name;
    json_t *value;
    if (shape == APPLY_LEAF || (!json_object_size(v) && !json_array_size(v))) {
        set->in = true;
        return 0;
    }
    if (shape != APPLY_MAP)
        return list_fields(t, shape, v, set, path, reterr);
    json_object_foreach((json_t *)(uintptr_t)v, name, value)
    {
        const struct apply_type of = apply_member(t, name);
        struct fields *child = member(set, name);
        child->in = !apply_is_declared(t, name);
        int code = fields_of(&of, value, child, path, reterr);
        if (code < 0)
            return add_path(path, name, code);
    }
    return 0;
}

int apply_fields(const struct apply_type *t, const json_t *object, struct fields *set,
                 struct err *reterr)
{
    AUTO_DONE(buf) struct buf path = {0};
    struct err err = {0};
    int code = fields_of(t, object, set, &path, &err);
    if (code < 0 && reterr)
        (void)err_set(reterr, code, NULL, "%s: %s", buf_cstr(&path), err.msg);
    return code;
}

/* ---- what differs ---- */

static struct apply_changes changes_of(const struct apply_changes *c, const char *key)
{
    return (struct apply_changes){c->added ? fields_child(c->added, key) : NULL,
                                  c->modified ? fields_child(c->modified, key) : NULL,
                                  c->removed ? fields_child(c->removed, key) : NULL};
}

/* Children that were made and got nothing go again. */
static void trim(struct fields *f, const char *key)
{
    if (f && fields_is_empty(fields_find(f, key)))
        fields_drop(f, key);
}

static void compare_child(const struct apply_type *of, const json_t *before, const json_t *now,
                          const struct apply_changes *c, const char *key)
{
    struct apply_changes inner = changes_of(c, key);
    apply_compare(of, before, now, &inner);
    trim(c->added, key);
    trim(c->modified, key);
    trim(c->removed, key);
}

static void compare_members(const struct apply_type *t, const json_t *before, const json_t *now,
                            const struct apply_changes *c)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)now, name, value)
    {
        AUTO_CHARS char *key = xasprintf("f:%s", name);
        const struct apply_type of = apply_member(t, name);
        compare_child(&of, json_object_get(before, name), value, c, key);
    }
    json_object_foreach((json_t *)(uintptr_t)before, name, value)
    {
        AUTO_CHARS char *key = xasprintf("f:%s", name);
        const struct apply_type of = apply_member(t, name);
        if (!json_object_get(now, name))
            compare_child(&of, value, NULL, c, key);
    }
}

static void compare_elements(const struct apply_type *t, enum apply_shape shape,
                             const json_t *before, const json_t *now, const struct apply_changes *c)
{
    struct elements was = {0}, is = {0};
    const struct apply_type of = shape == APPLY_KEYED ? apply_items(t) : (struct apply_type){0};
    elements_read(&was, t, shape, before);
    elements_read(&is, t, shape, now);
    VEC_FOREACH (key, &is.keys)
        compare_child(&of, map_find_cstr(&was.by_key, *key), map_find_cstr(&is.by_key, *key), c,
                      *key);
    VEC_FOREACH (key, &was.keys)
        if (!map_find_cstr(&is.by_key, *key))
            compare_child(&of, map_find_cstr(&was.by_key, *key), NULL, c, *key);
    elements_done(&was);
    elements_done(&is);
}

static void mark(struct fields *f)
{
    if (f)
        f->in = true;
}

void apply_compare(const struct apply_type *t, const json_t *before, const json_t *now,
                   const struct apply_changes *c)
{
    enum apply_shape shape = apply_shape(t, now ? now : before);
    if (before && now) {
        if (json_equal(before, now))
            return;
        if (shape == APPLY_LEAF || apply_shape(t, before) != shape) {
            mark(c->modified);
            return;
        }
    } else if (!(shape != APPLY_LEAF && t->always &&
                 (json_object_size(now ? now : before) || json_array_size(now ? now : before)))) {
        /* a part that is always there is neither new nor gone, what is in it may be */
        mark(now ? c->added : c->removed);
    }
    if (shape == APPLY_MAP)
        compare_members(t, before, now, c);
    else if (shape != APPLY_LEAF)
        compare_elements(t, shape, before, now, c);
}

/* ---- merging ---- */

static json_t *merged(const struct apply_type *t, json_t *live, const json_t *config);

static void merge_members(const struct apply_type *t, json_t *live, const json_t *config)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)config, name, value)
    {
        const struct apply_type of = apply_member(t, name);
        json_object_set_new(live, name, merged(&of, json_object_get(live, name), value));
    }
}

/* What only the live list has keeps its place, the rest comes in the order of what is applied. */
static json_t *merge_elements(const struct apply_type *t, enum apply_shape shape,
                              const json_t *live, const json_t *config)
{
    struct elements l = {0}, r = {0};
    const struct apply_type of = shape == APPLY_KEYED ? apply_items(t) : (struct apply_type){0};
    json_t *list = json_array();
    elements_read(&l, t, shape, live);
    elements_read(&r, t, shape, config);
    for (size_t i = 0, k = 0; i < l.keys.n || k < r.keys.n;) {
        const char *own = i < l.keys.n ? l.keys.v[i] : NULL;
        if (own && !map_find_cstr(&r.by_key, own)) {
            json_array_append(list, json_array_get(live, i++));
            continue;
        }
        if (k < r.keys.n) {
            json_t *old = map_find_cstr(&l.by_key, r.keys.v[k]);
            json_array_append_new(list, merged(&of, old, json_array_get(config, k++)));
        }
        i += i < l.keys.n; /* it stands where the applied list has it */
    }
    elements_done(&l);
    elements_done(&r);
    return list;
}

/* A new reference; live may be changed and be it. */
static json_t *merged(const struct apply_type *t, json_t *live, const json_t *config)
{
    enum apply_shape shape = apply_shape(t, config);
    if (!live || shape == APPLY_LEAF || apply_shape(t, live) != shape)
        return json_deep_copy(config);
    if (shape != APPLY_MAP)
        return merge_elements(t, shape, live, config);
    merge_members(t, live, config);
    return json_incref(live);
}

void apply_merge(const struct apply_type *t, json_t *live, const json_t *config)
{
    merge_members(t, live, config);
}

/* ---- taking out ---- */

static void remove_elements(const struct apply_type *t, enum apply_shape shape, json_t *list,
                            const struct fields *set)
{
    const struct apply_type of = apply_items(t);
    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *item = json_array_get(list, i);
        AUTO_CHARS char *key = apply_element_key(t, shape, item);
        const struct fields *of_set = fields_find(set, key);
        if (of_set && of_set->in)
            json_array_remove(list, i);
        else if (of_set && shape == APPLY_KEYED)
            apply_remove(&of, item, of_set);
    }
}

void apply_remove(const struct apply_type *t, json_t *v, const struct fields *set)
{
    enum apply_shape shape = apply_shape(t, v);
    const char *name;
    json_t *value;
    void *next;
    if (shape == APPLY_SET || shape == APPLY_KEYED)
        remove_elements(t, shape, v, set);
    if (shape != APPLY_MAP)
        return;
    json_object_foreach_safe(v, next, name, value)
    {
        const struct fields *of_set = find_member(set, name);
        const struct apply_type of = apply_member(t, name);
        if (of_set && of_set->in) {
            json_object_del(v, name);
        } else if (of_set) {
            apply_remove(&of, value, of_set);
        }
    }
}
