/* Sets of fields: reading, writing, and what is done with two of them. Pure; read from what clients
 * send (fuzz_fields_v1). */
#include "lab/apiserver/fields_v1.h"

#include <errno.h>

#include "base/vec.h"

struct fields *fields_new(void)
{
    return NEW(struct fields);
}

void fields_free(struct fields *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++)
        fields_free(f->v[i]);
    free(f->v);
    free(f->key);
    free(f);
}

/* Where key is, or has to be. */
static size_t place_of(const struct fields *f, const char *key, bool *ret_found)
{
    size_t low = 0, high = f->n;
    *ret_found = false;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int d = strcmp(f->v[mid]->key, key);
        if (d == 0) {
            *ret_found = true;
            return mid;
        }
        if (d < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct fields *fields_child(struct fields *f, const char *key)
{
    bool found;
    size_t at = place_of(f, key, &found);
    if (found)
        return f->v[at];
    struct fields *child = fields_new();
    child->key = xstrdup(key);
    vec_push(f, NULL);
    memmove(&f->v[at + 1], &f->v[at], (f->n - 1 - at) * sizeof(*f->v));
    f->v[at] = child;
    return child;
}

const struct fields *fields_find(const struct fields *f, const char *key)
{
    bool found = false;
    size_t at = f ? place_of(f, key, &found) : 0;
    return found ? f->v[at] : NULL;
}

static void remove_at(struct fields *f, size_t at)
{
    fields_free(f->v[at]);
    vec_remove(f, at);
}

void fields_drop(struct fields *f, const char *key)
{
    bool found;
    size_t at = place_of(f, key, &found);
    if (found)
        remove_at(f, at);
}

bool fields_is_empty(const struct fields *f)
{
    return !f || (!f->in && !f->n);
}

struct fields *fields_copy(const struct fields *f)
{
    struct fields *copy = fields_new();
    copy->key = f->key ? xstrdup(f->key) : NULL;
    copy->in = f->in;
    for (size_t i = 0; i < f->n; i++)
        vec_push(copy, fields_copy(f->v[i]));
    return copy;
}

bool fields_equal(const struct fields *a, const struct fields *b)
{
    if (a->in != b->in || a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!streq(a->v[i]->key, b->v[i]->key) || !fields_equal(a->v[i], b->v[i]))
            return false;
    return true;
}

void fields_add(struct fields *a, const struct fields *b)
{
    if (!b)
        return;
    a->in = a->in || b->in;
    for (size_t i = 0; i < b->n; i++)
        fields_add(fields_child(a, b->v[i]->key), b->v[i]);
}

void fields_subtract(struct fields *a, const struct fields *b)
{
    if (!b)
        return;
    a->in = a->in && !b->in;
    for (size_t i = a->n; i-- > 0;) {
        fields_subtract(a->v[i], fields_find(b, a->v[i]->key));
        if (fields_is_empty(a->v[i]))
            remove_at(a, i);
    }
}

void fields_intersect(struct fields *a, const struct fields *b)
{
    a->in = a->in && b && b->in;
    for (size_t i = a->n; i-- > 0;) {
        fields_intersect(a->v[i], fields_find(b, a->v[i]->key));
        if (fields_is_empty(a->v[i]))
            remove_at(a, i);
    }
}

void fields_add_parents(struct fields *f)
{
    for (size_t i = 0; i < f->n; i++) {
        fields_add_parents(f->v[i]);
        if (f->v[i]->n && f->v[i]->key[0] == 'f')
            f->v[i]->in = true;
    }
}

/* ---- text ---- */

static bool is_key(const char *key)
{
    return key[0] && strchr("fkvi", key[0]) && key[1] == ':';
}

static int parse(const json_t *j, struct fields *f, unsigned depth, struct err *reterr)
{
    const char *key;
    json_t *value;
    if (!json_is_object(j))
        return err_set(reterr, -EINVAL, NULL, "a set of fields is an object");
    if (depth > FIELDS_DEPTH_MAX)
        return err_set(reterr, -EINVAL, NULL, "a set of fields is deeper than %d",
                       FIELDS_DEPTH_MAX);
    if (!json_object_size(j) && depth)
        f->in = true;
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        if (streq(key, ".")) {
            f->in = true;
            continue;
        }
        if (!is_key(key))
            return err_set(reterr, -EINVAL, NULL, "\"%.100s\" is no member of a set of fields",
                           key);
        int code = parse(value, fields_child(f, key), depth + 1, reterr);
        if (code < 0)
            return code;
    }
    return 0;
}

int fields_parse(const json_t *j, struct fields **ret, struct err *reterr)
{
    AUTO_FIELDS struct fields *f = fields_new();
    int code = parse(j, f, 0, reterr);
    if (code < 0)
        return code;
    *ret = TAKE(f);
    return 0;
}

void fields_write(struct buf *b, const struct fields *f)
{
    bool first = true;
    buf_add_char(b, '{');
    if (f->in && f->n) {
        buf_add_cstr(b, "\".\":{}");
        first = false;
    }
    for (size_t i = 0; i < f->n; i++) {
        if (!first)
            buf_add_char(b, ',');
        first = false;
        json_write_string(b, str_from(f->v[i]->key));
        buf_add_char(b, ':');
        fields_write(b, f->v[i]);
    }
    buf_add_char(b, '}');
}

/* ---- paths for people ---- */

void fields_step(struct buf *path, const char *key)
{
    AUTO_JSON json_t *keys = NULL;
    const char *name;
    json_t *value;
    bool first = true;
    if (key[0] == 'f') {
        buf_addf(path, ".%s", key + 2);
        return;
    }
    buf_add_char(path, '[');
    if (key[0] == 'k' && json_parse(str_from(key + 2), 0, NULL, &keys, NULL) == 0) {
        json_object_foreach(keys, name, value)
        {
            buf_addf(path, "%s%s=", first ? "" : ",", name);
            json_write(path, value);
            first = false;
        }
    } else {
        buf_addf(path, "%s%s", key[0] == 'v' ? "=" : "", key + 2);
    }
    buf_add_char(path, ']');
}

static void each(const struct fields *f, struct buf *path, void (*fn)(void *user, const char *path),
                 void *user)
{
    if (f->in)
        fn(user, buf_cstr(path));
    for (size_t i = 0; i < f->n; i++) {
        size_t was = path->n;
        fields_step(path, f->v[i]->key);
        each(f->v[i], path, fn, user);
        path->n = was;
    }
}

void fields_each(const struct fields *f, void (*fn)(void *user, const char *path), void *user)
{
    AUTO_DONE(buf) struct buf path = {0};
    each(f, &path, fn, user);
}
