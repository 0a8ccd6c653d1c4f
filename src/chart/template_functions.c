/* The functions of templates, by Helm's names (Go's own, Sprig's, Helm's). Each takes its
 * arguments as JSON values, borrowed, and gives a new reference. */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "chart/go_json.h"
#include "chart/template_priv.h"
#include "codec/yaml.h"

struct call {
    struct template_run *r;
    const struct expr *e;
    json_t *const *v;
    size_t n;
};

static json_t *wrong(struct call *c, const char *what)
{
    return template_fail(c->r, c->e->line, STR_FMT ": %s", STR_ARG(c->e->name), what);
}

bool template_truth(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return json_object_size(v) > 0;
    case JSON_ARRAY:
        return json_array_size(v) > 0;
    case JSON_STRING:
        return json_string_length(v) > 0;
    case JSON_INTEGER:
        return json_integer_value(v) != 0;
    case JSON_REAL:
        return json_real_value(v) != 0;
    case JSON_TRUE:
        return true;
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return false;
}

bool template_print(const json_t *v, struct buf *out)
{
    if (json_is_object(v) || json_is_array(v))
        return false;
    if (json_is_string(v))
        buf_add(out, json_string_value(v), json_string_length(v));
    else if (!json_is_null(v))
        go_json_write(out, v); /* numbers and booleans have the same text */
    return true;
}

static struct str text_of(const json_t *v)
{
    return json_is_string(v) ? str_of(json_string_value(v), json_string_length(v))
                             : (struct str){"", 0};
}

static json_t *taken(struct call *c, struct buf *b)
{
    return b->failed ? wrong(c, "more text than is taken") : json_text(buf_str(b));
}

/* ---- choosing ---- */

static json_t *fn_and(struct call *c)
{
    size_t i = 0;
    while (i + 1 < c->n && template_truth(c->v[i]))
        i++;
    return json_incref(c->v[i]);
}

static json_t *fn_or(struct call *c)
{
    size_t i = 0;
    while (i + 1 < c->n && !template_truth(c->v[i]))
        i++;
    return json_incref(c->v[i]);
}

static json_t *fn_not(struct call *c)
{
    return json_boolean(!template_truth(c->v[0]));
}

/* Lists and maps are equal to nothing, as Go's do not compare. */
static bool same(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return !json_is_object(a) && !json_is_array(a) && json_equal(a, b);
}

static json_t *fn_eq(struct call *c)
{
    for (size_t i = 1; i < c->n; i++)
        if (same(c->v[0], c->v[i]))
            return json_true();
    return json_false();
}

static json_t *fn_ne(struct call *c)
{
    return json_boolean(!same(c->v[0], c->v[1]));
}

static json_t *fn_default(struct call *c)
{
    return json_incref(c->v[template_truth(c->v[1]) ? 1 : 0]);
}

static json_t *fn_ternary(struct call *c)
{
    if (!json_is_boolean(c->v[2]))
        return wrong(c, "the last argument is no boolean");
    return json_incref(c->v[json_is_true(c->v[2]) ? 0 : 1]);
}

/* ---- numbers ---- */

static int64_t number_of(const json_t *v)
{
    int64_t n = 0;
    if (json_is_integer(v))
        return json_integer_value(v);
    if (json_is_real(v) && fabs(json_real_value(v)) < 9e18)
        return (int64_t)json_real_value(v);
    return json_is_string(v) && str_to_i64(text_of(v), &n) == 0 ? n : 0;
}

static json_t *fn_int(struct call *c)
{
    return json_integer(number_of(c->v[0]));
}

static json_t *fn_add(struct call *c)
{
    int64_t sum = 0;
    for (size_t i = 0; i < c->n; i++)
        if (__builtin_add_overflow(sum, number_of(c->v[i]), &sum))
            return wrong(c, "a number that is too large");
    return json_integer(sum);
}

/* ---- lists and maps ---- */

static json_t *fn_list(struct call *c)
{
    json_t *l = json_array();
    for (size_t i = 0; i < c->n; i++)
        json_array_append(l, c->v[i]);
    return l;
}

static json_t *fn_dict(struct call *c)
{
    json_t *d = json_object();
    for (size_t i = 0; i + 1 < c->n; i += 2)
        json_object_setn_nocheck(d, text_of(c->v[i]).p, text_of(c->v[i]).n, c->v[i + 1]);
    return d;
}

static json_t *fn_index(struct call *c)
{
    json_t *v = NULL;
    if (json_is_array(c->v[0]) && json_is_integer(c->v[1]) && json_integer_value(c->v[1]) >= 0)
        v = json_array_get(c->v[0], (size_t)json_integer_value(c->v[1]));
    else if (json_is_object(c->v[0]) && json_is_string(c->v[1]))
        return (v = json_object_get(c->v[0], json_string_value(c->v[1]))) ? json_incref(v)
                                                                          : json_null();
    return v ? json_incref(v) : wrong(c, "no such element");
}

static json_t *fn_append(struct call *c)
{
    json_t *l = json_is_array(c->v[0]) ? json_copy(c->v[0]) : json_array();
    json_array_append(l, c->v[1]);
    return l;
}

static json_t *fn_prepend(struct call *c)
{
    json_t *l = json_is_array(c->v[0]) ? json_copy(c->v[0]) : json_array();
    json_array_insert(l, 0, c->v[1]);
    return l;
}

/* A copy goes in, so that nothing contains itself. */
static json_t *fn_set(struct call *c)
{
    if (!json_is_object(c->v[0]) || !json_is_string(c->v[1]) ||
        !json_values_within(c->v[2], TEMPLATE_VALUES_MAX))
        return wrong(c, "wants a map, a name and a value");
    json_object_set_new(c->v[0], json_string_value(c->v[1]), json_deep_copy(c->v[2]));
    return json_incref(c->v[0]);
}

static json_t *fn_keys(struct call *c)
{
    json_t *l = json_array(), *v;
    const char *key;
    json_object_foreach(c->v[0], key, v) json_array_append_new(l, json_string(key));
    return l;
}

static int compare_texts(const void *a, const void *b)
{
    const char *x = json_string_value(*(json_t *const *)a),
               *y = json_string_value(*(json_t *const *)b);
    return strcmp(x ? x : "", y ? y : "");
}

static json_t *fn_sort_alpha(struct call *c)
{
    size_t n = json_array_size(c->v[0]);
    json_t *l = json_array();
    AUTO_CHARS json_t **all = xcalloc(n + 1, sizeof(json_t *));
    for (size_t i = 0; i < n; i++)
        all[i] = json_array_get(c->v[0], i);
    qsort(all, n, sizeof(json_t *), compare_texts);
    for (size_t i = 0; i < n; i++)
        json_array_append(l, all[i]);
    return l;
}

/* ---- texts ---- */

static json_t *fn_join(struct call *c)
{
    AUTO_DONE(buf) struct buf b = {.cap = TEMPLATE_OUTPUT_MAX};
    json_t *v;
    size_t i;
    if (!json_is_array(c->v[1]))
        return wrong(c, "no list");
    json_array_foreach(c->v[1], i, v)
    {
        if (i)
            buf_add_str(&b, text_of(c->v[0]));
        if (!template_print(v, &b))
            return wrong(c, "a list of lists or maps");
    }
    return taken(c, &b);
}

static bool is_space(char ch)
{
    return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

static json_t *fn_trim(struct call *c)
{
    struct str s = text_of(c->v[0]);
    while (s.n && is_space(s.p[0]))
        s = str_sub(s, 1, s.n);
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return json_text(s);
}

static json_t *fn_trim_suffix(struct call *c)
{
    struct str suffix = text_of(c->v[0]), s = text_of(c->v[1]);
    return json_text(str_ends(s, suffix) ? str_first(s, s.n - suffix.n) : s);
}

static json_t *fn_base(struct call *c)
{
    struct str s = text_of(c->v[0]);
    const char *slash = s.n ? memrchr(s.p, '/', s.n) : NULL;
    return json_text(slash ? str_sub(s, (size_t)(slash - s.p) + 1, s.n) : s);
}

static json_t *indent(struct call *c, bool new_line)
{
    AUTO_DONE(buf) struct buf b = {.cap = TEMPLATE_OUTPUT_MAX};
    int64_t n = number_of(c->v[0]);
    struct str s = text_of(c->v[1]);
    if (n < 0 || n > 100)
        return wrong(c, "0 to 100 blanks");
    if (new_line)
        buf_add_char(&b, '\n');
    do {
        struct str line = str_cut(s, '\n', &s);
        buf_addf(&b, "%*s", (int)n, "");
        buf_add_str(&b, line);
        if (s.p)
            buf_add_char(&b, '\n');
    } while (s.p && !b.failed);
    return taken(c, &b);
}

static json_t *fn_indent(struct call *c)
{
    return indent(c, false);
}

static json_t *fn_nindent(struct call *c)
{
    return indent(c, true);
}

/* As Go's %q. */
static json_t *fn_quote(struct call *c)
{
    static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
    AUTO_DONE(buf) struct buf b = {.cap = TEMPLATE_OUTPUT_MAX};
    AUTO_DONE(buf) struct buf plain = {.cap = TEMPLATE_OUTPUT_MAX};
    if (json_is_null(c->v[0]))
        return json_string("");
    if (!template_print(c->v[0], &plain))
        return wrong(c, "a list or a map: toJson first");
    buf_add_char(&b, '"');
    for (size_t i = 0; i < plain.n; i++) {
        char ch = plain.p[i];
        const char *found = ch ? strchr(from, ch) : NULL;
        if (found)
            buf_addf(&b, "\\%c", to[found - from]);
        else if ((unsigned char)ch < 0x20 || ch == 0x7f)
            buf_addf(&b, "\\x%02x", (unsigned char)ch);
        else
            buf_add_char(&b, ch);
    }
    buf_add_char(&b, '"');
    return taken(c, &b);
}

static json_t *fn_to_string(struct call *c)
{
    AUTO_DONE(buf) struct buf b = {.cap = TEMPLATE_OUTPUT_MAX};
    return template_print(c->v[0], &b) ? taken(c, &b) : wrong(c, "a list or a map: toJson");
}

/* ---- forms ---- */

static json_t *fn_to_json(struct call *c)
{
    AUTO_DONE(buf) struct buf b = {.cap = TEMPLATE_OUTPUT_MAX};
    go_json_write(&b, c->v[0]);
    return taken(c, &b);
}

static json_t *fn_to_yaml(struct call *c)
{
    AUTO_DONE(buf) struct buf b = {.cap = TEMPLATE_OUTPUT_MAX};
    if (!json_values_within(c->v[0], TEMPLATE_VALUES_MAX))
        return wrong(c, "larger than is taken");
    yaml_write(&b, c->v[0]);
    while (b.n && b.p[b.n - 1] == '\n')
        b.n--;
    return taken(c, &b);
}

static json_t *fn_from_json(struct call *c)
{
    struct err err = {0};
    json_t *j = NULL;
    if (json_parse(text_of(c->v[0]), 0, NULL, &j, &err) < 0)
        return wrong(c, err_text(&err));
    return j;
}

static json_t *fn_from_yaml(struct call *c)
{
    struct err err = {0};
    json_t *j = NULL;
    if (yaml_parse(text_of(c->v[0]), &j, &err) < 0)
        return wrong(c, err_text(&err));
    return j ? j : json_null();
}

/* ---- the chart ---- */

static json_t *fn_include(struct call *c)
{
    AUTO_DONE(buf) struct buf b = {.cap = TEMPLATE_OUTPUT_MAX};
    if (c->r->run_part(c->r, text_of(c->v[0]), c->e->line, c->v[1], &b) < 0)
        return NULL;
    return taken(c, &b);
}

static json_t *fn_get(struct call *c)
{
    for (size_t i = 0; i < c->r->t->n_files; i++)
        if (str_is(text_of(c->v[0]), c->r->t->files[i].name))
            return json_text(c->r->t->files[i].text);
    return json_string("");
}

/* One * that stands for anything but a slash. */
static bool glob_matches(struct str pattern, struct str name)
{
    const char *star = pattern.n ? memchr(pattern.p, '*', pattern.n) : NULL;
    if (!star)
        return str_eq(pattern, name);
    struct str before = str_of(pattern.p, (size_t)(star - pattern.p)),
               after = str_sub(pattern, before.n + 1, pattern.n);
    return name.n >= before.n + after.n && str_starts(name, before) && str_ends(name, after) &&
           !memchr(name.p + before.n, '/', name.n - before.n - after.n);
}

static json_t *fn_glob(struct call *c)
{
    json_t *found = json_object();
    for (size_t i = 0; i < c->r->t->n_files; i++) {
        const struct chart_file *f = &c->r->t->files[i];
        if (glob_matches(text_of(c->v[0]), str_from(f->name)))
            json_object_set_new(found, f->name, json_text(f->text));
    }
    return found;
}

static const struct function {
    const char *name;
    size_t min, max;
    json_t *(*fn)(struct call *c);
} functions[] = {
    {"and", 1, 16, fn_and},
    {"or", 1, 16, fn_or},
    {"not", 1, 1, fn_not},
    {"eq", 2, 16, fn_eq},
    {"ne", 2, 2, fn_ne},
    {"default", 2, 2, fn_default},
    {"ternary", 3, 3, fn_ternary},
    {"int", 1, 1, fn_int},
    {"add", 1, 16, fn_add},
    {"list", 0, 16, fn_list},
    {"dict", 0, 16, fn_dict},
    {"index", 2, 2, fn_index},
    {"append", 2, 2, fn_append},
    {"prepend", 2, 2, fn_prepend},
    {"set", 3, 3, fn_set},
    {"keys", 1, 1, fn_keys},
    {"sortAlpha", 1, 1, fn_sort_alpha},
    {"join", 2, 2, fn_join},
    {"trim", 1, 1, fn_trim},
    {"trimSuffix", 2, 2, fn_trim_suffix},
    {"base", 1, 1, fn_base},
    {"indent", 2, 2, fn_indent},
    {"nindent", 2, 2, fn_nindent},
    {"quote", 1, 1, fn_quote},
    {"toString", 1, 1, fn_to_string},
    {"toJson", 1, 1, fn_to_json},
    {"toYaml", 1, 1, fn_to_yaml},
    {"fromJson", 1, 1, fn_from_json},
    {"fromYaml", 1, 1, fn_from_yaml},
    {"include", 2, 2, fn_include},
    {"Get", 1, 1, fn_get},
    {"Glob", 1, 1, fn_glob},
};

static const struct function *find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (str_is(name, functions[i].name))
            return &functions[i];
    return NULL;
}

bool template_function_exists(struct str name)
{
    return name.n && (name.p[0] < 'A' || name.p[0] > 'Z') && find(name);
}

json_t *template_call(struct template_run *r, const struct expr *e, json_t *const *args, size_t n)
{
    const struct function *f = find(e->name);
    struct call c = {r, e, args, n};
    if (!f || n < f->min || n > f->max)
        return wrong(&c, "the wrong number of arguments");
    json_t *v = f->fn(&c);
    return v ? v : wrong(&c, "a text that is not UTF-8");
}
