/* Values are trees whose depth the message's own bounds (PB_DEPTH_MAX). */
#include "proxy/metadata_match.h"

#include <errno.h>

typedef Envoy__Type__Matcher__V3__ValueMatcher pb_value;

enum value_kind { VALUE_NULL, VALUE_STRING, VALUE_BOOL, VALUE_PRESENT, VALUE_ITEM, VALUE_ANY };

struct value_match {
    uint8_t kind; /* enum value_kind */
    bool wanted;  /* of VALUE_BOOL and VALUE_PRESENT */
    struct string_match string;
    struct value_match *children; /* of VALUE_ITEM one, of VALUE_ANY n */
    size_t n;
};

struct metadata_match {
    const char *filter;
    const char **path;
    size_t n_path;
    bool invert;
    struct value_match value;
};

static int compile_value(const pb_value *m, struct arena *a, struct pb_path *path,
                         struct value_match *ret, struct err *reterr);

static int compile_children(enum value_kind kind, pb_value *const *m, size_t n, struct arena *a,
                            struct pb_path *path, struct value_match *ret, struct err *reterr)
{
    int r = 0;
    ret->kind = (uint8_t)kind;
    ret->n = n;
    ret->children = arena_alloc(a, n * sizeof(*ret->children));
    if (!ret->children)
        return -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++)
        r = compile_value(m[i], a, path, &ret->children[i], reterr);
    return r;
}

static int compile_value(const pb_value *m, struct arena *a, struct pb_path *path,
                         struct value_match *ret, struct err *reterr)
{
    switch ((int)m->match_pattern_case) {
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_NULL_MATCH:
        ret->kind = VALUE_NULL;
        return 0;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_STRING_MATCH:
        ret->kind = VALUE_STRING;
        return string_match_compile(m->string_match, a, path, &ret->string, reterr);
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_BOOL_MATCH:
        ret->kind = VALUE_BOOL;
        ret->wanted = m->bool_match;
        return 0;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_PRESENT_MATCH:
        ret->kind = VALUE_PRESENT;
        ret->wanted = m->present_match;
        return 0;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_LIST_MATCH:
        if (!m->list_match->one_of)
            break;
        return compile_children(VALUE_ITEM, &m->list_match->one_of, 1, a, path, ret, reterr);
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_OR_MATCH:
        return compile_children(VALUE_ANY, m->or_match->value_matchers,
                                m->or_match->n_value_matchers, a, path, ret, reterr);
    default:
        break;
    }
    return pb_path_fail(path, reterr, -EINVAL, "needs a value that is implemented");
}

int metadata_match_compile(const Envoy__Type__Matcher__V3__MetadataMatcher *m, struct arena *a,
                           struct pb_path *path, struct metadata_match **ret, struct err *reterr)
{
    struct metadata_match *to = *ret = arena_alloc(a, sizeof(*to));
    if (!to)
        return -ENOMEM;
    to->invert = m->invert;
    to->n_path = m->n_path;
    to->filter = arena_str(a, str_from(m->filter)).p;
    to->path = arena_alloc(a, m->n_path * sizeof(*to->path));
    if (!to->filter || !to->path)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_path; i++) {
        const char *key = m->path[i]->key;
        to->path[i] = arena_str(a, str_from(key ? key : "")).p;
        if (!to->path[i])
            return -ENOMEM;
    }
    if (!m->value)
        return pb_path_fail(path, reterr, -EINVAL, "value must be set");
    size_t mark = pb_path_field(path, "value");
    int r = compile_value(m->value, a, path, &to->value, reterr);
    if (r == 0)
        pb_path_back(path, mark);
    return r;
}

static bool value_matches(const struct value_match *m, const json_t *v)
{
    switch ((enum value_kind)m->kind) {
    case VALUE_NULL:
        return json_is_null(v);
    case VALUE_STRING:
        return json_is_string(v) &&
               string_matches(&m->string, str_of(json_string_value(v), json_string_length(v)));
    case VALUE_BOOL:
        return json_is_boolean(v) && json_is_true(v) == m->wanted;
    case VALUE_PRESENT:
        return (v && !json_is_null(v)) == m->wanted;
    case VALUE_ITEM:
        for (size_t i = 0; i < json_array_size(v); i++)
            if (value_matches(m->children, json_array_get(v, i)))
                return true;
        return false;
    case VALUE_ANY:
        for (size_t i = 0; i < m->n; i++)
            if (value_matches(&m->children[i], v))
                return true;
        return false;
    }
    return false;
}

bool metadata_matches(const struct metadata_match *m, const json_t *metadata)
{
    const json_t *v = json_object_get(metadata, m->filter);
    for (size_t i = 0; i < m->n_path; i++)
        v = json_object_get(v, m->path[i]);
    return value_matches(&m->value, v) != m->invert;
}
