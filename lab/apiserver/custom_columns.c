/* Printer columns of custom kinds: the part of kubectl's JSON paths that definitions use: members,
 * quoted members, [number], [*], and a filter by equality, [?(@.type=="Ready")]. What is written
 * otherwise finds nothing. Pure. */
#include <stdlib.h>

#include "lab/apiserver/custom_kind.h"

/* A member's name up to the next "." or "["; a backslash quotes. Advances *s. */
static char *take_name(struct str *s)
{
    AUTO_DONE(buf) struct buf b = {0};
    size_t i = 0;
    for (; i < s->n && s->p[i] != '.' && s->p[i] != '['; i++) {
        if (s->p[i] == '\\' && i + 1 < s->n)
            i++;
        buf_add_char(&b, s->p[i]);
    }
    *s = str_sub(*s, i, s->n);
    return buf_take_cstr(&b);
}

/* The text between [ and its ]; quotes hide brackets. Advances *s behind it; false: there is no
 * end. */
static bool take_bracket(struct str *s, struct str *ret)
{
    char quote = 0;
    for (size_t i = 1; i < s->n; i++) {
        char c = s->p[i];
        if (quote ? c == quote : c == '\'' || c == '"')
            quote = quote ? 0 : c;
        else if (!quote && c == ']') {
            *ret = str_trim(str_sub(*s, 1, i));
            *s = str_sub(*s, i + 1, s->n);
            return true;
        }
    }
    return false;
}

static struct str unquote(struct str s)
{
    s = str_trim(s);
    if (s.n >= 2 && (s.p[0] == '\'' || s.p[0] == '"') && s.p[s.n - 1] == s.p[0])
        return str_sub(s, 1, s.n - 1);
    return s;
}

static bool is_text(const json_t *v, struct str want)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (json_is_string(v))
        return str_is(want, json_string_value(v));
    if (!v || json_is_array(v) || json_is_object(v))
        return false;
    json_write(&b, v);
    return str_eq(want, buf_str(&b));
}

/* ?(@.NAME=="TEXT"); the first element that is so. */
static const json_t *filtered(const json_t *list, struct str filter)
{
    size_t i;
    json_t *item;
    if (!str_starts(filter, STR("?(@.")) || !str_ends(filter, STR(")")))
        return NULL;
    struct str right, left = str_cut(str_sub(filter, 4, filter.n - 1), '=', &right);
    if (!right.p || !str_starts(right, STR("=")))
        return NULL;
    AUTO_CHARS char *name = str_dup(str_trim(left));
    struct str want = unquote(str_sub(right, 1, right.n));
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        if (is_text(json_at(item, name), want))
            return item;
    }
    return NULL;
}

static const json_t *in_bracket(const json_t *v, struct str inside)
{
    if (json_is_array(v) && str_starts(inside, STR("?")))
        return filtered(v, inside);
    if (json_is_array(v)) {
        uint64_t index = 0;
        if (!str_is(inside, "*") && str_to_u64(inside, &index) < 0)
            return NULL;
        return json_array_get(v, (size_t)index);
    }
    AUTO_CHARS char *name = str_dup(unquote(inside));
    return json_object_get(v, name);
}

json_t *custom_path_find(const char *path, const json_t *object)
{
    struct str rest = str_from(path), inside;
    const json_t *v = object;
    while (v && rest.n) {
        if (rest.p[0] == '[') {
            if (!take_bracket(&rest, &inside))
                return NULL;
            v = in_bracket(v, inside);
            continue;
        }
        if (rest.p[0] == '.')
            rest = str_sub(rest, 1, rest.n);
        if (rest.n && rest.p[0] == '[')
            continue;
        AUTO_CHARS char *name = take_name(&rest);
        v = json_object_get(v, name);
    }
    return json_incref((json_t *)(uintptr_t)v);
}

/* As the column's type wants it; null where it is of another. */
static json_t *as_type(const char *type, json_t *found)
{
    AUTO_JSON json_t *v = found;
    AUTO_DONE(buf) struct buf b = {0};
    if (!v || json_is_null(v))
        return json_null();
    if (streq(type, "integer"))
        return json_is_integer(v) ? json_incref(v)
               : json_is_real(v)  ? json_integer((json_int_t)json_real_value(v))
                                  : json_null();
    if (streq(type, "number"))
        return json_is_number(v) ? json_incref(v) : json_null();
    if (streq(type, "boolean"))
        return json_is_boolean(v) ? json_incref(v) : json_null();
    if (json_is_string(v))
        return json_incref(v);
    if (streq(type, "date"))
        return json_null();
    json_write(&b, v);
    return json_text(buf_str(&b));
}

json_t *custom_cells(const struct custom_kind *k, const json_t *object)
{
    json_t *cells = json_array();
    for (size_t i = 0; i < k->n_columns; i++)
        json_array_append_new(
            cells, as_type(k->columns[i].type, custom_path_find(k->columns[i].path, object)));
    return cells;
}
