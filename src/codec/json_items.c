/* Incremental splitter of list answers. A byte machine over strings, escapes and nesting; depth 1
 * is the list object, depth 2 the items array, depth 3 an item. Sans-I/O; owns the text of the item
 * being gathered. */
#include "codec/json_items.h"

#include <errno.h>

#include "base/assert.h"

enum {
    ITEM_BYTES_DEFAULT = 8 * 1024 * 1024,
    SKELETON_BYTES_MAX = 1024 * 1024,
    DEPTH_MAX = 512,
};

static bool in_item(const struct json_items *s)
{
    return s->in_items && s->depth >= 3;
}

static int keep_all(struct json_items *s, struct str text)
{
    bool item = in_item(s);
    struct buf *b = item ? &s->item : &s->skeleton;
    if (s->in_items && !item)
        return 0; /* commas and space between items */
    buf_add_str(b, text);
    size_t max = !item               ? SKELETON_BYTES_MAX
                 : s->item_bytes_max ? s->item_bytes_max
                                     : ITEM_BYTES_DEFAULT;
    return b->failed || b->n > max ? -E2BIG : 0;
}

static int keep(struct json_items *s, char c)
{
    return keep_all(s, str_of(&c, 1));
}

/* Within an item most bytes mean nothing here: how many of those stand in front. */
static size_t plain_bytes(const struct json_items *s, struct str text)
{
    size_t n = 0;
    if (!in_item(s) || s->escaped)
        return 0;
    if (s->in_string)
        while (n < text.n && text.p[n] != '"' && text.p[n] != '\\')
            n++;
    else
        while (n < text.n && text.p[n] != '"' && text.p[n] != '{' && text.p[n] != '}' &&
               text.p[n] != '[' && text.p[n] != ']')
            n++;
    return n;
}

static int in_string_char(struct json_items *s, char c)
{
    if (s->escaped)
        s->escaped = false;
    else if (c == '\\')
        s->escaped = true;
    else if (c == '"')
        s->in_string = false;
    if (s->in_string && s->depth == 1 && s->key.n < 64)
        buf_add_char(&s->key, c);
    return keep(s, c);
}

static int open_bracket(struct json_items *s, char c)
{
    if (++s->depth > DEPTH_MAX)
        return -EBADMSG;
    int r = s->in_items ? 0 : keep(s, c);
    if (c == '[' && s->depth == 2 && s->key_is_items)
        s->in_items = true;
    s->key_is_items = false;
    if (s->in_items && s->depth >= 3)
        r = keep(s, c);
    return r;
}

static int close_bracket(struct json_items *s, char c, int (*on_item)(struct str text, void *user),
                         void *user)
{
    int r = 0;
    if (s->depth == 0)
        return -EBADMSG;
    ASSERT(!s->in_items || s->depth >= 2);
    if (s->in_items && s->depth == 2)
        s->in_items = false; /* the array's own end belongs to the skeleton */
    r = keep(s, c);
    if (r == 0 && s->in_items && s->depth == 3) {
        r = on_item(buf_str(&s->item), user);
        buf_clear(&s->item);
    }
    s->depth--;
    return r;
}

int json_items_feed(struct json_items *s, struct str piece,
                    int (*on_item)(struct str text, void *user), void *user)
{
    int r = 0;
    for (size_t i = 0; i < piece.n && r == 0; i++) {
        size_t plain = plain_bytes(s, str_sub(piece, i, piece.n));
        if (plain) {
            r = keep_all(s, str_sub(piece, i, i + plain));
            i += plain - 1;
            continue;
        }
        char c = piece.p[i];
        if (s->in_string) {
            r = in_string_char(s, c);
        } else if (c == '"') {
            s->in_string = true;
            if (s->depth == 1)
                buf_clear(&s->key);
            r = keep(s, c);
        } else if (c == '{' || c == '[') {
            r = open_bracket(s, c);
        } else if (c == '}' || c == ']') {
            r = close_bracket(s, c, on_item, user);
        } else {
            if (c == ':' && s->depth == 1)
                s->key_is_items = str_is(buf_str(&s->key), "items");
            else if (c == ',' && s->depth == 1)
                s->key_is_items = false;
            r = keep(s, c);
        }
    }
    return r;
}

void json_items_done(struct json_items *s)
{
    buf_done(&s->skeleton);
    buf_done(&s->item);
    buf_done(&s->key);
}
