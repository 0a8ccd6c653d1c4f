/* Values from the command line, and how they come together. */
#include "chart/values.h"

#include <errno.h>

struct reader {
    struct str text;
    size_t at;
    bool texts;
    struct err *err;
};

static int wrong(struct reader *r, const char *what)
{
    return err_set(r->err, -EINVAL, NULL, "\"" STR_FMT "\": %s", STR_ARG(str_first(r->text, 200)),
                   what);
}

/* Up to one of the characters that end it; \ takes the next as it is. Returns the end, 0 at the end
 * of the text. */
static char read_until(struct reader *r, const char *ends, struct buf *word, bool *ret_escaped)
{
    while (r->at < r->text.n) {
        char c = r->text.p[r->at++];
        if (c == '\\' && r->at < r->text.n) {
            buf_add_char(word, r->text.p[r->at++]);
            *ret_escaped = true;
            continue;
        }
        if (c && strchr(ends, c))
            return c;
        buf_add_char(word, c);
    }
    return '\0';
}

static json_t *typed(const struct reader *r, struct str s, bool escaped)
{
    int64_t n;
    if (r->texts || escaped)
        return json_text(s);
    if (str_is(s, "true") || str_is(s, "false"))
        return json_boolean(str_is(s, "true"));
    if (str_is(s, "null"))
        return json_null();
    /* 0123 is a text, as in Helm. */
    if (s.n && (str_is(s, "0") || s.p[0] != '0') && str_to_i64(s, &n) == 0)
        return json_integer(n);
    return json_text(s);
}

/* {a,b,c}, behind the {. */
static int read_list(struct reader *r, json_t **ret)
{
    AUTO_JSON json_t *list = json_array();
    for (char end = ','; end == ',';) {
        AUTO_DONE(buf) struct buf word = {0};
        bool escaped = false;
        end = read_until(r, ",}", &word, &escaped);
        if (!end)
            return wrong(r, "a } is missing");
        json_array_append_new(list, typed(r, buf_str(&word), escaped)); /* {} is one empty text */
    }
    if (r->at < r->text.n && r->text.p[r->at++] != ',')
        return wrong(r, "behind a } comes a comma");
    *ret = json_incref(list);
    return 0;
}

static int read_value(struct reader *r, json_t **ret)
{
    AUTO_DONE(buf) struct buf word = {0};
    bool escaped = false;
    if (r->at < r->text.n && r->text.p[r->at] == '{') {
        r->at++;
        return read_list(r, ret);
    }
    read_until(r, ",", &word, &escaped);
    *ret = typed(r, buf_str(&word), escaped);
    return 0;
}

/* The place of an element, made if it is the next; behind the [. Returns what follows. */
static int read_index(struct reader *r, size_t *ret_index, char *ret_end)
{
    AUTO_DONE(buf) struct buf word = {0};
    bool escaped = false;
    uint64_t n;
    if (!read_until(r, "]", &word, &escaped) || str_to_u64(buf_str(&word), &n) < 0 ||
        n >= VALUES_INDEX_MAX)
        return wrong(r, "between [ and ] stands the number of an element, below 1000");
    *ret_index = n;
    *ret_end = r->at < r->text.n ? r->text.p[r->at++] : '\0';
    return *ret_end && strchr(".[=", *ret_end) ? 0 : wrong(r, "KEY=VALUE");
}

static void put(json_t *in, const char *name, size_t index, json_t *value)
{
    if (name) {
        json_object_set_new(in, name, value);
        return;
    }
    while (json_array_size(in) <= index)
        json_array_append_new(in, json_null());
    json_array_set_new(in, index, value);
}

static json_t *container(json_t *in, const char *name, size_t index, bool list)
{
    json_t *v = name ? json_object_get(in, name) : json_array_get(in, index);
    if (list ? json_is_array(v) : json_is_object(v))
        return v;
    put(in, name, index, v = list ? json_array() : json_object());
    return v;
}

/* One KEY=VALUE. */
static int read_one(struct reader *r, json_t *values)
{
    json_t *in = values, *value = NULL;
    for (int i = 0; i < VALUES_PATH_MAX; i++) {
        AUTO_DONE(buf) struct buf word = {0};
        bool escaped = false;
        size_t index = 0;
        char end = read_until(r, ".[=,", &word, &escaped);
        const char *name = buf_cstr(&word);
        if (!word.n || !json_is_utf8(buf_str(&word)) || memchr(word.p, '\0', word.n))
            return wrong(r, "a key is missing");
        while (end == '[') {
            in = container(in, name, index, true);
            name = NULL;
            if (read_index(r, &index, &end) < 0)
                return -EINVAL;
            if (++i >= VALUES_PATH_MAX)
                break;
        }
        if (end == '=') {
            int n = read_value(r, &value);
            if (n == 0 && !value)
                return wrong(r, "a value that is not UTF-8");
            if (n == 0)
                put(in, name, index, value);
            return n;
        }
        if (end != '.')
            return wrong(r, "KEY=VALUE");
        in = container(in, name, index, false);
    }
    return wrong(r, "more parts than any key has");
}

int values_set(json_t *values, struct str text, bool texts, struct err *reterr)
{
    struct reader r = {.text = text, .texts = texts, .err = reterr};
    int n = text.n ? 0 : wrong(&r, "KEY=VALUE");
    while (n == 0 && r.at < text.n)
        n = read_one(&r, values);
    return n;
}

void values_merge(json_t *values, const json_t *over)
{
    const char *key;
    json_t *v;
    /* Reading is all that is done with it. */
    json_object_foreach((json_t *)(uintptr_t)over, key, v)
    {
        json_t *has = json_object_get(values, key);
        if (json_is_object(has) && json_is_object(v))
            values_merge(has, v);
        else
            json_object_set_new(values, key, json_deep_copy(v));
    }
}

json_t *values_coalesce(const json_t *defaults, const json_t *chosen)
{
    json_t *all = json_deep_copy(defaults);
    const char *key;
    json_t *v;
    /* Reading is all that is done with it. */
    json_object_foreach((json_t *)(uintptr_t)chosen, key, v)
    {
        json_t *has = json_object_get(all, key);
        if (json_is_null(v) && has)
            json_object_del(all, key);
        else if (json_is_object(has) && json_is_object(v))
            json_object_set_new(all, key, values_coalesce(has, v));
        else
            json_object_set_new(all, key, json_deep_copy(v));
    }
    return all;
}
