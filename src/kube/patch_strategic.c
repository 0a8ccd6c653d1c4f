/* Strategic merge patch: lists are merged by the keys that the tables name, and four directives
 * steer it: $patch (delete, replace, merge), $retainKeys, $setElementOrder/LIST and
 * $deleteFromPrimitiveList/LIST.
 *
 * The order of a merged list: what the patch orders comes in its order, what only the server knows
 * keeps its place relative to its old neighbours. Recursion is bounded by the depth of the patch
 * (codec/json.h); elements compared are counted. */
#include "kube/patch.h"

#include <errno.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/vec.h"

#define ORDER_PREFIX  "$setElementOrder/"
#define DELETE_PREFIX "$deleteFromPrimitiveList/"

/* Finding an element by its key costs a look at each: a patch may cost so many in all. */
enum { COMPARISONS_MAX = 20 * 1000 * 1000 };

struct merge {
    struct err *reterr;
    size_t left;
};

static int merge_object(const struct schema *s, json_t *object, const json_t *patch,
                        struct merge *m);

static bool is_directive(const char *key)
{
    return streq(key, "$patch") || streq(key, "$retainKeys") ||
           str_starts(str_from(key), STR(ORDER_PREFIX)) ||
           str_starts(str_from(key), STR(DELETE_PREFIX));
}

/* Where value (a primitive, or an object with the same merge key) stands in list; SIZE_MAX =
 * nowhere. */
static size_t find_element(struct merge *m, const json_t *list, const char *key,
                           const json_t *value)
{
    size_t i;
    json_t *item;
    const json_t *want = key ? json_object_get(value, key) : value;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        const json_t *have = key ? json_object_get(item, key) : item;
        if (!m->left)
            return SIZE_MAX;
        m->left--;
        if (have && want && json_equal(have, want))
            return i;
    }
    return SIZE_MAX;
}

/* What an element is known by, as text; owned, NULL = nothing. */
static char *key_text(const char *merge_key, const json_t *element)
{
    const json_t *key = merge_key ? json_object_get(element, merge_key) : element;
    return key ? json_dumps(key, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_COMPACT) : NULL;
}

static int no_merge_key(const char *key, struct merge *m)
{
    return err_set(m->reterr, -EINVAL, NULL, "map: map[] does not contain declared merge key: %s",
                   key);
}

static int merge_element(const struct schema_field *f, json_t *list, const json_t *item,
                         struct merge *m)
{
    const char *directive = json_key_str(item, "$patch");
    if (!f->merge_key) {
        if (find_element(m, list, NULL, item) == SIZE_MAX)
            json_array_append_new(list, json_deep_copy(item));
        return 0;
    }
    if (!json_is_object(item))
        return err_set(m->reterr, -EINVAL, f->name,
                       "an element of a strategic merge patch must be an object");
    if (streq(directive, "replace"))
        return 0;
    if (!json_object_get(item, f->merge_key))
        return no_merge_key(f->merge_key, m);
    size_t at = find_element(m, list, f->merge_key, item);
    if (streq(directive, "delete")) {
        for (; at != SIZE_MAX; at = find_element(m, list, f->merge_key, item))
            json_array_remove(list, at);
        return 0;
    }
    if (at != SIZE_MAX)
        return merge_object(f->of, json_array_get(list, at), item, m);
    json_t *fresh = json_object();
    json_array_append_new(list, fresh);
    return merge_object(f->of, fresh, item, m);
}

static int merge_list(const struct schema_field *f, json_t *list, const json_t *patch,
                      struct merge *m)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)patch, i,
                       item) if (f->merge_key && streq(json_key_str(item, "$patch"), "replace"))
        json_array_clear(list);
    json_array_foreach((json_t *)(uintptr_t)patch, i, item)
    {
        int code = merge_element(f, list, item, m);
        if (code < 0)
            return code;
    }
    return 0;
}

static int retain_keys(json_t *object, const json_t *patch, struct merge *m)
{
    const json_t *keep = json_object_get(patch, "$retainKeys");
    const char *key;
    json_t *v;
    void *tmp;
    if (!keep)
        return 0;
    if (!json_is_array(keep))
        return err_set(m->reterr, -EINVAL, NULL,
                       "invalid patch format: $retainKeys must be a list");
    json_object_foreach_safe(object, tmp, key, v)
    {
        AUTO_JSON json_t *name = json_string(key);
        if (find_element(m, keep, NULL, name) == SIZE_MAX)
            json_object_del(object, key);
    }
    return 0;
}

static void delete_primitives(struct merge *m, json_t *object, const json_t *patch)
{
    const char *key;
    json_t *values, *item;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)patch, key, values)
    {
        if (!str_starts(str_from(key), STR(DELETE_PREFIX)))
            continue;
        json_t *list = json_object_get(object, key + strlen(DELETE_PREFIX));
        json_array_foreach(values, i, item)
        {
            size_t at = find_element(m, list, NULL, item);
            if (at != SIZE_MAX)
                json_array_remove(list, at);
        }
    }
}

/* The first place of each key in a list, from 1. */
static void places_of(const char *merge_key, const json_t *list, struct map *ret)
{
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        AUTO_CHARS char *key = key_text(merge_key, item);
        if (key && !map_find(ret, str_from(key)))
            map_put(ret, str_from(key), (void *)(uintptr_t)(i + 1));
    }
}

struct placed {
    json_t *item;
    size_t rank, at; /* in the order (0 = not named), in the list */
    size_t was;      /* before (0 = new) */
};

static int by_rank(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Merges the elements that order names (in its order; several may have one key: a Service's ports
 * of two protocols) with the others, which keep their old neighbourhood. */
static void order_list(const char *merge_key, json_t *list, const json_t *before,
                       const json_t *order)
{
    struct map ranks = {0}, places = {0};
    VEC(struct placed) named = {0}, others = {0};
    json_t *item;
    size_t i, a = 0, b = 0;
    places_of(merge_key, order, &ranks);
    places_of(merge_key, before, &places);
    json_array_foreach(list, i, item)
    {
        AUTO_CHARS char *key = key_text(merge_key, item);
        struct str k = str_from(key ? key : "");
        struct placed p = {json_incref(item), (uintptr_t)map_find(&ranks, k), i,
                           (uintptr_t)map_find(&places, k)};
        if (p.rank)
            vec_push(&named, p);
        else
            vec_push(&others, p);
    }
    if (named.n)
        qsort(named.v, named.n, sizeof(*named.v), by_rank);
    json_array_clear(list);
    while (a < named.n || b < others.n) {
        bool other =
            a == named.n || (b < others.n && others.v[b].was && named.v[a].was > others.v[b].was);
        json_array_append_new(list, other ? others.v[b++].item : named.v[a++].item);
    }
    vec_done(&named);
    vec_done(&others);
    map_done(&ranks);
    map_done(&places);
}

static void set_orders(const struct schema *s, json_t *object, const json_t *before,
                       const json_t *patch)
{
    const char *key;
    json_t *order;
    json_object_foreach((json_t *)(uintptr_t)patch, key, order)
    {
        if (!str_starts(str_from(key), STR(ORDER_PREFIX)) || !json_is_array(order))
            continue;
        const char *name = key + strlen(ORDER_PREFIX);
        const struct schema_field *f = s ? schema_find(s, str_from(name)) : NULL;
        json_t *list = json_object_get(object, name);
        if (f && f->patch_merge && json_is_array(list))
            order_list(f->merge_key, list, json_object_get(before, name), order);
    }
}

static const json_t *order_of(const json_t *patch, const char *list)
{
    AUTO_CHARS char *directive = xasprintf(ORDER_PREFIX "%s", list);
    return json_object_get(patch, directive);
}

/* The lists that the patch orders, as they were: merging does not change an element's key. */
static json_t *lists_before(const json_t *object, const json_t *patch)
{
    json_t *before = NULL, *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)patch, key, v)
    {
        if (!str_starts(str_from(key), STR(ORDER_PREFIX)))
            continue;
        const char *name = key + strlen(ORDER_PREFIX);
        before = before ? before : json_object();
        json_object_set_new(before, name, json_copy(json_object_get(object, name)));
    }
    return before;
}

/* Members of the patch that are absent in the object still lose their directives and nulls: merging
 * into an empty value does that. */
static int merge_member(const struct schema *s, json_t *object, const char *key, const json_t *v,
                        const json_t *patch, struct merge *m)
{
    const struct schema_field *f = s ? schema_find(s, str_from(key)) : NULL;
    json_t *at = json_object_get(object, key);
    if (json_is_object(v) && !(f && f->shape == SHAPE_LIST)) {
        if (!json_is_object(at)) {
            at = json_object();
            json_object_set_new(object, key, at);
        }
        return merge_object(f && f->type == FIELD_OBJECT ? f->of : NULL, at, v, m);
    }
    if (json_is_array(v) && f && f->patch_merge) {
        if (!json_is_array(at)) {
            at = json_array();
            json_object_set_new(object, key, at);
        }
        AUTO_JSON json_t *before = json_copy(at);
        int code = merge_list(f, at, v, m);
        if (code == 0 && !order_of(patch, key))
            order_list(f->merge_key, at, before, v);
        return code;
    }
    json_object_set_new(object, key, json_deep_copy(v));
    return 0;
}

static int merge_object(const struct schema *s, json_t *object, const json_t *patch,
                        struct merge *m)
{
    const char *directive = json_key_str(patch, "$patch");
    const char *key;
    json_t *v;
    if (directive && !streq(directive, "delete") && !streq(directive, "replace") &&
        !streq(directive, "merge"))
        return err_set(m->reterr, -EINVAL, NULL, "Unknown patch type %.40s in patch", directive);
    if (streq(directive, "delete") || streq(directive, "replace"))
        json_object_clear(object);
    if (streq(directive, "delete"))
        return 0;
    AUTO_JSON json_t *before = lists_before(object, patch);
    int code = retain_keys(object, patch, m);
    if (code < 0)
        return code;
    delete_primitives(m, object, patch);
    json_object_foreach((json_t *)(uintptr_t)patch, key, v)
    {
        if (is_directive(key))
            continue;
        if (json_is_null(v)) {
            json_object_del(object, key);
            continue;
        }
        code = merge_member(s, object, key, v, patch, m);
        if (code < 0)
            return code;
    }
    if (before)
        set_orders(s, object, before, patch);
    return 0;
}

int patch_apply_strategic(const struct schema *s, json_t *object, const json_t *patch,
                          struct err *reterr)
{
    struct merge m = {reterr, COMPARISONS_MAX};
    if (!json_is_object(patch) || !json_is_object(object))
        return err_set(reterr, -EINVAL, NULL, "a strategic merge patch must be an object");
    int code = merge_object(s, object, patch, &m);
    if (code == 0 && !m.left)
        return err_set(reterr, -EINVAL, NULL, "the lists of the patch are too long to merge");
    return code;
}
