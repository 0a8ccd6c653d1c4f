/* Routes of one VirtualService within a route of another. */
#include "model/virtual_service_priv.h"

/* Can no text be like both? Of expressions nobody says. */
static bool texts_conflict(const json_t *root, const json_t *leaf)
{
    const char *root_is = json_key_str(root, "exact"), *root_from = json_key_str(root, "prefix"),
               *leaf_is = json_key_str(leaf, "exact"), *leaf_from = json_key_str(leaf, "prefix");
    if (!root || !leaf)
        return false;
    if (json_key_str(root, "regex") || json_key_str(leaf, "regex"))
        return true;
    if (root_is)
        return leaf_from || !streq(leaf_is, root_is);
    const char *text = leaf_is ? leaf_is : leaf_from;
    return root_from && text && !str_starts(str_from(text), str_from(root_from));
}

static bool maps_conflict(const json_t *root, const json_t *leaf, const char *name)
{
    const json_t *of_root = json_object_get(root, name), *of_leaf = json_object_get(leaf, name);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)of_leaf, key, value)
    {
        const json_t *other = json_object_get(of_root, key);
        if (other &&
            (json_is_object(value) ? texts_conflict(other, value) : !json_equal(other, value)))
            return true;
    }
    return false;
}

static bool matches_conflict(const json_t *root, const json_t *leaf)
{
    static const char *const texts[] = {"uri", "scheme", "method", "authority"};
    static const char *const maps[] = {"headers", "withoutHeaders", "queryParams", "sourceLabels"};
    static const char *const values[] = {"port", "sourceNamespace"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts_conflict(json_object_get(root, texts[i]), json_object_get(leaf, texts[i])))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        if (maps_conflict(root, leaf, maps[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        const json_t *a = json_object_get(root, values[i]), *b = json_object_get(leaf, values[i]);
        if (a && b && !json_equal(a, b))
            return true;
    }
    return json_at_bool(root, "ignoreUriCase", false) != json_at_bool(leaf, "ignoreUriCase", false);
}

/* What the leaf does not say, the root does; of maps, each key by itself. */
static void inherit(json_t *leaf, const json_t *root)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, key, value)
    {
        static const char *const maps[] = {"headers", "withoutHeaders", "queryParams",
                                           "sourceLabels"};
        json_t *own = json_object_get(leaf, key);
        if (!own)
            json_object_set(leaf, key, value);
        for (size_t i = 0; own && i < ARRAY_LEN(maps); i++)
            if (streq(key, maps[i]))
                json_object_update_missing(own, value);
    }
}

enum { MATCHES_MAX = 20000 }; /* more than a host may have */

static json_t *merge_matches(const json_t *root, const json_t *leaf)
{
    json_t *both = json_array();
    size_t n = json_array_size(root), m = json_array_size(leaf);
    for (size_t i = 0; i < MAX(n, (size_t)1); i++)
        for (size_t k = 0; k < MAX(m, (size_t)1); k++) {
            const json_t *a = json_array_get(root, i), *b = json_array_get(leaf, k);
            if (a && b && matches_conflict(a, b))
                continue;
            if (json_array_size(both) >= MATCHES_MAX)
                return both;
            json_t *one = b ? json_deep_copy(b) : json_object();
            if (a)
                inherit(one, a);
            json_array_append_new(both, one);
        }
    return both;
}

json_t *virtual_service_merge(struct object_reader *r, const json_t *root, const json_t *delegate)
{
    static const char *const handed_down[] = {"rewrite", "timeout", "retries",
                                              "fault",   "headers", "corsPolicy"};
    static const char *const mirrors[] = {"mirror", "mirrors", "mirrorPercentage", "mirrorPercent",
                                          "mirror_percent"};
    const json_t *a = json_object_get(root, "match"), *b = json_object_get(delegate, "match");
    json_t *both = json_copy((json_t *)(uintptr_t)delegate);
    bool mirrored = json_object_get(delegate, "mirror") || json_object_get(delegate, "mirrors");
    if (json_array_size(a) || json_array_size(b))
        json_object_set_new(both, "match", merge_matches(a, b));
    if (json_object_get(both, "match") && !json_array_size(json_object_get(both, "match"))) {
        reader_warn(r, "match", "narrow what the root matches, do not widen it",
                    "no request matches both this and the route that leads here: it is left out");
        json_decref(both);
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(handed_down); i++) {
        json_t *of = json_object_get(root, handed_down[i]);
        if (of && !json_object_get(both, handed_down[i]))
            json_object_set(both, handed_down[i], of);
    }
    for (size_t i = 0; i < ARRAY_LEN(mirrors) && !mirrored; i++) {
        json_t *of = json_object_get(root, mirrors[i]);
        if (of)
            json_object_set(both, mirrors[i], of);
    }
    return both;
}
