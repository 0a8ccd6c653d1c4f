/* Message tables from OpenAPI v3 definitions.
 *
 * Owns: what each word of a schema means for a field. Reads the standard words, Kubernetes' own
 * (x-kubernetes-…) and three of ours (x-pb, x-go, x-go-type; src/kube/schemas/README.md). Must not
 * know any kind. One pass makes an empty table per definition, so that references may point
 * forward and in circles; the second fills them. Everything lives in the book's arena. */
#include "kube/schema_openapi.h"

#include <errno.h>

#include "base/assert.h"
#include "base/vec.h"

/* How a value looks, by the word that says so. */
static const struct {
    const char *word;
    enum field_type type;
    enum field_format format;
} formats[] = {
    {"byte", FIELD_BYTES, FORMAT_NONE},
    {"date-time", FIELD_TIME, FORMAT_NONE},
    {"micro-time", FIELD_MICROTIME, FORMAT_NONE},
    {"duration", FIELD_DURATION, FORMAT_NONE},
    {"dns-label", FIELD_STRING, FORMAT_DNS_LABEL},
    {"dns-subdomain", FIELD_STRING, FORMAT_DNS_SUBDOMAIN},
    {"port-name", FIELD_STRING, FORMAT_PORT_NAME},
    {"env-name", FIELD_STRING, FORMAT_ENV_NAME},
    {"abs-path", FIELD_STRING, FORMAT_ABS_PATH},
    {"ip", FIELD_STRING, FORMAT_IP},
    {"labels", FIELD_STRING, FORMAT_LABELS},
    {"label-keys", FIELD_STRING, FORMAT_LABEL_KEYS},
    {"config-keys", FIELD_STRING, FORMAT_CONFIG_KEYS},
    {"qualified-name", FIELD_STRING, FORMAT_QUALIFIED_NAME},
};

struct reader {
    struct schema_book *book;
    struct err *reterr;
};

static int fill(struct reader *r, struct schema *s, json_t *definition, const char *path);

static int bad(struct reader *r, const char *path, const char *what, const json_t *value)
{
    AUTO_DONE(buf) struct buf text = {0};
    if (value)
        json_write(&text, value);
    return err_set(r->reterr, -EINVAL, path, "%s%s%.80s", what, value ? ": " : "", buf_cstr(&text));
}

static int too_large(struct reader *r)
{
    return err_set(r->reterr, -ENOMEM, NULL, "the schemas are too large");
}

static int keep_text(struct reader *r, struct str text, const char **ret)
{
    *ret = arena_str(r->book->arena, text).p;
    return *ret ? 0 : too_large(r);
}

/* ["A", "B"] as "A|B". */
static int keep_joined(struct reader *r, const char *path, const json_t *list, char between,
                       const char **ret)
{
    AUTO_DONE(buf) struct buf b = {0};
    size_t i;
    json_t *item;
    if (!json_is_array(list))
        return bad(r, path, "a list of strings is expected", list);
    json_array_foreach(list, i, item)
    {
        if (!json_is_string(item))
            return bad(r, path, "a list of strings is expected", list);
        if (i)
            buf_add_char(&b, between);
        buf_add_cstr(&b, json_string_value(item));
    }
    return b.failed ? too_large(r) : keep_text(r, buf_str(&b), ret);
}

static int read_int(struct reader *r, const char *path, json_t *value, int64_t *ret)
{
    if (!json_is_integer(value))
        return bad(r, path, "a whole number is expected", value);
    *ret = json_integer_value(value);
    return 0;
}

static int read_string(struct reader *r, const char *path, json_t *value, const char **ret)
{
    if (!json_is_string(value))
        return bad(r, path, "a string is expected", value);
    return keep_text(r, str_from(json_string_value(value)), ret);
}

/* ---- words of a field; each reads its value into the field ---- */

typedef int word_fn(struct reader *r, struct schema_field *f, json_t *value, const char *path);

static int word_ref(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    f->type = FIELD_OBJECT;
    f->of = schema_book_find(r->book, name);
    return f->of ? 0 : bad(r, path, "there is no such definition", value);
}

static int word_type(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    const char *type = json_is_string(value) ? json_string_value(value) : "";
    if (streq(type, "array"))
        f->shape = SHAPE_LIST;
    else if (streq(type, "boolean"))
        f->type = FIELD_BOOL;
    else if (streq(type, "integer"))
        f->type = FIELD_INT64;
    else if (!streq(type, "string") && !streq(type, "object"))
        return bad(r, path, "no such type; string, boolean, integer, array, object are", value);
    return 0;
}

static int word_format(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    const char *word = json_is_string(value) ? json_string_value(value) : "";
    if (f->type == FIELD_INT64 && (streq(word, "int32") || streq(word, "int64"))) {
        f->type = streq(word, "int32") ? FIELD_INT32 : FIELD_INT64;
        return 0;
    }
    if (f->type == FIELD_INT_OR_STRING && streq(word, "quantity")) {
        f->type = FIELD_QUANTITY;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        bool keys =
            f->shape == SHAPE_MAP && formats[i].type == FIELD_STRING; /* of a map: its keys */
        if (!streq(formats[i].word, word) || (f->type != FIELD_STRING && !keys))
            continue;
        f->format = formats[i].format;
        f->type = keys ? f->type : formats[i].type;
        return 0;
    }
    return bad(r, path, "no such format for this type", value);
}

static int word_int_or_string(struct reader *r, struct schema_field *f, json_t *value,
                              const char *path)
{
    if (!json_is_true(value))
        return bad(r, path, "true is expected", value);
    f->type = FIELD_INT_OR_STRING;
    return 0;
}

static int word_any(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    if (!json_is_true(value))
        return bad(r, path, "true is expected", value);
    f->type = FIELD_ANY;
    return 0;
}

static int word_enum(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    return keep_joined(r, path, value, '|', &f->values);
}

static int word_default(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    AUTO_DONE(buf) struct buf text = {0};
    (void)path;
    json_write(&text, value);
    return text.failed ? too_large(r) : keep_text(r, buf_str(&text), &f->def);
}

static int word_minimum(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    if (!f->bounded)
        f->max = f->type == FIELD_INT32 ? INT32_MAX : INT64_MAX;
    f->bounded = true;
    return read_int(r, path, value, &f->min);
}

static int word_maximum(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    if (!f->bounded)
        f->min = f->type == FIELD_INT32 ? INT32_MIN : INT64_MIN;
    f->bounded = true;
    return read_int(r, path, value, &f->max);
}

static int word_strategy(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    struct str rest = str_from(json_is_string(value) ? json_string_value(value) : "?");
    while (rest.p) {
        struct str word = str_cut(rest, ',', &rest);
        if (str_is(word, "merge"))
            f->patch_merge = true;
        else if (str_is(word, "retainKeys"))
            f->patch_retain_keys = true;
        else
            return bad(r, path, "no such strategy; merge and retainKeys are", value);
    }
    return 0;
}

static int word_merge_key(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    return read_string(r, path, value, &f->merge_key);
}

static int word_list_type(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    const char *word = json_is_string(value) ? json_string_value(value) : "";
    f->set = streq(word, "set");
    f->atomic = streq(word, "atomic");
    return f->set || f->atomic || streq(word, "map") || streq(word, "granular")
               ? 0
               : bad(r, path, "no such type; set, atomic, map, granular are", value);
}

static int word_map_keys(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    return keep_joined(r, path, value, ',', &f->map_keys);
}

static int word_pb(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    int64_t number = 0;
    int code = read_int(r, path, value, &number);
    if (code == 0 && (number < 1 || number > UINT16_MAX))
        return bad(r, path, "field numbers are 1 to 65535", value);
    f->pb = (uint16_t)number;
    return code;
}

static int word_go(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    struct str rest = str_from(json_is_string(value) ? json_string_value(value) : "?");
    while (rest.p) {
        struct str word = str_cut(rest, ' ', &rest);
        if (str_is(word, "pointer"))
            f->pointer = true;
        else if (str_is(word, "omitempty"))
            f->omitempty = true;
        else
            return bad(r, path, "no such word; pointer and omitempty are", value);
    }
    return 0;
}

static int word_go_type(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    return read_string(r, path, value, &f->go_type);
}

static int word_nested(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    struct schema *inner = arena_alloc(r->book->arena, sizeof(*inner));
    AUTO_JSON json_t *definition = json_pack("{s:O}", "properties", value);
    if (!inner || !definition)
        return too_large(r);
    inner->name = f->name;
    f->type = FIELD_OBJECT;
    f->of = inner;
    return fill(r, inner, definition, path);
}

static int word_description(struct reader *r, struct schema_field *f, json_t *value,
                            const char *path)
{
    (void)f;
    return json_is_string(value) ? 0 : bad(r, path, "a string is expected", value);
}

static int word_items(struct reader *r, struct schema_field *f, json_t *value, const char *path);
static int word_values(struct reader *r, struct schema_field *f, json_t *value, const char *path);

/* In the order they are read: type before what depends on it. */
static const struct word {
    const char *name;
    word_fn *read;
} words[] = {
    {"$ref", word_ref},
    {"type", word_type},
    {"x-kubernetes-int-or-string", word_int_or_string},
    {"x-kubernetes-preserve-unknown-fields", word_any},
    {"properties", word_nested},
    {"items", word_items},
    {"additionalProperties", word_values},
    {"format", word_format},
    {"enum", word_enum},
    {"default", word_default},
    {"minimum", word_minimum},
    {"maximum", word_maximum},
    {"x-kubernetes-patch-strategy", word_strategy},
    {"x-kubernetes-patch-merge-key", word_merge_key},
    {"x-kubernetes-list-type", word_list_type},
    {"x-kubernetes-map-type", word_list_type},
    {"x-kubernetes-list-map-keys", word_map_keys},
    {"x-pb", word_pb},
    {"x-go", word_go},
    {"x-go-type", word_go_type},
    {"description", word_description},
};

static int read_words(struct reader *r, struct schema_field *f, json_t *schema, const char *path)
{
    size_t known = 0;
    if (!json_is_object(schema))
        return bad(r, path, "an object is expected", schema);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        json_t *value = json_object_get(schema, words[i].name);
        AUTO_CHARS char *place = NULL;
        if (!value)
            continue;
        known++;
        place = xasprintf("%s.%s", path, words[i].name);
        int code = words[i].read(r, f, value, place);
        if (code < 0)
            return code;
    }
    if (known == json_object_size(schema))
        return 0;
    const char *key;
    json_t *value;
    json_object_foreach(schema, key, value)
    {
        size_t i = 0;
        while (i < ARRAY_LEN(words) && !streq(words[i].name, key))
            i++;
        if (i == ARRAY_LEN(words))
            return err_set(r->reterr, -EINVAL, path, "no such word: %.80s", key);
    }
    return 0;
}

/* What an element is says what the field is; lists of lists have no table. */
static int read_element(struct reader *r, struct schema_field *f, json_t *value, const char *path,
                        enum field_shape shape)
{
    struct schema_field inner = {.name = f->name};
    int code = read_words(r, &inner, value, path);
    if (code < 0)
        return code;
    if (inner.shape != SHAPE_ONE)
        return bad(r, path, "lists and maps of lists and maps are not supported", value);
    f->type = inner.type;
    f->of = inner.of;
    f->format = inner.format;
    f->values = inner.values;
    f->shape = shape;
    return 0;
}

static int word_items(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    return read_element(r, f, value, path, SHAPE_LIST);
}

static int word_values(struct reader *r, struct schema_field *f, json_t *value, const char *path)
{
    return read_element(r, f, value, path, SHAPE_MAP);
}

/* ---- definitions ---- */

static struct schema_field *field_named(struct schema_field *fields, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (streq(fields[i].name, name))
            return &fields[i];
    return NULL;
}

static int mark_required(struct reader *r, struct schema_field *fields, size_t n,
                         const json_t *required, const char *path)
{
    size_t i;
    json_t *item;
    if (required && !json_is_array(required))
        return bad(r, path, "required is a list of names", required);
    json_array_foreach(required, i, item)
    {
        const char *name = json_is_string(item) ? json_string_value(item) : "";
        struct schema_field *f = field_named(fields, n, name);
        if (!f)
            return bad(r, path, "required names no property", item);
        f->required = true;
    }
    return 0;
}

static int fill_inlined(struct reader *r, struct schema_field *fields, size_t *n, json_t *all_of,
                        const char *path)
{
    size_t i;
    json_t *item;
    json_array_foreach(all_of, i, item)
    {
        struct schema_field *f = &fields[(*n)++];
        f->name = "";
        f->inlined = true;
        int code = read_words(r, f, item, path);
        if (code < 0)
            return code;
        if (!f->of)
            return bad(r, path, "allOf takes references only", item);
    }
    return 0;
}

static int fill_properties(struct reader *r, struct schema_field *fields, size_t *n,
                           json_t *properties, const char *path)
{
    const char *key;
    json_t *value;
    json_object_foreach(properties, key, value)
    {
        struct schema_field *f = &fields[(*n)++];
        AUTO_CHARS char *place = xasprintf("%s.%s", path, key);
        int code = keep_text(r, str_from(key), &f->name);
        if (code == 0)
            code = read_words(r, f, value, place);
        if (code < 0)
            return code;
    }
    return 0;
}

static int fill(struct reader *r, struct schema *s, json_t *definition, const char *path)
{
    static const char *const known[] = {"properties",  "allOf",
                                        "required",    "title",
                                        "description", "x-kubernetes-group-version-kind"};
    json_t *properties = json_object_get(definition, "properties");
    json_t *all_of = json_object_get(definition, "allOf");
    size_t n = 0, words_known = 0;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        words_known += json_object_get(definition, known[i]) != NULL;
    if (!json_is_object(definition) || words_known != json_object_size(definition))
        return bad(r, path,
                   "a definition has properties, allOf, required, title, description or "
                   "x-kubernetes-group-version-kind",
                   definition);
    if ((properties && !json_is_object(properties)) || (all_of && !json_is_array(all_of)))
        return bad(r, path, "properties is an object, allOf a list", definition);
    size_t room = json_object_size(properties) + json_array_size(all_of);
    struct schema_field *fields = arena_alloc(r->book->arena, (room + 1) * sizeof(*fields));
    if (!fields)
        return too_large(r);
    int code = fill_inlined(r, fields, &n, all_of, path);
    if (code == 0)
        code = fill_properties(r, fields, &n, properties, path);
    if (code == 0)
        code = mark_required(r, fields, n, json_object_get(definition, "required"), path);
    s->fields = fields;
    s->n = n;
    return code;
}

/* ---- circles ---- */

enum { TABLES_SEEN_MAX = 4096 };

struct search {
    const struct schema *wanted;
    bool inlined_only;
    size_t n;
    const struct schema *seen[TABLES_SEEN_MAX];
};

/* Is the wanted table part of what s holds? Yes, too, when there are too many to tell. */
static bool leads_to(struct search *q, const struct schema *s)
{
    for (size_t i = 0; i < q->n; i++)
        if (q->seen[i] == s)
            return false;
    if (s == q->wanted || q->n == TABLES_SEEN_MAX)
        return true;
    q->seen[q->n++] = s;
    for (size_t i = 0; i < s->n; i++)
        if (s->fields[i].of && (s->fields[i].inlined || !q->inlined_only) &&
            leads_to(q, s->fields[i].of))
            return true;
    return false;
}

/* A message that stands in itself has no end, nor has one that is the default of a part of itself:
 * finding a field and filling in defaults would not return. */
static int check_circles(struct reader *r, const struct schema *s, const char *path)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct schema_field *f = &s->fields[i];
        if (!f->of || (!f->inlined && !f->def))
            continue;
        struct search *q = NEW(struct search);
        *q = (struct search){.wanted = s, .inlined_only = f->inlined};
        bool circle = leads_to(q, f->of);
        free(q);
        if (circle)
            return bad(r, path, "a message may not stand in itself by allOf or default", NULL);
    }
    return 0;
}

void schema_book_init(struct schema_book *b, size_t cap_bytes)
{
    *b = (struct schema_book){.arena = arena_new(cap_bytes)};
}

void schema_book_done(struct schema_book *b)
{
    map_done(&b->tables);
    arena_free(b->arena);
    *b = (struct schema_book){0};
}

const struct schema *schema_book_find(const struct schema_book *b, const char *name)
{
    return map_find_cstr(&b->tables, name);
}

int schema_book_add(struct schema_book *b, json_t *definitions, struct err *reterr)
{
    struct reader r = {b, reterr};
    const char *name;
    json_t *definition;
    ASSERT(b->arena);
    if (!json_is_object(definitions))
        return bad(&r, NULL, "definitions are expected: names and their schemas", definitions);
    json_object_foreach(definitions, name, definition)
    {
        const char *title = json_key_str(definition, "title");
        struct schema *s = arena_alloc(b->arena, sizeof(*s));
        if (!s || keep_text(&r, str_from(title ? title : name), &s->name) < 0)
            return too_large(&r);
        if (map_put_cstr(&b->tables, name, s))
            return bad(&r, name, "is defined twice", NULL);
    }
    json_object_foreach(definitions, name, definition)
    {
        int code = fill(&r, map_find_cstr(&b->tables, name), definition, name);
        if (code < 0)
            return code;
    }
    json_object_foreach(definitions, name, definition)
    {
        int code = check_circles(&r, map_find_cstr(&b->tables, name), name);
        if (code < 0)
            return code;
    }
    return 0;
}
