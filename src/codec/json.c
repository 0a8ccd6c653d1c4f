/* JSON over jansson: limits, duplicate detection and path access.
 *
 * A cheap scan before jansson runs bounds the depth (jansson recurses) and finds members that occur
 * twice, which jansson can only refuse: the API server must warn and keep the last. Pure; owns
 * nothing. */
#include "codec/json.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/vec.h"

/* Deepest nesting in the text, strings skipped; stops counting above the limit. */
static size_t text_depth(struct str s)
{
    size_t depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            deepest = MAX(deepest, depth);
            if (deepest > JSON_DEPTH_MAX)
                return deepest;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return deepest;
}

/* Bytes of the object or array in front; 0: neither, or it does not end. */
static size_t nested_bytes(struct str s)
{
    size_t depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '"')
            for (i++; i < s.n && s.p[i] != '"'; i++)
                i += s.p[i] == '\\';
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth -= depth > 0;
        if (depth == 0)
            return c == '}' || c == ']' ? i + 1 : 0;
    }
    return 0;
}

struct str json_text_without(struct str text, const char *name, struct buf *room)
{
    char member[80];
    /* In a string its quotes would be escaped, so that this is a member's name. */
    int n = snprintf(member, sizeof(member), "\"%s\":", name);
    ASSERT(n > 0 && (size_t)n < sizeof(member));
    const char *at = text.n ? memmem(text.p, text.n, member, (size_t)n) : NULL;
    if (!at)
        return text;
    size_t from = (size_t)(at - text.p) + (size_t)n;
    size_t value = nested_bytes(str_sub(text, from, text.n));
    if (!value)
        return text;
    buf_clear(room);
    buf_add_str(room, str_sub(text, 0, from));
    buf_add_cstr(room, "null");
    buf_add_str(room, str_sub(text, from + value, text.n));
    return room->failed ? text : buf_str(room);
}

static int json_error_set(struct err *reterr, const json_error_t *e)
{
    return err_set(reterr, -EINVAL, NULL, "invalid JSON at line %d column %d: %s", e->line,
                   e->column, e->text);
}

/* An object or array around the place looked for. */
struct level {
    bool is_array, wants_key;
    size_t index;
    struct str key;
};

static void write_levels(struct buf *b, const struct level *levels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (levels[i].is_array)
            buf_addf(b, "[%zu]", levels[i].index);
        else
            buf_addf(b, "%s" STR_FMT, b->n ? "." : "", STR_ARG(levels[i].key));
}

/* Behind the string whose opening quote stands at i. */
static size_t string_end(struct str s, size_t i)
{
    for (i++; i < s.n && s.p[i] != '"'; i++)
        i += s.p[i] == '\\';
    return i + 1;
}

/* The path of the member whose name ends at position, as "spec.ports[0].name": jansson stops there
 * when it meets a name again. The text has been found to be nested no deeper than JSON_DEPTH_MAX.
 */
static void duplicate_path(struct str s, size_t position, char ret[128])
{
    struct level levels[JSON_DEPTH_MAX + 1];
    AUTO_DONE(buf) struct buf path = {0};
    size_t n = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < MIN(position, s.n); i++) {
        struct level *top = n ? &levels[n - 1] : NULL;
        char c = s.p[i];
        if (c == '"') {
            size_t end = string_end(s, i);
            if (end > s.n)
                return; /* jansson has accepted what stands before the position */
            if (top && !top->is_array && top->wants_key)
                top->key = str_sub(s, i + 1, end - 1);
            i = end - 1;
        } else if ((c == '{' || c == '[') && n < ARRAY_LEN(levels)) {
            levels[n++] = (struct level){.is_array = c == '[', .wants_key = true};
        } else if ((c == '}' || c == ']') && n) {
            n--;
        } else if (top && c == ':') {
            top->wants_key = false;
        } else if (top && c == ',') {
            top->wants_key = true;
            top->index++;
        }
    }
    write_levels(&path, levels, n);
    snprintf(ret, 128, "%s", path.n ? buf_cstr(&path) : "");
}

int json_parse(struct str text, size_t max_bytes, char *ret_duplicate, json_t **ret,
               struct err *reterr)
{
    json_error_t error;
    if (ret_duplicate)
        ret_duplicate[0] = '\0';
    if (max_bytes && text.n > max_bytes)
        return err_set(reterr, -E2BIG, NULL, "JSON of %zu bytes is over the limit of %zu", text.n,
                       max_bytes);
    if (text_depth(text) > JSON_DEPTH_MAX)
        return err_set(reterr, -EOVERFLOW, NULL, "JSON is nested deeper than %d levels",
                       JSON_DEPTH_MAX);
    json_t *j = NULL;
    if (ret_duplicate) {
        j = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
        if (!j && json_error_code(&error) == json_error_duplicate_key)
            duplicate_path(text, (size_t)error.position, ret_duplicate);
        else if (!j)
            return json_error_set(reterr, &error);
    }
    if (!j)
        j = json_loadb(text.p ? text.p : "", text.n, 0, &error);
    if (!j)
        return json_error_set(reterr, &error);
    *ret = j;
    return 0;
}

static int write_to_buf(const char *p, size_t n, void *user)
{
    struct buf *b = user;
    buf_add(b, p, n);
    return b->failed ? -1 : 0;
}

void json_write(struct buf *b, const json_t *j)
{
    if (json_dump_callback(j, write_to_buf, b, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
        b->failed = true;
}

void json_write_indented(struct buf *b, const json_t *j)
{
    if (json_dump_callback(j, write_to_buf, b,
                           JSON_INDENT(4) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) < 0)
        b->failed = true;
}

/* Length of the UTF-8 sequence at p, or 0 if it is not one. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xf0 && p[0] <= 0xf4  ? 4
                 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                                               : 0;
    if (!len || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] > 0x9f;
    bool too_big = p[0] == 0xf4 && p[1] > 0x8f;
    return overlong || surrogate || too_big ? 0 : len;
}

void json_write_string(struct buf *b, struct str s)
{
    buf_add_char(b, '"');
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t len = utf8_sequence((const unsigned char *)s.p + i, s.n - i);
        if (len == 0) {
            buf_add_cstr(b, "\\ufffd");
            len = 1;
        } else if (c == '"' || c == '\\') {
            buf_add_char(b, '\\');
            buf_add_char(b, (char)c);
        } else if (c == '\n') {
            buf_add_cstr(b, "\\n");
        } else if (c < 0x20) {
            buf_addf(b, "\\u%04x", c);
        } else {
            buf_add(b, s.p + i, len);
        }
        i += len;
    }
    buf_add_char(b, '"');
}

/* How many bytes at the front are ASCII, or somewhat fewer. */
static size_t ascii_run(const char *p, size_t n)
{
    size_t i = 0;
    for (uint64_t word; i + sizeof(word) <= n; i += sizeof(word)) {
        memcpy(&word, p + i, sizeof(word));
        if (word & 0x8080808080808080)
            break;
    }
    return i;
}

bool json_is_utf8(struct str s)
{
    for (size_t i = 0, len; (i += ascii_run(s.p + i, s.n - i)) < s.n; i += len) {
        len = utf8_sequence((const unsigned char *)s.p + i, s.n - i);
        if (!len)
            return false;
    }
    return true;
}

json_t *json_text(struct str s)
{
    AUTO_DONE(buf) struct buf b = {0};
    json_t *j = json_stringn(s.n ? s.p : "", s.n);
    for (size_t i = 0, len; !j && i < s.n; i += len) {
        len = utf8_sequence((const unsigned char *)s.p + i, s.n - i);
        if (len)
            buf_add(&b, s.p + i, len);
        else
            buf_add_cstr(&b, "\xef\xbf\xbd");
        len = len ? len : 1;
    }
    return j ? j : json_stringn(b.p, b.n);
}

json_t *json_at(const json_t *j, const char *path)
{
    struct str rest = str_from(path);
    json_t *at = (json_t *)(uintptr_t)j;
    while (at && rest.p) {
        struct str name = str_cut(rest, '.', &rest);
        at = json_object_getn(at, name.p, name.n);
    }
    return json_is_null(at) ? NULL : at;
}

const char *json_at_str(const json_t *j, const char *path)
{
    return json_string_value(json_at(j, path));
}

int64_t json_at_int(const json_t *j, const char *path, int64_t fallback)
{
    const json_t *v = json_at(j, path);
    return json_is_integer(v) ? json_integer_value(v) : fallback;
}

bool json_at_bool(const json_t *j, const char *path, bool fallback)
{
    const json_t *v = json_at(j, path);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

const char *json_key_str(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

void json_put(json_t *j, const char *path, json_t *value)
{
    struct str rest = str_from(path);
    ASSERT(json_is_object(j) && value);
    for (;;) {
        struct str name = str_cut(rest, '.', &rest);
        if (!rest.p) {
            json_object_setn_new(j, name.p, name.n, value);
            return;
        }
        json_t *next = json_object_getn(j, name.p, name.n);
        if (!json_is_object(next)) {
            next = json_object();
            json_object_setn_new(j, name.p, name.n, next);
        }
        j = next;
    }
}

void json_put_str(json_t *j, const char *path, const char *value)
{
    json_put(j, path, json_text(value ? str_from(value) : STR("\xef\xbf\xbd")));
}

void json_put_int(json_t *j, const char *path, int64_t value)
{
    json_put(j, path, json_integer(value));
}

void json_del(json_t *j, const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot) {
        AUTO_CHARS char *parent = xstrndup(path, (size_t)(dot - path));
        j = json_at(j, parent);
        path = dot + 1;
    }
    json_object_del(j, path);
}

static bool count_values(const json_t *j, size_t *left)
{
    const char *key;
    json_t *v;
    size_t i;
    if (!*left)
        return false;
    --*left;
    if (json_is_array(j))
        json_array_foreach((json_t *)(uintptr_t)j, i, v) if (!count_values(v, left)) return false;
    if (json_is_object(j))
        json_object_foreach((json_t *)(uintptr_t)j, key,
                            v) if (!count_values(v, left)) return false;
    return true;
}

bool json_array_has(const json_t *list, const json_t *value)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)list, i, v) if (json_equal(v, value)) return true;
    return false;
}

bool json_values_within(const json_t *j, size_t max)
{
    return !j || count_values(j, &max);
}
