/* JSON in Go's form. Ends early once the buffer is full: a value may hold another many times. */
#include "chart/go_json.h"

#include <math.h>
#include <stdio.h>

static void write_text(struct buf *b, struct str s)
{
    AUTO_DONE(buf) struct buf plain = {0};
    json_write_string(&plain, s);
    for (size_t i = 0; i < plain.n; i++) {
        char c = plain.p[i];
        if (c == '<' || c == '>' || c == '&')
            buf_addf(b, "\\u%04x", c);
        else
            buf_add_char(b, c);
    }
}

/* The shortest text that is read as the same number. */
static void write_real(struct buf *b, double v)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_add_cstr(b, text);
}

static int compare_keys(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void write_object(struct buf *b, const json_t *j)
{
    AUTO_CHARS const char **keys = xcalloc(json_object_size(j) + 1, sizeof(*keys));
    size_t n = 0;
    const char *key;
    json_t *v;
    /* Reading is all that is done with it. */
    json_object_foreach((json_t *)(uintptr_t)j, key, v) keys[n++] = key;
    qsort(keys, n, sizeof(*keys), compare_keys);
    buf_add_char(b, '{');
    for (size_t i = 0; i < n && !b->failed; i++) {
        if (i)
            buf_add_char(b, ',');
        write_text(b, str_from(keys[i]));
        buf_add_char(b, ':');
        go_json_write(b, json_object_get(j, keys[i]));
    }
    buf_add_char(b, '}');
}

void go_json_write(struct buf *b, const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        write_object(b, j);
        break;
    case JSON_ARRAY:
        buf_add_char(b, '[');
        for (size_t i = 0; i < json_array_size(j) && !b->failed; i++) {
            if (i)
                buf_add_char(b, ',');
            go_json_write(b, json_array_get(j, i));
        }
        buf_add_char(b, ']');
        break;
    case JSON_STRING:
        write_text(b, str_of(json_string_value(j), json_string_length(j)));
        break;
    case JSON_INTEGER:
        buf_addf(b, "%lld", (long long)json_integer_value(j));
        break;
    case JSON_REAL:
        write_real(b, json_real_value(j));
        break;
    case JSON_TRUE:
        buf_add_cstr(b, "true");
        break;
    case JSON_FALSE:
        buf_add_cstr(b, "false");
        break;
    case JSON_NULL:
        buf_add_cstr(b, "null");
        break;
    }
}
