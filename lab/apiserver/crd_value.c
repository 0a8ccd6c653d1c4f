/* Checks a value against a structural schema, with the causes and words of a real API server. What
 * was wrong before and has not been changed is let be (KEP-4008), wherever old and new can be told
 * to be the same member. CEL rules are not evaluated here. Pure. */
#include <math.h>

#include "base/map.h"
#include "lab/apiserver/crd_format.h"
#include "lab/apiserver/crd_schema.h"

struct checker {
    struct field_errors *e;
    struct buf path;
};

static void check(struct checker *c, const struct crd_node *n, const json_t *value,
                  const json_t *old, bool is_new);

static const char *path_of(struct checker *c)
{
    return c->path.n ? buf_cstr(&c->path) : "<nil>";
}

/* "spec.x in body WHAT", as the library of real servers says it. */
static void invalid(struct checker *c, const json_t *value, const char *what, ...)
    __attribute__((format(printf, 3, 4)));
static void invalid(struct checker *c, const json_t *value, const char *what, ...)
{
    AUTO_DONE(buf) struct buf detail = {0};
    va_list ap;
    buf_addf(&detail, "%s in body ", c->path.n ? buf_cstr(&c->path) : "");
    va_start(ap, what);
    buf_addv(&detail, what, ap);
    va_end(ap);
    error_invalid(c->e, value, buf_cstr(&detail), "%s", path_of(c));
}

/* The newest error has another reason than "invalid". */
static void reason_is(struct checker *c, size_t before, const char *reason)
{
    if (c->e->n > before)
        c->e->v[c->e->n - 1].reason = reason;
}

static void wrong_type(struct checker *c, const char *want, const json_t *value)
{
    AUTO_DONE(buf) struct buf text = {0};
    size_t before = c->e->n;
    json_write(&text, value);
    invalid(c, value, "must be of type %s: %.200s", want, buf_cstr(&text));
    reason_is(c, before, "FieldValueTypeInvalid");
}

/* Of the library's checks some do not know where they are: the place is in the sentence. */
static void whole(struct checker *c, const char *fmt)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct str rest, head = str_cut(str_from(fmt), '%', &rest);
    buf_add_str(&b, head);
    buf_add_cstr(&b, c->path.n ? buf_cstr(&c->path) : "");
    buf_add_str(&b, str_sub(rest, 1, rest.n));
    error_invalid_text(c->e, "", buf_cstr(&b), "%s", "<nil>");
}

/* ---- types ---- */

static const char *type_name(const json_t *v)
{
    return json_is_string(v)    ? "string"
           : json_is_integer(v) ? "integer"
           : json_is_real(v)    ? "number"
           : json_is_boolean(v) ? "boolean"
           : json_is_array(v)   ? "array"
           : json_is_object(v)  ? "object"
                                : "null";
}

static bool is_whole(const json_t *v)
{
    double d = json_number_value(v);
    return json_is_integer(v) || (json_is_real(v) && d == floor(d) && fabs(d) < 9e18);
}

static bool type_fits(const struct crd_node *n, const json_t *v)
{
    if (n->int_or_string)
        return json_is_string(v) || is_whole(v);
    switch (n->type) {
    case CRD_OBJECT:
        return json_is_object(v);
    case CRD_ARRAY:
        return json_is_array(v);
    case CRD_STRING:
        return json_is_string(v);
    case CRD_INTEGER:
        return is_whole(v);
    case CRD_NUMBER:
        return json_is_number(v);
    case CRD_BOOLEAN:
        return json_is_boolean(v);
    case CRD_ANY:
        break;
    }
    return true;
}

static void check_type(struct checker *c, const struct crd_node *n, const json_t *value)
{
    static const char *const names[] = {"any",     "object", "array",  "string",
                                        "integer", "number", "boolean"};
    if (json_is_null(value)) {
        if (n->nullable || (n->type == CRD_ANY && !n->int_or_string))
            return;
    } else if (type_fits(n, value)) {
        return;
    }
    AUTO_JSON json_t *name = json_string(type_name(value));
    wrong_type(c, n->int_or_string ? "integer,string" : names[n->type], name);
    if (n->type == CRD_INTEGER && json_is_real(value))
        whole(c, "Checked value must be of type integer (default format) in %s");
}

/* ---- single values ---- */

static void check_enum(struct checker *c, const struct crd_checks *k, const json_t *value)
{
    AUTO_DONE(buf) struct buf b = {0};
    size_t i, before = c->e->n;
    json_t *allowed;
    if (!k->values || json_array_has(k->values, value))
        return;
    buf_add_cstr(&b, "Unsupported value: ");
    json_write(&b, value);
    buf_add_cstr(&b, ": supported values: ");
    json_array_foreach(k->values, i, allowed)
    {
        buf_add_cstr(&b, i ? ", " : "");
        if (!json_is_string(allowed))
            buf_add_char(&b, '"');
        json_write(&b, allowed);
        if (!json_is_string(allowed))
            buf_add_char(&b, '"');
    }
    error_invalid(c->e, value, NULL, "%s", path_of(c));
    reason_is(c, before, "FieldValueNotSupported");
    if (c->e->n > before) {
        free(c->e->v[before].message);
        c->e->v[before].message = buf_take_cstr(&b);
    }
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void check_string(struct checker *c, const struct crd_checks *k, const json_t *value)
{
    const char *s = json_string_value(value);
    int64_t n = (int64_t)characters(s);
    if (k->max_length >= 0 && n > k->max_length)
        error_too_long(c->e, (size_t)k->max_length, "%s", path_of(c));
    if (k->min_length >= 0 && n < k->min_length)
        invalid(c, value, "should be at least %lld chars long", (long long)k->min_length);
    if (k->regex && !regex_matches_all(k->regex, str_from(s)))
        invalid(c, value, "should match '%.500s'", k->pattern);
    if (k->format && !crd_format_fits(k->format, s))
        wrong_type(c, k->format, value);
}

static bool divides(double of, double value)
{
    double q = value / of;
    return fabs(q - round(q)) < 1e-9;
}

static void check_number(struct checker *c, const struct crd_checks *k, const json_t *value)
{
    double d = json_number_value(value);
    if ((k->has & CRD_HAS_MAX) && (k->max_excluded ? d >= k->max : d > k->max))
        invalid(c, value, "should be less than %s%.15g", k->max_excluded ? "" : "or equal to ",
                k->max);
    if ((k->has & CRD_HAS_MIN) && (k->min_excluded ? d <= k->min : d < k->min))
        invalid(c, value, "should be greater than %s%.15g", k->min_excluded ? "" : "or equal to ",
                k->min);
    if ((k->has & CRD_HAS_MULTIPLE) && k->multiple_of != 0 && !divides(k->multiple_of, d))
        invalid(c, value, "should be a multiple of %.15g", k->multiple_of);
    if (k->format && !crd_format_holds(k->format, d))
        whole(c, "Checked value must be of type integer with format int32 in %s");
}

/* ---- lists and objects ---- */

/* What an element is known by among its like, as text. */
static void key_text(const struct crd_node *n, const json_t *item, struct buf *b)
{
    buf_clear(b);
    if (n->list == CRD_LIST_SET) {
        json_write(b, item);
        return;
    }
    for (size_t i = 0; i < n->keys.n; i++) {
        const json_t *v = json_object_get(item, n->keys.v[i]);
        if (v)
            json_write(b, v);
        buf_add_char(b, '\n');
    }
}

static json_t *key_of(const struct crd_node *n, const json_t *item)
{
    if (n->list == CRD_LIST_SET)
        return json_incref((json_t *)(uintptr_t)item);
    json_t *key = json_object();
    for (size_t i = 0; i < n->keys.n; i++) {
        json_t *v = json_object_get(item, n->keys.v[i]);
        if (v)
            json_object_set(key, n->keys.v[i], v);
    }
    return key;
}

static void check_distinct(struct checker *c, const struct crd_node *n, const json_t *list)
{
    struct map seen = {0};
    AUTO_DONE(buf) struct buf text = {0};
    size_t i;
    json_t *item;
    if (n->list == CRD_LIST_ATOMIC)
        return;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        key_text(n, item, &text);
        if (!map_put(&seen, buf_str(&text), item))
            continue;
        AUTO_JSON json_t *key = key_of(n, item);
        error_duplicate(c->e, key, "%s[%zu]", path_of(c), i);
    }
    map_done(&seen);
}

/* The element of old that has the same keys; NULL: none, or nobody can tell. */
static const json_t *old_element(const struct crd_node *n, const json_t *old, const json_t *item)
{
    AUTO_DONE(buf) struct buf want = {0};
    AUTO_DONE(buf) struct buf have = {0};
    size_t i;
    json_t *other;
    if (n->list != CRD_LIST_MAP || !json_array_size(old))
        return NULL;
    key_text(n, item, &want);
    json_array_foreach((json_t *)(uintptr_t)old, i, other)
    {
        key_text(n, other, &have);
        if (str_eq(buf_str(&want), buf_str(&have)))
            return other;
    }
    return NULL;
}

static void too_many(struct checker *c, size_t have, int64_t max, const char *what)
{
    AUTO_DONE(buf) struct buf b = {0};
    size_t before = c->e->n;
    error_too_many(c->e, (size_t)max, "%s", path_of(c));
    if (c->e->n == before)
        return;
    buf_addf(&b, "Too many: %zu: must have at most %lld %s", have, (long long)max, what);
    free(c->e->v[before].message);
    c->e->v[before].message = buf_take_cstr(&b);
}

static void check_list(struct checker *c, const struct crd_node *n, const json_t *list,
                       const json_t *old, bool is_new)
{
    const struct crd_checks *k = n->checks;
    size_t i, size = json_array_size(list);
    json_t *item;
    if (k && k->max_items >= 0 && (int64_t)size > k->max_items)
        too_many(c, size, k->max_items, k->max_items == 1 ? "item" : "items");
    if (k && k->min_items >= 0 && (int64_t)size < k->min_items)
        invalid(c, list, "should have at least %lld items", (long long)k->min_items);
    check_distinct(c, n, list);
    if (!n->items)
        return;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        size_t was = c->path.n;
        const json_t *before = is_new ? NULL : old_element(n, old, item);
        buf_addf(&c->path, "[%zu]", i);
        check(c, n->items, item, before, before == NULL);
        if (n->list == CRD_LIST_MAP && !json_is_object(item))
            error_invalid(c->e, item, "must be an object for an array of list-type map", "%s",
                          path_of(c));
        c->path.n = was;
    }
}

static void check_member(struct checker *c, const struct crd_node *n, const char *name,
                         const json_t *value, const json_t *old, bool is_new)
{
    size_t was = c->path.n;
    const json_t *before = is_new ? NULL : json_object_get(old, name);
    buf_addf(&c->path, "%s%s", was ? "." : "", name);
    check(c, n, value, before, before == NULL);
    c->path.n = was;
}

static void check_object(struct checker *c, const struct crd_node *n, const json_t *object,
                         const json_t *old, bool is_new)
{
    const struct crd_checks *k = n->checks;
    size_t size = json_object_size(object);
    const char *name;
    json_t *value;
    if (k && k->max_properties >= 0 && (int64_t)size > k->max_properties)
        too_many(c, size, k->max_properties, k->max_properties == 1 ? "item" : "items");
    if (k && k->min_properties >= 0 && (int64_t)size < k->min_properties)
        invalid(c, object, "should have at least %lld properties", (long long)k->min_properties);
    for (size_t i = 0; i < n->required.n; i++)
        if (!json_object_get(object, n->required.v[i]))
            error_required(c->e, NULL, "%s%s%s", c->path.n ? buf_cstr(&c->path) : "",
                           c->path.n ? "." : "", n->required.v[i]);
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct crd_node *of = crd_property(n, name);
        if (!of)
            of = n->additional;
        if (of)
            check_member(c, of, name, value, old, is_new);
    }
}

/* ---- allOf, anyOf, oneOf, not ---- */

static size_t try(const struct crd_node *n, const json_t *value, struct checker *c,
                  struct field_errors *errors)
{
    struct checker inner = {.e = errors};
    buf_add_str(&inner.path, buf_str(&c->path));
    check(&inner, n, value, NULL, true);
    buf_done(&inner.path);
    return errors->n;
}

/* How many of them hold; what is wrong with the one that comes nearest goes to *ret_nearest. */
static size_t count_holding(struct checker *c, const struct crd_nodes *of, const json_t *value,
                            struct field_errors *ret_nearest)
{
    size_t holding = 0;
    for (size_t i = 0; i < of->n; i++) {
        struct field_errors errors = {0};
        holding += try(of->v[i], value, c, &errors) == 0;
        if (i == 0 || errors.n < ret_nearest->n) {
            field_errors_done(ret_nearest);
            *ret_nearest = errors;
        } else {
            field_errors_done(&errors);
        }
    }
    return holding;
}

static void take_errors(struct checker *c, struct field_errors *from)
{
    for (size_t i = 0; i < from->n && c->e->n < FIELD_ERRORS_MAX; i++) {
        vec_push(c->e, from->v[i]);
        from->v[i] = (struct field_error){0};
    }
}

static void check_branches(struct checker *c, const struct crd_checks *k, const json_t *value)
{
    struct field_errors nearest = {0};
    size_t valid = 0;
    for (size_t i = 0; i < k->all_of.n; i++) {
        size_t before = c->e->n;
        check(c, k->all_of.v[i], value, NULL, true);
        valid += c->e->n == before;
    }
    if (valid < k->all_of.n)
        whole(c, valid ? "\"%s\" must validate all the schemas (allOf)."
                       : "\"%s\" must validate all the schemas (allOf). None validated");
    if (k->any_of.n && !count_holding(c, &k->any_of, value, &nearest)) {
        whole(c, "\"%s\" must validate at least one schema (anyOf)");
        take_errors(c, &nearest);
    }
    field_errors_done(&nearest);
    size_t holding = k->one_of.n ? count_holding(c, &k->one_of, value, &nearest) : 1;
    if (holding != 1) {
        whole(c, holding ? "\"%s\" must validate one and only one schema (oneOf). Found multiple "
                           "valid alternatives"
                         : "\"%s\" must validate one and only one schema (oneOf). Found none "
                           "valid");
        if (!holding)
            take_errors(c, &nearest);
    }
    field_errors_done(&nearest);
    if (k->not_ && try(k->not_, value, c, &nearest) == 0)
        whole(c, "\"%s\" must not validate the schema (not)");
    field_errors_done(&nearest);
}

static void check(struct checker *c, const struct crd_node *n, const json_t *value,
                  const json_t *old, bool is_new)
{
    if (!is_new && json_equal(value, old))
        return;
    check_type(c, n, value);
    if (json_is_null(value))
        return;
    if (n->checks) {
        check_enum(c, n->checks, value);
        if (json_is_string(value))
            check_string(c, n->checks, value);
        else if (json_is_number(value))
            check_number(c, n->checks, value);
        check_branches(c, n->checks, value);
    }
    if (json_is_array(value) && type_fits(n, value))
        check_list(c, n, value, old, is_new);
    else if (json_is_object(value) && type_fits(n, value))
        check_object(c, n, value, old, is_new);
}

void crd_validate(const struct crd_node *n, const json_t *value, const json_t *old,
                  const char *base, struct field_errors *e)
{
    struct checker c = {.e = e};
    buf_add_cstr(&c.path, base);
    check(&c, n, value, old, old == NULL);
    buf_done(&c.path);
}
