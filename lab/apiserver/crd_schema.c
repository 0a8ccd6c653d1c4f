/* Reads a structural schema into nodes. Everything of one schema lives in its arena; what is said
 * of a node in allOf, anyOf, oneOf and not is kept as nodes, too, which are asked for validation
 * only. Pure; the input is a stranger's (fuzz_crd_schema). */
#include "lab/apiserver/crd_schema.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"

struct reader {
    struct crd_schema *schema;
    struct err *reterr;
};

static int read_node(struct reader *r, const json_t *j, unsigned depth, struct crd_node **ret);

static void *take(struct reader *r, size_t n)
{
    void *p = arena_alloc(r->schema->arena, n);
    if (!p)
        (void)err_set(r->reterr, -E2BIG, NULL, "the schema is larger than %d bytes in memory",
                      CRD_SCHEMA_BYTES_MAX);
    return p;
}

static const char *text(struct reader *r, const json_t *j)
{
    return json_is_string(j) ? arena_str(r->schema->arena, str_from(json_string_value(j))).p : NULL;
}

static void drop_json(void *p)
{
    json_decref(p);
}

static void drop_regex(void *p)
{
    regex_free(p);
}

/* A reference that lives as long as the schema. */
static json_t *keep(struct reader *r, json_t *j)
{
    if (!j || arena_defer(r->schema->arena, drop_json, j) < 0)
        return NULL;
    return json_incref(j);
}

static int read_words(struct reader *r, const json_t *list, struct crd_words *ret)
{
    size_t i;
    json_t *item;
    if (!json_array_size(list))
        return 0;
    ret->v = take(r, json_array_size(list) * sizeof(*ret->v));
    if (!ret->v)
        return -E2BIG;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        const char *word = text(r, item);
        if (word)
            ret->v[ret->n++] = word;
    }
    return 0;
}

static int read_nodes(struct reader *r, const json_t *list, unsigned depth, struct crd_nodes *ret)
{
    size_t i;
    json_t *item;
    if (!json_array_size(list))
        return 0;
    ret->v = take(r, json_array_size(list) * sizeof(*ret->v));
    if (!ret->v)
        return -E2BIG;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        int code = read_node(r, item, depth, &ret->v[ret->n]);
        if (code < 0)
            return code;
        ret->n++;
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct crd_property *)a)->name, ((const struct crd_property *)b)->name);
}

static int read_properties(struct reader *r, const json_t *members, unsigned depth,
                           struct crd_node *n)
{
    const char *name;
    json_t *value;
    if (!json_object_size(members))
        return 0;
    n->properties = take(r, json_object_size(members) * sizeof(*n->properties));
    if (!n->properties)
        return -E2BIG;
    json_object_foreach((json_t *)(uintptr_t)members, name, value)
    {
        struct crd_property *p = &n->properties[n->n_properties];
        p->name = arena_str(r->schema->arena, str_from(name)).p;
        int code = p->name ? read_node(r, value, depth, &p->node) : -E2BIG;
        if (code < 0)
            return code;
        n->n_properties++;
    }
    qsort(n->properties, n->n_properties, sizeof(*n->properties), by_name);
    return 0;
}

/* A pattern matches anywhere in a text, as Go's does. */
static const struct regex *compile(struct reader *r, const char *pattern)
{
    struct regex *regex = NULL;
    AUTO_CHARS char *anywhere = xasprintf("(?s:.*)(?:%s)(?s:.*)", pattern);
    if (regex_new(str_from(anywhere), &regex, NULL) < 0) {
        r->schema->n_patterns++;
        return NULL;
    }
    if (arena_defer(r->schema->arena, drop_regex, regex) < 0) {
        regex_free(regex);
        return NULL;
    }
    return regex;
}

static int64_t count_of(const json_t *j, const char *word)
{
    const json_t *v = json_object_get(j, word);
    return json_is_integer(v) && json_integer_value(v) >= 0 ? json_integer_value(v) : -1;
}

static void read_number(const json_t *j, const char *word, int bit, struct crd_checks *c,
                        double *ret)
{
    const json_t *v = json_object_get(j, word);
    if (!json_is_number(v))
        return;
    *ret = json_number_value(v);
    c->has |= bit;
}

static bool has_checks(const json_t *j)
{
    static const char *const words[] = {"enum",     "pattern",    "format",        "minimum",
                                        "maximum",  "multipleOf", "allOf",         "anyOf",
                                        "oneOf",    "not",        "minProperties", "maxProperties",
                                        "minItems", "maxItems",   "minLength",     "maxLength"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (json_object_get(j, words[i]))
            return true;
    return false;
}

static int read_checks(struct reader *r, const json_t *j, unsigned depth, struct crd_node *n)
{
    if (!has_checks(j))
        return 0;
    struct crd_checks *c = n->checks = take(r, sizeof(*c));
    if (!c)
        return -E2BIG;
    read_number(j, "minimum", CRD_HAS_MIN, c, &c->min);
    read_number(j, "maximum", CRD_HAS_MAX, c, &c->max);
    read_number(j, "multipleOf", CRD_HAS_MULTIPLE, c, &c->multiple_of);
    c->min_excluded = json_is_true(json_object_get(j, "exclusiveMinimum"));
    c->max_excluded = json_is_true(json_object_get(j, "exclusiveMaximum"));
    c->min_length = count_of(j, "minLength");
    c->max_length = count_of(j, "maxLength");
    c->min_items = count_of(j, "minItems");
    c->max_items = count_of(j, "maxItems");
    c->min_properties = count_of(j, "minProperties");
    c->max_properties = count_of(j, "maxProperties");
    c->pattern = text(r, json_object_get(j, "pattern"));
    if (c->pattern && *c->pattern)
        c->regex = compile(r, c->pattern);
    c->format = text(r, json_object_get(j, "format"));
    if (json_is_array(json_object_get(j, "enum")))
        c->values = keep(r, json_object_get(j, "enum"));
    int code = read_nodes(r, json_object_get(j, "allOf"), depth, &c->all_of);
    if (code == 0)
        code = read_nodes(r, json_object_get(j, "anyOf"), depth, &c->any_of);
    if (code == 0)
        code = read_nodes(r, json_object_get(j, "oneOf"), depth, &c->one_of);
    if (code == 0 && json_is_object(json_object_get(j, "not")))
        code = read_node(r, json_object_get(j, "not"), depth, &c->not_);
    return code;
}

static enum crd_type type_of(const json_t *j)
{
    static const char *const names[] = {
        [CRD_OBJECT] = "object",   [CRD_ARRAY] = "array",   [CRD_STRING] = "string",
        [CRD_INTEGER] = "integer", [CRD_NUMBER] = "number", [CRD_BOOLEAN] = "boolean"};
    const char *type = json_key_str(j, "type");
    for (size_t i = CRD_OBJECT; type && i < ARRAY_LEN(names); i++)
        if (streq(type, names[i]))
            return (enum crd_type)i;
    return CRD_ANY;
}

static bool flag(const json_t *j, const char *word)
{
    return json_is_true(json_object_get(j, word));
}

static void read_flags(struct reader *r, const json_t *j, struct crd_node *n)
{
    const char *list = json_key_str(j, "x-kubernetes-list-type");
    n->type = type_of(j);
    n->nullable = flag(j, "nullable");
    n->preserve = flag(j, "x-kubernetes-preserve-unknown-fields");
    n->int_or_string = flag(j, "x-kubernetes-int-or-string");
    n->embedded = flag(j, "x-kubernetes-embedded-resource");
    n->closed = json_is_false(json_object_get(j, "additionalProperties"));
    n->map_atomic = streq(json_key_str(j, "x-kubernetes-map-type"), "atomic");
    n->list = streq(list, "set") ? CRD_LIST_SET : streq(list, "map") ? CRD_LIST_MAP : 0;
    r->schema->n_rules += json_array_size(json_object_get(j, "x-kubernetes-validations"));
}

static int read_node(struct reader *r, const json_t *j, unsigned depth, struct crd_node **ret)
{
    const json_t *additional = json_object_get(j, "additionalProperties"),
                 *items = json_object_get(j, "items");
    if (depth > CRD_SCHEMA_DEPTH_MAX)
        return err_set(r->reterr, -E2BIG, NULL, "the schema is deeper than %d",
                       CRD_SCHEMA_DEPTH_MAX);
    struct crd_node *n = take(r, sizeof(*n));
    if (!n)
        return -E2BIG;
    depth++;
    read_flags(r, j, n);
    n->def = keep(r, json_object_get(j, "default"));
    int code = read_properties(r, json_object_get(j, "properties"), depth, n);
    if (code == 0 && json_is_object(additional))
        code = read_node(r, additional, depth, &n->additional);
    if (code == 0 && json_is_true(additional)) { /* every member, of any kind */
        n->additional = take(r, sizeof(*n));
        code = n->additional ? 0 : -E2BIG;
        if (code == 0)
            n->additional->preserve = n->additional->nullable = true;
    }
    if (code == 0 && json_is_object(items))
        code = read_node(r, items, depth, &n->items);
    if (code == 0)
        code = read_words(r, json_object_get(j, "required"), &n->required);
    if (code == 0)
        code = read_words(r, json_object_get(j, "x-kubernetes-list-map-keys"), &n->keys);
    if (code == 0)
        code = read_checks(r, j, depth, n);
    *ret = n;
    return code;
}

int crd_schema_read(const json_t *schema, struct crd_schema **ret, struct err *reterr)
{
    AUTO(crd_schema) struct crd_schema *s = NEW(struct crd_schema);
    struct reader r = {s, reterr};
    s->arena = arena_new(CRD_SCHEMA_BYTES_MAX);
    int code = read_node(&r, schema, 0, &s->root);
    if (code < 0)
        return code;
    *ret = TAKE(s);
    return 0;
}

void crd_schema_free(struct crd_schema *s)
{
    if (!s)
        return;
    arena_free(s->arena);
    free(s);
}

const struct crd_node *crd_property(const struct crd_node *n, const char *name)
{
    const struct crd_property key = {.name = name};
    const struct crd_property *p =
        n && n->n_properties ? bsearch(&key, n->properties, n->n_properties, sizeof(key), by_name)
                             : NULL;
    return p ? p->node : NULL;
}
