/* What kubectl apply sends: the smallest strategic merge patch that brings a live object to a
 * manifest and takes away what the last manifest had and this one has not. What others have set
 * stays. Rules: the three-way merge of apimachinery's strategicpatch. */
#include "kube/patch.h"

static const struct schema *schema_of(const struct schema_field *f)
{
    return f && f->type == FIELD_OBJECT ? f->of : NULL;
}

static const struct schema_field *field_of(const struct schema *s, const char *name)
{
    return s ? schema_find(s, str_from(name)) : NULL;
}

static bool is_merged_list(const struct schema_field *f, const json_t *a, const json_t *b)
{
    return f && f->patch_merge && json_is_array(a) && json_is_array(b);
}

static void put(json_t **patch, const char *key, json_t *value)
{
    if (!*patch)
        *patch = json_object();
    json_object_set_new(*patch, key, value);
}

static bool has_key(const json_t *item, const char *merge_key, const json_t *like)
{
    return merge_key
               ? json_equal(json_object_get(item, merge_key), json_object_get(like, merge_key))
               : json_equal(item, like);
}

static json_t *find(const json_t *list, const char *merge_key, const json_t *like)
{
    json_t *item;
    size_t i;
    json_array_foreach(list, i, item) if (has_key(item, merge_key, like)) return item;
    return NULL;
}

static json_t *changes(const struct schema *s, const json_t *live, const json_t *now);

/* Of one kind out of several (volumes, strategies): what is not named goes. */
static void retain_keys(json_t *patch, const json_t *now)
{
    json_t *keys = json_array(), *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)now, key, value)
        json_array_append_new(keys, json_string(key));
    json_object_set_new(patch, "$retainKeys", keys);
}

/* The element's change, NULL = none. Several live elements may have one key (ports of two
 * protocols): one that needs no change is the element. */
static json_t *element_change(const struct schema_field *f, const json_t *live, const json_t *item)
{
    json_t *change = NULL, *have;
    size_t i;
    bool found = false;
    json_array_foreach(live, i, have)
    {
        if (!has_key(have, f->merge_key, item))
            continue;
        json_t *c = f->merge_key ? changes(schema_of(f), have, item) : NULL;
        if (!c) {
            json_decref(change);
            return NULL;
        }
        if (found)
            json_decref(c);
        else
            change = c;
        found = true;
    }
    if (!found)
        return json_deep_copy(item);
    json_object_set(change, f->merge_key, json_object_get(item, f->merge_key));
    if (f->patch_retain_keys)
        retain_keys(change, item);
    return change;
}

static json_t *list_changes(const struct schema_field *f, const json_t *live, const json_t *now)
{
    json_t *list = NULL, *item;
    size_t i;
    json_array_foreach(now, i, item)
    {
        json_t *change = element_change(f, live, item);
        if (change && !list)
            list = json_array();
        if (change)
            json_array_append_new(list, change);
    }
    return list;
}

/* Do the elements of now stand in live, in this order? */
static bool in_order(const struct schema_field *f, const json_t *live, const json_t *now)
{
    size_t i, at = 0;
    json_t *item;
    json_array_foreach(now, i, item)
    {
        while (at < json_array_size(live) && !has_key(json_array_get(live, at), f->merge_key, item))
            at++;
        if (at++ == json_array_size(live))
            return false;
    }
    return true;
}

/* $setElementOrder: new elements do not just go to the end. */
static void add_order(const struct schema_field *f, const char *name, json_t **patch,
                      const json_t *now)
{
    AUTO_CHARS char *directive = xasprintf("$setElementOrder/%s", name);
    json_t *order = json_array(), *item;
    size_t i;
    json_array_foreach(now, i, item)
    {
        if (!f->merge_key)
            json_array_append(order, item);
        else
            json_array_append_new(
                order, json_pack("{s:O}", f->merge_key, json_object_get(item, f->merge_key)));
    }
    put(patch, directive, order);
}

static json_t *value_change(const struct schema_field *f, const json_t *live, const json_t *now)
{
    if (json_is_object(live) && json_is_object(now)) {
        json_t *change = changes(f && f->shape == SHAPE_ONE ? schema_of(f) : NULL, live, now);
        if (change && f && f->patch_retain_keys)
            retain_keys(change, now);
        return change;
    }
    if (is_merged_list(f, live, now))
        return list_changes(f, live, now);
    return json_equal(live, now) ? NULL : json_deep_copy(now);
}

/* What now has and live has not or has otherwise; NULL = nothing. */
static json_t *changes(const struct schema *s, const json_t *live, const json_t *now)
{
    json_t *patch = NULL, *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)now, key, value)
    {
        const json_t *have = json_object_get(live, key);
        json_t *change = have ? value_change(field_of(s, key), have, value) : json_deep_copy(value);
        if (change)
            put(&patch, key, change);
        if (is_merged_list(field_of(s, key), have, value) &&
            !in_order(field_of(s, key), have, value))
            add_order(field_of(s, key), key, &patch, value);
    }
    return patch;
}

static void removals(const struct schema *s, json_t **patch, const json_t *last, const json_t *now,
                     const json_t *live);

/* The element of the patch that speaks of like; made if need be. */
static json_t *element_of(json_t *list, const char *merge_key, const json_t *like)
{
    json_t *element = find(list, merge_key, like);
    if (!element) {
        element = json_object();
        json_object_set(element, merge_key, json_object_get(like, merge_key));
        json_array_append_new(list, element);
    }
    return element;
}

static void remove_from_list(const struct schema_field *f, json_t **patch, const char *name,
                             const json_t *last, const json_t *now, const json_t *live)
{
    AUTO_JSON json_t *list =
        json_object_get(*patch, name) ? json_incref(json_object_get(*patch, name)) : json_array();
    AUTO_JSON json_t *primitives = json_array();
    json_t *item;
    size_t i;
    json_array_foreach(last, i, item)
    {
        const json_t *kept = find(now, f->merge_key, item), *have = find(live, f->merge_key, item);
        if (!have)
            continue;
        if (!f->merge_key) {
            if (!kept)
                json_array_append(primitives, item);
            continue;
        }
        if (!kept) {
            json_object_set_new(element_of(list, f->merge_key, item), "$patch",
                                json_string("delete"));
            continue;
        }
        json_t *inside = NULL;
        removals(schema_of(f), &inside, item, kept, have);
        if (inside)
            json_object_update(element_of(list, f->merge_key, item), inside);
        json_decref(inside);
    }
    if (json_array_size(list))
        put(patch, name, json_incref(list));
    if (json_array_size(primitives)) {
        AUTO_CHARS char *directive = xasprintf("$deleteFromPrimitiveList/%s", name);
        put(patch, directive, json_incref(primitives));
    }
}

/* Adds what last had and now has not, where it is still live. */
static void removals(const struct schema *s, json_t **patch, const json_t *last, const json_t *now,
                     const json_t *live)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)last, key, value)
    {
        const struct schema_field *f = field_of(s, key);
        const json_t *kept = json_object_get(now, key), *have = json_object_get(live, key);
        if (!have)
            continue;
        if (!kept) {
            put(patch, key, json_null());
        } else if (is_merged_list(f, value, kept) && json_is_array(have)) {
            remove_from_list(f, patch, key, value, kept, have);
        } else if (json_is_object(value) && json_is_object(kept) && json_is_object(have)) {
            json_t *inside = json_object_get(*patch, key);
            inside = inside ? json_incref(inside) : NULL;
            removals(f && f->shape == SHAPE_ONE ? schema_of(f) : NULL, &inside, value, kept, have);
            if (inside)
                put(patch, key, inside);
        }
    }
}

json_t *patch_three_way(const struct schema *s, const json_t *last, const json_t *now,
                        const json_t *live)
{
    json_t *patch = changes(s, live, now);
    removals(s, &patch, last, now, live);
    return patch ? patch : json_object();
}
