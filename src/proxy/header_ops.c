/* Compiling and applying changes of fields. Those that frame or address a message are not for a
 * configuration to change here. */
#include "proxy/header_ops.h"

#include <errno.h>

#include "base/assert.h"

struct header_name header_name_of(const char *text, struct arena *a)
{
    struct str s = arena_str(a, str_from(text));
    for (size_t i = 0; s.p && i < s.n; i++)
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            ((char *)(uintptr_t)s.p)[i] = (char)(s.p[i] + 32);
    return (struct header_name){
        .id = (uint16_t)(http_is_token(s) ? http_name_find(s) : HTTP_NAME_OTHER), .text = s};
}

static int compile_name(const char *text, struct arena *a, struct pb_path *path,
                        struct header_name *ret, struct err *reterr)
{
    if (text[0] == ':' || str_eq_nocase(str_from(text), STR("host")))
        return pb_path_fail(path, reterr, -EINVAL,
                            "%s: names that begin with ':' and host may not be changed here", text);
    if (!http_is_token(str_from(text)))
        return pb_path_fail(path, reterr, -EINVAL, "\"%s\" is no name of a header", text);
    *ret = header_name_of(text, a);
    return ret->text.p ? 0 : -ENOMEM;
}

static uint8_t action_of(const Envoy__Config__Core__V3__HeaderValueOption *o)
{
    if (o->append)
        return o->append->value ? HEADER_APPEND : HEADER_OVERWRITE_OR_ADD;
    switch ((int)o->append_action) {
    case ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__ADD_IF_ABSENT:
        return HEADER_ADD_IF_ABSENT;
    case ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD:
        return HEADER_OVERWRITE_OR_ADD;
    case ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS:
        return HEADER_OVERWRITE;
    case ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD:
    default:
        return HEADER_APPEND;
    }
}

static int compile_add(const Envoy__Config__Core__V3__HeaderValueOption *o, struct arena *a,
                       struct pb_path *path, struct header_add *ret, struct err *reterr)
{
    size_t mark = pb_path_field(path, "header");
    struct err err = {0};
    int r = o->header ? compile_name(o->header->key, a, path, &ret->name, reterr)
                      : pb_path_fail(path, reterr, -EINVAL, "must be set");
    ret->action = action_of(o);
    ret->keep_empty = o->keep_empty_value;
    if (r == 0 && !http_is_value(str_from(o->header->value)))
        r = pb_path_fail(path, reterr, -EINVAL, "the value has a control character");
    if (r == 0 && (r = format_compile(str_from(o->header->value), a, &ret->value, &err)) < 0)
        r = pb_path_fail(path, reterr, r, "%s", err_text(&err));
    pb_path_back(path, mark);
    return r;
}

int header_ops_compile(Envoy__Config__Core__V3__HeaderValueOption *const *add, size_t n_add,
                       const char *add_field, char *const *remove, size_t n_remove,
                       const char *remove_field, struct arena *a, struct pb_path *path,
                       struct header_ops *ret, struct err *reterr)
{
    int r = 0;
    *ret = (struct header_ops){0};
    if (n_add && !(ret->add = arena_alloc(a, n_add * sizeof(*ret->add))))
        return -ENOMEM;
    if (n_remove && !(ret->remove = arena_alloc(a, n_remove * sizeof(*ret->remove))))
        return -ENOMEM;
    for (size_t i = 0; i < n_add && r == 0; i++) {
        size_t field = pb_path_field(path, add_field), index = pb_path_index(path, i);
        (void)index;
        r = compile_add(add[i], a, path, &ret->add[i], reterr);
        pb_path_back(path, field);
    }
    for (size_t i = 0; i < n_remove && r == 0; i++) {
        size_t field = pb_path_field(path, remove_field), index = pb_path_index(path, i);
        (void)index;
        r = compile_name(remove[i], a, path, &ret->remove[i], reterr);
        pb_path_back(path, field);
    }
    ret->n_add = n_add;
    ret->n_remove = n_remove;
    return r;
}

static bool is_named(const struct http_field *f, const struct header_name *name)
{
    if (!f->name_n || f->id != name->id)
        return false;
    return name->id != HTTP_NAME_OTHER ||
           (f->name_n == name->text.n && str_eq_nocase(str_of(f->name, f->name_n), name->text));
}

struct http_field *head_find(struct http_head *h, struct header_name name)
{
    for (uint16_t i = 0; i < h->n; i++)
        if (is_named(&h->fields[i], &name))
            return &h->fields[i];
    return NULL;
}

static void remove_all(struct http_head *h, const struct header_name *name)
{
    for (uint16_t i = 0; i < h->n; i++)
        if (is_named(&h->fields[i], name))
            h->fields[i].name_n = 0;
}

bool head_add(struct http_head *h, struct arena *a, struct header_name name, struct str value)
{
    if (h->n == h->cap) {
        size_t cap = (size_t)h->cap * 2 + 16;
        struct http_field *more =
            cap <= UINT16_MAX ? arena_alloc_raw(a, cap * sizeof(*more)) : NULL;
        if (!more)
            return false;
        if (h->n)
            memcpy(more, h->fields, h->n * sizeof(*more));
        h->fields = more;
        h->cap = (uint16_t)cap;
    }
    h->fields[h->n++] = (struct http_field){name.text.p, value.p, (uint32_t)value.n,
                                            (uint16_t)name.text.n, name.id};
    return true;
}

/* Values come from requests too: what may not stand in a field makes none. */
static struct str value_of(const struct header_add *add, struct arena *a, format_value_fn *value,
                           void *user)
{
    if (add->value.n == 1 && add->value.pieces[0].op == FORMAT_LITERAL)
        return add->value.pieces[0].text;
    AUTO_DONE(buf) struct buf b = {.cap = 16 * 1024};
    size_t values = format_write(&add->value, value, user, STR(""), &b);
    if (b.failed || !http_is_value(buf_str(&b)) || (!values && !b.n))
        return STR("");
    struct str kept = arena_str(a, str_trim(buf_str(&b)));
    return kept.p ? kept : STR("");
}

static void apply_add(const struct header_add *add, struct http_head *h, struct arena *a,
                      format_value_fn *value, void *user)
{
    bool there = add->action != HEADER_APPEND && head_find(h, add->name);
    if ((add->action == HEADER_ADD_IF_ABSENT && there) ||
        (add->action == HEADER_OVERWRITE && !there))
        return;
    struct str text = value_of(add, a, value, user);
    if (!text.n && !add->keep_empty)
        return;
    if (there)
        remove_all(h, &add->name);
    IGNORE_RESULT(head_add(h, a, add->name, text)); /* over the stream's memory: left out */
}

void header_ops_apply(const struct header_ops *ops, struct http_head *h, struct arena *a,
                      format_value_fn *value, void *user)
{
    for (size_t i = 0; i < ops->n_remove; i++)
        remove_all(h, &ops->remove[i]);
    for (size_t i = 0; i < ops->n_add; i++)
        apply_add(&ops->add[i], h, a, value, user);
}
