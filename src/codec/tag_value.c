#include "codec/tag_value.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "codec/http_head.h"

static struct str trim(const char *text)
{
    return str_trim(str_from(text));
}

/* What stands between quotes that are alike; .p NULL: it does not. */
static struct str unquoted(struct str s)
{
    if (s.n < 2 || (s.p[0] != '"' && s.p[0] != '\'') || s.p[s.n - 1] != s.p[0])
        return (struct str){NULL, 0};
    struct str inside = str_sub(s, 1, s.n - 1);
    for (size_t i = 0; i < inside.n; i++)
        if (inside.p[i] == s.p[0] || inside.p[i] == '\\' || (unsigned char)inside.p[i] < 0x20)
            return (struct str){NULL, 0};
    return inside;
}

/* request.headers['x']; .p NULL: it is none. */
static struct str field_of(struct str s)
{
    struct str before = STR("request.headers[");
    if (!str_starts(s, before) || s.p[s.n - 1] != ']')
        return (struct str){NULL, 0};
    struct str name = unquoted(str_trim(str_sub(s, before.n, s.n - 1)));
    return name.p && http_is_token(name) ? name : (struct str){NULL, 0};
}

int tag_value_parse(const char *text, struct tag_value *ret, struct err *reterr)
{
    static const struct {
        const char *word;
        enum tag_attribute is;
    } words[] = {
        {"request.method", TAG_METHOD}, {"request.host", TAG_HOST}, {"request.scheme", TAG_SCHEME}};
    struct str s = trim(text), constant = unquoted(s), field = field_of(s);
    *ret = (struct tag_value){.attribute = TAG_TEXT};
    if (s.n > TAG_VALUE_BYTES_MAX)
        return err_set(reterr, -EINVAL, NULL, "it is longer than %d bytes", TAG_VALUE_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_is(s, words[i].word)) {
            ret->attribute = words[i].is;
            return 0;
        }
    if (!constant.p && !field.p)
        return err_set(reterr, -EINVAL, NULL,
                       "'text', request.method, request.host, request.scheme and "
                       "request.headers['x'] can be");
    ret->attribute = field.p ? TAG_FIELD : TAG_TEXT;
    ret->text = str_dup(field.p ? field : constant);
    for (char *p = ret->text; field.p && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return 0;
}

void tag_value_done(struct tag_value *v)
{
    free(v->text);
    v->text = NULL;
}

bool tag_name_is_valid(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            return false;
    return n > 0 && n <= TAG_NAME_BYTES_MAX && !isdigit((unsigned char)*name) &&
           strncmp(name, "__", 2) != 0;
}
