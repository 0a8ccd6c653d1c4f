/* Values against a JSON schema. A word of the schema that is not known here is an error, so that
 * nothing it says goes unheeded. Mistakes are told with the key, as it is written for --set. */
#include <errno.h>
#include <stdio.h>

#include "base/args.h"
#include "chart/go_json.h"
#include "chart/values.h"
#include "codec/regex.h"

enum { DEPTH_MAX = 40, ENUM_MAX = 16 };

struct check {
    struct buf *told;   /* NULL: nothing is told, only counted */
    const char *reason; /* why this holds at all; "" */
    int found;
    unsigned depth;
    struct err *err;
};

static void check(struct check *c, json_t *schema, json_t *v, const char *path);

static void tell(struct check *c, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void tell(struct check *c, const char *path, const char *fmt, ...)
{
    if (++c->found > VALUES_ERRORS_MAX || !c->told)
        return;
    va_list ap;
    va_start(ap, fmt);
    buf_addf(c->told, "%s: ", *path ? path : "values");
    buf_addv(c->told, fmt, ap);
    buf_addf(c->told, "%s\n", c->reason);
    va_end(ap);
}

/* Does it hold, without a word? */
static bool holds(struct check *c, json_t *schema, json_t *v)
{
    struct check quiet = {.reason = "", .depth = c->depth, .err = c->err};
    check(&quiet, schema, v, "");
    return quiet.found == 0;
}

static char *below(const char *path, const char *key)
{
    return xasprintf("%s%s%s", path, *path ? "." : "", key);
}

static void add_short(struct buf *b, const json_t *v)
{
    AUTO_DONE(buf) struct buf text = {.cap = 64 * 1024};
    go_json_write(&text, v);
    if (text.n > 60)
        buf_addf(b, "%.57s…", buf_cstr(&text));
    else
        buf_add_str(b, buf_str(&text));
}

static const char *shown(struct buf *b, const json_t *v)
{
    add_short(b, v);
    return buf_cstr(b);
}

/* ---- one word each ---- */

static void on_type(struct check *c, json_t *is, json_t *v, const char *path)
{
    AUTO_DONE(buf) struct buf b = {0};
    static const struct {
        const char *name, *said;
    } types[] = {{"object", "a map"},
                 {"array", "a list"},
                 {"string", "a text (--set-string, or quotes in a file)"},
                 {"boolean", "true or false"},
                 {"integer", "a whole number"},
                 {"number", "a number"}};
    const bool fits[] = {json_is_object(v),  json_is_array(v),   json_is_string(v),
                         json_is_boolean(v), json_is_integer(v), json_is_number(v)};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (streq(types[i].name, json_string_value(is)) && !fits[i])
            tell(c, path, "%s is not %s", shown(&b, v), types[i].said);
}

static void on_enum(struct check *c, json_t *is, json_t *v, const char *path)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(buf) struct buf all = {0};
    const char *names[ENUM_MAX], *near = NULL;
    size_t i, n = 0;
    json_t *one;
    json_array_foreach(is, i, one)
    {
        if (json_equal(one, v))
            return;
        buf_add_cstr(&all, i ? ", " : "");
        add_short(&all, one);
        if (n < ENUM_MAX && json_is_string(one))
            names[n++] = json_string_value(one);
    }
    if (json_is_string(v))
        near = args_nearest(json_string_value(v), names, n);
    tell(c, path, "%s is none of %s%s%s", shown(&b, v), buf_cstr(&all),
         near ? "; did you mean " : "", near ? near : "");
}

static void on_const(struct check *c, json_t *is, json_t *v, const char *path)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(buf) struct buf want = {0};
    if (!json_equal(is, v))
        tell(c, path, "%s has to be %s", shown(&b, v), shown(&want, is));
}

static void on_pattern(struct check *c, json_t *is, json_t *v, const char *path)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_CHARS char *whole = xasprintf("(?s:.*?)(?:%s)(?s:.*)", json_string_value(is));
    AUTO(regex) struct regex *re = NULL;
    if (!json_is_string(v))
        return;
    if (regex_new(str_from(whole), &re, c->err) < 0)
        err_prefix(c->err, NULL, "values.schema.json: pattern");
    else if (!regex_matches_all(re, str_of(json_string_value(v), json_string_length(v))))
        tell(c, path, "%s has not the form %s", shown(&b, v), json_string_value(is));
}

static void on_minimum(struct check *c, json_t *is, json_t *v, const char *path)
{
    if (json_is_number(v) && json_number_value(v) < json_number_value(is))
        tell(c, path, "%g is less than %g, the least", json_number_value(v), json_number_value(is));
}

static void on_maximum(struct check *c, json_t *is, json_t *v, const char *path)
{
    if (json_is_number(v) && json_number_value(v) > json_number_value(is))
        tell(c, path, "%g is more than %g, the most", json_number_value(v), json_number_value(is));
}

static void on_min_length(struct check *c, json_t *is, json_t *v, const char *path)
{
    if (json_is_string(v) && (json_int_t)json_string_length(v) < json_integer_value(is))
        tell(c, path, "is not set, and has to be");
}

static void on_min_items(struct check *c, json_t *is, json_t *v, const char *path)
{
    if (json_is_array(v) && (json_int_t)json_array_size(v) < json_integer_value(is))
        tell(c, path, "has fewer than %lld elements", (long long)json_integer_value(is));
}

static void on_required(struct check *c, json_t *is, json_t *v, const char *path)
{
    size_t i;
    json_t *name;
    json_array_foreach(is, i,
                       name) if (json_is_object(v) && !json_object_get(v, json_string_value(name)))
        tell(c, path, "%s is missing", json_string_value(name));
}

static void on_items(struct check *c, json_t *is, json_t *v, const char *path)
{
    size_t i;
    json_t *one;
    if (!json_is_array(v))
        return;
    json_array_foreach(v, i, one)
    {
        AUTO_CHARS char *p = xasprintf("%s[%zu]", path, i);
        check(c, is, one, p);
    }
}

static void on_properties(struct check *c, json_t *is, json_t *v, const char *path)
{
    const char *key;
    json_t *schema, *one;
    json_object_foreach(is, key, schema)
    {
        AUTO_CHARS char *p = below(path, key);
        if ((one = json_object_get(v, key)))
            check(c, schema, one, p);
    }
}

/* Members that properties does not name. */
static void additional(struct check *c, json_t *schema, json_t *v, const char *path)
{
    json_t *is = json_object_get(schema, "additionalProperties"),
           *known = json_object_get(schema, "properties"), *one;
    const char *key, *name;
    json_object_foreach(v, key, one)
    {
        AUTO_CHARS char *p = below(path, key);
        const char *names[64], *near;
        size_t n = 0;
        json_t *ignored;
        if (json_object_get(known, key))
            continue;
        if (json_is_object(is)) {
            check(c, is, one, p);
            continue;
        }
        if (!json_is_false(is))
            continue;
        json_object_foreach(known, name, ignored) if (n < ARRAY_LEN(names)) names[n++] = name;
        near = args_nearest(key, names, n);
        AUTO_CHARS char *meant = near ? below(path, near) : NULL;
        tell(c, p, "there is no such value%s%s", meant ? "; did you mean " : "",
             meant ? meant : "");
    }
}

/* ---- schemas of schemas ---- */

/* "agent.detectLocalMode is ClusterCIDR": what a condition asks for. */
static void describe(json_t *schema, const char *path, struct buf *to)
{
    json_t *is = json_object_get(schema, "const"), *sub;
    const char *key;
    if (is) {
        AUTO_DONE(buf) struct buf b = {0};
        buf_addf(to, "%s%s is %s", to->n ? " and " : "", path, shown(&b, is));
    }
    json_object_foreach(json_object_get(schema, "properties"), key, sub)
    {
        AUTO_CHARS char *p = below(path, key);
        if (strlen(p) < 200)
            describe(sub, p, to);
    }
}

static void on_if(struct check *c, json_t *is, json_t *schema, json_t *v, const char *path)
{
    json_t *then = json_object_get(schema, "then");
    AUTO_DONE(buf) struct buf why = {0};
    if (!then || !holds(c, is, v))
        return;
    describe(is, path, &why);
    AUTO_CHARS char *reason = xasprintf(", since %s", buf_cstr(&why));
    const char *before = c->reason;
    c->reason = reason;
    check(c, then, v, path);
    c->reason = before;
}

static void on_not(struct check *c, json_t *is, json_t *v, const char *path)
{
    AUTO_DONE(buf) struct buf what = {0};
    if (!holds(c, is, v))
        return;
    describe(is, path, &what);
    tell(c, path, "%s: not at once", buf_cstr(&what));
}

static void on_all_of(struct check *c, json_t *is, json_t *v, const char *path)
{
    size_t i;
    json_t *one;
    json_array_foreach(is, i, one) check(c, one, v, path);
}

static void on_any_of(struct check *c, json_t *is, json_t *v, const char *path)
{
    size_t i;
    json_t *one;
    AUTO_DONE(buf) struct buf b = {0};
    json_array_foreach(is, i, one) if (holds(c, one, v)) return;
    tell(c, path, "%s is none of the forms that it may have", shown(&b, v));
}

static const struct {
    const char *word;
    void (*fn)(struct check *c, json_t *is, json_t *v, const char *path);
} words[] = {
    {"type", on_type},
    {"enum", on_enum},
    {"const", on_const},
    {"pattern", on_pattern},
    {"minimum", on_minimum},
    {"maximum", on_maximum},
    {"required", on_required},
    {"minLength", on_min_length},
    {"items", on_items},
    {"minItems", on_min_items},
    {"allOf", on_all_of},
    {"properties", on_properties},
    {"anyOf", on_any_of},
    {"not", on_not},
    {"$schema", NULL},
    {"title", NULL},
    {"then", NULL},
    {"description", NULL},
    {"if", NULL},
    {"additionalProperties", NULL},
};

static void check(struct check *c, json_t *schema, json_t *v, const char *path)
{
    const char *key;
    json_t *is;
    if (++c->depth > DEPTH_MAX || strlen(path) > 1000) {
        tell(c, path, "nested too deeply");
        c->depth--;
        return;
    }
    json_object_foreach(schema, key, is)
    {
        size_t i = 0;
        while (i < ARRAY_LEN(words) && !streq(words[i].word, key))
            i++;
        if (i == ARRAY_LEN(words))
            err_set(c->err, -ENOTSUP, NULL, "values.schema.json: \"%s\" is not known here", key);
        else if (words[i].fn)
            words[i].fn(c, is, v, path);
    }
    if (json_is_object(v) && json_object_get(schema, "additionalProperties"))
        additional(c, schema, v, path);
    if ((is = json_object_get(schema, "if")))
        on_if(c, is, schema, v, path);
    c->depth--;
}

int values_check(json_t *schema, json_t *values, struct buf *told, struct err *reterr)
{
    struct err err = {0};
    struct check c = {.told = told, .reason = "", .err = &err};
    check(&c, schema, values, "");
    if (c.found > VALUES_ERRORS_MAX)
        buf_addf(told, "and %d more\n", c.found - VALUES_ERRORS_MAX);
    if (err.code && reterr)
        *reterr = err;
    return err.code ? err.code : c.found;
}
