/* Structural schemas: every node has a type, what is said in allOf, anyOf, oneOf and not only
 * checks, and does not shape; defaults are pruned, and valid themselves. Unlike words of other
 * schemas, those of JSON Schema that a definition cannot have are refused. Pure; the depth is
 * bounded by the body's (codec/json.h). */
#include "lab/apiserver/crd_check.h"

#include <errno.h>

#include "lab/apiserver/crd_schema.h"

enum place {
    AT_ROOT,
    AT_FIELD,  /* properties, additionalProperties */
    AT_ITEM,   /* items */
    AT_BRANCH, /* inside allOf, anyOf, oneOf, not */
};

struct walk {
    struct field_errors *e;
    struct buf path;
};

static void check_node(struct walk *w, const json_t *s, enum place place);

static const char *type_of(const json_t *s)
{
    const char *type = json_key_str(s, "type");
    return type ? type : "";
}

static bool says(const json_t *s, const char *word)
{
    const json_t *v = json_object_get(s, word);
    return v && !json_is_null(v);
}

static bool is_set(const json_t *s, const char *word)
{
    return json_is_true(json_object_get(s, word));
}

#define PATH(w) buf_cstr(&(w)->path)

/* ---- words that may not be there ---- */

static void check_forbidden(struct walk *w, const json_t *s)
{
    static const struct {
        const char *word, *detail;
    } words[] = {
        {"id", "id is not supported"},
        {"additionalItems", "additionalItems is not supported"},
        {"patternProperties", "patternProperties is not supported"},
        {"definitions", "definitions is not supported"},
        {"dependencies", "dependencies is not supported"},
        {"$ref", "$ref is not supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (says(s, words[i].word))
            error_forbidden(w->e, words[i].detail, "%s.%s", PATH(w), words[i].word);
    if (is_set(s, "uniqueItems"))
        error_forbidden(w->e,
                        "uniqueItems cannot be set to true since the runtime complexity becomes "
                        "quadratic",
                        "%s.uniqueItems", PATH(w));
    if (json_is_array(json_object_get(s, "items")))
        error_forbidden(w->e, "items must be a schema object and not an array", "%s.items",
                        PATH(w));
    if (streq(type_of(s), "null"))
        error_forbidden(w->e, "type cannot be set to null, use nullable as an alternative",
                        "%s.type", PATH(w));
}

static void check_branch_words(struct walk *w, const json_t *s)
{
    static const struct {
        const char *word, *detail;
    } words[] = {
        {"type", "must be empty to be structural"},
        {"additionalProperties", "must be undefined to be structural"},
        {"default", "must be undefined to be structural"},
        {"title", "must be empty to be structural"},
        {"description", "must be empty to be structural"},
        {"nullable", "must be false to be structural"},
        {"x-kubernetes-preserve-unknown-fields", "must be false to be structural"},
        {"x-kubernetes-embedded-resource", "must be false to be structural"},
        {"x-kubernetes-int-or-string", "must be false to be structural"},
        {"x-kubernetes-list-map-keys", "must be empty to be structural"},
        {"x-kubernetes-list-type", "must be undefined to be structural"},
        {"x-kubernetes-map-type", "must be undefined to be structural"},
        {"x-kubernetes-validations", "must be empty to be structural"},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (says(s, words[i].word) && !json_is_false(json_object_get(s, words[i].word)))
            error_forbidden(w->e, words[i].detail, "%s.%s", PATH(w), words[i].word);
}

/* {type: integer} and {type: string} are how an int-or-string is said to those that do not know the
 * word. */
static bool says_int_or_string(const json_t *list)
{
    return json_array_size(list) == 2 && streq(type_of(json_array_get(list, 0)), "integer") &&
           streq(type_of(json_array_get(list, 1)), "string") &&
           json_object_size(json_array_get(list, 0)) == 1 &&
           json_object_size(json_array_get(list, 1)) == 1;
}

/* ---- types ---- */

static void check_type(struct walk *w, const json_t *s, enum place place)
{
    static const char *const missing[] = {"must not be empty at the root",
                                          "must not be empty for specified object fields",
                                          "must not be empty for specified array items"};
    const char *type = type_of(s);
    if (*type && !value_is_listed("string|number|integer|boolean|array|object", type))
        error_unsupported(w->e, type, "array|boolean|integer|number|object|string", "%s.type",
                          PATH(w));
    if (!*type && !is_set(s, "x-kubernetes-int-or-string") &&
        !is_set(s, "x-kubernetes-preserve-unknown-fields"))
        error_required(w->e, missing[place], "%s.type", PATH(w));
    if (!*type && place == AT_ROOT && is_set(s, "x-kubernetes-preserve-unknown-fields"))
        error_required(w->e, missing[place], "%s.type", PATH(w));
    if (*type && place == AT_ROOT && !streq(type, "object"))
        error_invalid_text(w->e, type, "must be object at the root", "%s.type", PATH(w));
    if (streq(type, "array") && !says(s, "items"))
        error_required(w->e, "must be specified", "%s.items", PATH(w));
    if (is_set(s, "x-kubernetes-embedded-resource")) {
        if (!streq(type, "object"))
            error_invalid_text(w->e, type,
                               "must be object if x-kubernetes-embedded-resource is true",
                               "%s.type", PATH(w));
        if (!json_object_size(json_object_get(s, "properties")) &&
            !is_set(s, "x-kubernetes-preserve-unknown-fields"))
            error_required(w->e,
                           "must not be empty if x-kubernetes-embedded-resource is true without "
                           "x-kubernetes-preserve-unknown-fields",
                           "%s.properties", PATH(w));
    }
    if (json_is_false(json_object_get(s, "x-kubernetes-preserve-unknown-fields")))
        error_invalid(w->e, json_object_get(s, "x-kubernetes-preserve-unknown-fields"),
                      "must be true or undefined", "%s.x-kubernetes-preserve-unknown-fields",
                      PATH(w));
}

/* ---- lists ---- */

static void check_map_keys(struct walk *w, const json_t *s)
{
    const json_t *keys = json_object_get(s, "x-kubernetes-list-map-keys"),
                 *items = json_object_get(s, "items"),
                 *properties = json_object_get(items, "properties");
    size_t i, k;
    json_t *key, *other;
    if (!json_array_size(keys))
        error_required(w->e, "must not be empty if x-kubernetes-list-type is map",
                       "%s.x-kubernetes-list-map-keys", PATH(w));
    if (!items) {
        error_required(w->e, "must have a schema if x-kubernetes-list-type is map", "%s.items",
                       PATH(w));
        return;
    }
    if (!streq(type_of(items), "object")) {
        error_invalid_text(w->e, type_of(items),
                           "must be object if parent array's x-kubernetes-list-type is map",
                           "%s.items.type", PATH(w));
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)keys, i, key)
    {
        const json_t *p = json_object_get(properties, json_string_value(key));
        if (!p)
            error_invalid(w->e, keys, "entries must all be names of item properties",
                          "%s.x-kubernetes-list-map-keys", PATH(w));
        else if (streq(type_of(p), "array") || streq(type_of(p), "object"))
            error_invalid_text(w->e, type_of(items),
                               "must be a scalar type if parent array's x-kubernetes-list-type is "
                               "map",
                               "%s.items.properties[%s].type", PATH(w), json_string_value(key));
        else if (!says(p, "default") && !json_array_has(json_object_get(items, "required"), key))
            error_required(w->e,
                           "this property is in x-kubernetes-list-map-keys, so it must have a "
                           "default or be a required property",
                           "%s.items.properties[%s].default", PATH(w), json_string_value(key));
        for (k = 0; k < i; k++) {
            other = json_array_get(keys, k);
            if (json_equal(other, key))
                error_invalid(w->e, keys, "must not contain duplicate entries",
                              "%s.x-kubernetes-list-map-keys", PATH(w));
        }
    }
}

/* Elements of a set are compared whole. */
static void check_set_items(struct walk *w, const json_t *items)
{
    const char *type = type_of(items), *list = json_key_str(items, "x-kubernetes-list-type"),
               *map = json_key_str(items, "x-kubernetes-map-type");
    if (streq(type, "array") && list && !streq(list, "atomic"))
        error_invalid_text(w->e, list,
                           "must be atomic as item of a list with x-kubernetes-list-type=set",
                           "%s.items.x-kubernetes-list-type", PATH(w));
    if (streq(type, "object") && !(map && streq(map, "atomic")))
        error_invalid(w->e, NULL,
                      "must be atomic as item of a list with x-kubernetes-list-type=set",
                      "%s.items.x-kubernetes-map-type", PATH(w));
}

static void check_list(struct walk *w, const json_t *s)
{
    const char *list = json_key_str(s, "x-kubernetes-list-type"), *type = type_of(s);
    bool has_keys = json_array_size(json_object_get(s, "x-kubernetes-list-map-keys")) > 0;
    if (list && !*type)
        error_required(w->e, "must be array if x-kubernetes-list-type is specified", "%s.type",
                       PATH(w));
    else if (list && !streq(type, "array"))
        error_invalid_text(w->e, type, "must be array if x-kubernetes-list-type is specified",
                           "%s.type", PATH(w));
    if (list && !value_is_listed("atomic|set|map", list))
        error_unsupported(w->e, list, "atomic|map|set", "%s.x-kubernetes-list-type", PATH(w));
    if (has_keys && !list)
        error_required(w->e, "must be map if x-kubernetes-list-map-keys is non-empty",
                       "%s.x-kubernetes-list-type", PATH(w));
    else if (has_keys && !streq(list, "map"))
        error_invalid_text(w->e, list, "must be map if x-kubernetes-list-map-keys is non-empty",
                           "%s.x-kubernetes-list-type", PATH(w));
    if (list && streq(list, "map"))
        check_map_keys(w, s);
    if (list && streq(list, "set"))
        check_set_items(w, json_object_get(s, "items"));
    const char *map = json_key_str(s, "x-kubernetes-map-type");
    if (map && !value_is_listed("atomic|granular", map))
        error_unsupported(w->e, map, "atomic|granular", "%s.x-kubernetes-map-type", PATH(w));
    if (map && !streq(type, "object"))
        error_invalid_text(w->e, type, "must be object if x-kubernetes-map-type is specified",
                           "%s.type", PATH(w));
}

/* ---- the tree ---- */

static void into(struct walk *w, const json_t *s, enum place place, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void into(struct walk *w, const json_t *s, enum place place, const char *fmt, ...)
{
    size_t was = w->path.n;
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&w->path, fmt, ap);
    va_end(ap);
    check_node(w, s, place);
    w->path.n = was;
}

static void check_branches(struct walk *w, const json_t *s)
{
    static const char *const words[] = {"allOf", "anyOf", "oneOf"};
    bool either = is_set(s, "x-kubernetes-int-or-string");
    size_t i;
    json_t *item;
    for (size_t k = 0; k < ARRAY_LEN(words); k++) {
        const json_t *list = json_object_get(s, words[k]);
        if (either && says_int_or_string(list))
            continue;
        json_array_foreach((json_t *)(uintptr_t)list, i, item)
            into(w, item, AT_BRANCH, ".%s[%zu]", words[k], i);
    }
    if (json_is_object(json_object_get(s, "not")))
        into(w, json_object_get(s, "not"), AT_BRANCH, ".not");
}

/* Of the metadata a schema may narrow names only. */
static void check_metadata(struct walk *w, const json_t *metadata)
{
    const char *name;
    json_t *value;
    bool more = false;
    json_object_foreach(json_object_get(metadata, "properties"), name, value) more =
        more || (!streq(name, "name") && !streq(name, "generateName"));
    if (more)
        error_forbidden(w->e,
                        "must not specify anything other than name and generateName, but metadata "
                        "is implicitly specified",
                        "%s.properties[metadata]", PATH(w));
}

/* A pattern that is none. One that only our own expressions do not have is told by a warning
 * (crd_check.c), not refused: a real server takes it. */
static void check_pattern(struct walk *w, const json_t *s)
{
    const char *pattern = json_key_str(s, "pattern");
    struct regex *r = NULL;
    struct err err = {0};
    int code = pattern && *pattern ? regex_new(str_from(pattern), &r, &err) : 0;
    regex_free(r);
    if (code == 0 || code == -E2BIG)
        return;
    AUTO_CHARS char *detail =
        xasprintf("must be a valid regular expression, but isn't: %s", err_text(&err));
    error_invalid_text(w->e, pattern, detail, "%s.pattern", PATH(w));
}

/* Words whose values must be numbers, texts, lists, or objects. */
static void check_words(struct walk *w, const json_t *s)
{
    static const char numbers[] =
        "minimum|maximum|multipleOf|minLength|maxLength|minItems|maxItems|minProperties|"
        "maxProperties";
    static const char texts[] = "type|format|pattern|description|title|x-kubernetes-list-type|"
                                "x-kubernetes-map-type";
    static const char lists[] =
        "allOf|anyOf|oneOf|enum|required|x-kubernetes-list-map-keys|x-kubernetes-validations";
    static const char flags[] =
        "nullable|exclusiveMinimum|exclusiveMaximum|uniqueItems|x-kubernetes-int-or-string|"
        "x-kubernetes-preserve-unknown-fields|x-kubernetes-embedded-resource";
    const char *word;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)s, word, v)
    {
        const char *want = value_is_listed(numbers, word) && !json_is_number(v)  ? "a number"
                           : value_is_listed(texts, word) && !json_is_string(v)  ? "a string"
                           : value_is_listed(lists, word) && !json_is_array(v)   ? "a list"
                           : value_is_listed(flags, word) && !json_is_boolean(v) ? "true or false"
                           : streq(word, "properties") && !json_is_object(v)     ? "an object"
                                                                                 : NULL;
        AUTO_CHARS char *detail = want ? xasprintf("must be %s", want) : NULL;
        if (want && !json_is_null(v))
            error_invalid(w->e, v, detail, "%s.%s", PATH(w), word);
    }
}

static void check_members(struct walk *w, const json_t *s, enum place place)
{
    const json_t *additional = json_object_get(s, "additionalProperties"),
                 *items = json_object_get(s, "items");
    enum place field = place == AT_BRANCH ? AT_BRANCH : AT_FIELD,
               item = place == AT_BRANCH ? AT_BRANCH : AT_ITEM;
    const char *name;
    json_t *value;
    if (place == AT_ROOT)
        check_metadata(w, json_object_get(json_object_get(s, "properties"), "metadata"));
    if (place == AT_ROOT && additional)
        error_forbidden(w->e, "must not be used at the root", "%s.additionalProperties", PATH(w));
    if (json_object_size(json_object_get(s, "properties")) && json_is_object(additional))
        error_forbidden(w->e, "additionalProperties and properties are mutual exclusive",
                        "%s.additionalProperties", PATH(w));
    json_object_foreach(json_object_get(s, "properties"), name, value)
    {
        if (place == AT_BRANCH && streq(name, "metadata"))
            error_forbidden(w->e, "must not be specified in a nested context",
                            "%s.properties[metadata]", PATH(w));
        into(w, value, field, ".properties[%s]", name);
    }
    if (json_is_object(additional))
        into(w, additional, field, ".additionalProperties");
    if (json_is_object(items))
        into(w, items, item, ".items");
}

static void check_node(struct walk *w, const json_t *s, enum place place)
{
    if (!json_is_object(s)) {
        error_invalid(w->e, s, "must be a schema", "%s", PATH(w));
        return;
    }
    check_words(w, s);
    check_forbidden(w, s);
    check_pattern(w, s);
    if (place == AT_BRANCH)
        check_branch_words(w, s);
    else
        check_type(w, s, place);
    check_list(w, s);
    check_members(w, s, place);
    check_branches(w, s);
}

/* ---- defaults ---- */

static void check_default(struct walk *w, const struct crd_node *n)
{
    struct schema_findings unknown = {0};
    struct field_errors errors = {0};
    AUTO_JSON json_t *value = json_deep_copy(n->def);
    AUTO_CHARS char *path = xasprintf("%s.default", PATH(w));
    crd_prune(n, value, false, &unknown);
    if (unknown.n)
        error_invalid(w->e, n->def, "must not have unknown fields", "%s", path);
    crd_default(n, value);
    crd_validate(n, value, NULL, path, &errors);
    for (size_t i = 0; i < errors.n; i++) {
        if (w->e->n < FIELD_ERRORS_MAX) {
            vec_push(w->e, errors.v[i]);
            errors.v[i] = (struct field_error){0};
        }
    }
    field_errors_done(&errors);
    schema_findings_done(&unknown);
}

static void check_defaults(struct walk *w, const struct crd_node *n)
{
    size_t was = w->path.n;
    if (n->def)
        check_default(w, n);
    for (size_t i = 0; i < n->n_properties; i++) {
        buf_addf(&w->path, ".properties[%s]", n->properties[i].name);
        check_defaults(w, n->properties[i].node);
        w->path.n = was;
    }
    if (n->items) {
        buf_add_cstr(&w->path, ".items");
        check_defaults(w, n->items);
        w->path.n = was;
    }
    if (n->additional) {
        buf_add_cstr(&w->path, ".additionalProperties");
        check_defaults(w, n->additional);
        w->path.n = was;
    }
}

static void check_root(const json_t *schema, const char *path, bool has_status,
                       struct field_errors *e)
{
    if (is_set(schema, "nullable"))
        error_forbidden(e, "nullable cannot be true at the root", "%s.nullable", path);
    if (has_status && *type_of(schema) && !streq(type_of(schema), "object"))
        error_invalid_text(e, type_of(schema),
                           "only \"object\" is allowed as the type at the root of the schema if "
                           "the status subresource is enabled",
                           "%s.type", path);
}

void crd_check_schema(const json_t *schema, const char *path, bool has_status,
                      struct field_errors *e)
{
    struct walk w = {.e = e};
    struct crd_schema *read = NULL;
    struct err err = {0};
    buf_add_cstr(&w.path, path);
    check_root(schema, path, has_status, e);
    check_node(&w, schema, AT_ROOT);
    if (!e->n && crd_schema_read(schema, &read, &err) < 0)
        error_invalid_text(e, "", err_text(&err), "%s", path);
    if (read)
        check_defaults(&w, read->root);
    crd_schema_free(read);
    buf_done(&w.path);
}
