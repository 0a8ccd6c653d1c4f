/* JSON values as YAML text, block style, for people to read. Strings are quoted only where a reader would take them for
 * something else; text of several lines becomes a literal block. Pure; recursion is bounded by the depth of the input. */
#include "codec/yaml.h"

#include <inttypes.h>

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 && s.p[i] != '\n')
            return true;
    return false;
}

/* Would a plain scalar of this text be read back as the same string? */
static bool is_plain(struct str s)
{
    static const char *const words[] = {"null", "~", "true", "false", "yes", "no", "on", "off", "y", "n"};
    if (!s.n || s.p[0] == ' ' || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == ':')
        return false;
    if (strchr("-?:,[]{}#&*!|>'\"%@`=<0123456789+.", s.p[0])) {
        bool numeric = true;
        for (size_t i = 0; i < s.n; i++)
            numeric = numeric && strchr("0123456789+-.eExXabcdefABCDEF_:oT", s.p[i]);
        if (numeric || !strchr("0123456789.", s.p[0]))
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(s, str_from(words[i])))
            return false;
    return !memchr(s.p, '\n', s.n) && !has_control(s) && !str_contains(s, STR(": ")) && !str_contains(s, STR(" #"));
}

static void indent(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_add_char(b, ' ');
}

static void write_block(struct buf *b, struct str s, size_t depth)
{
    bool newline_end = s.p[s.n - 1] == '\n';
    buf_add_cstr(b, newline_end ? "|" : "|-");
    if (newline_end)
        s.n--;
    while (s.p) {
        struct str line = str_cut(s, '\n', &s);
        buf_add_char(b, '\n');
        if (line.n)
            indent(b, depth);
        buf_add_str(b, line);
    }
}

static void write_text(struct buf *b, struct str s, size_t depth)
{
    bool lines = s.n > 1 && memchr(s.p, '\n', s.n) && s.p[0] != ' ' && s.p[0] != '\n' && !has_control(s) &&
                 !(s.p[s.n - 1] == '\n' && s.p[s.n - 2] == '\n');
    if (is_plain(s))
        buf_add_str(b, s);
    else if (lines)
        write_block(b, s, depth);
    else
        json_write_string(b, s);
}

static void write_value(struct buf *b, const json_t *j, size_t depth, bool in_sequence);

static void write_members(struct buf *b, const json_t *j, size_t depth, bool first_inline)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)j, key, v) {
        if (!first_inline)
            indent(b, depth);
        first_inline = false;
        if (is_plain(str_from(key)))
            buf_add_cstr(b, key);
        else
            json_write_string(b, str_from(key));
        buf_add_char(b, ':');
        write_value(b, v, depth, false);
    }
}

static void write_value(struct buf *b, const json_t *j, size_t depth, bool in_sequence)
{
    size_t i;
    json_t *v;
    if (json_is_object(j) && json_object_size(j)) {
        buf_add_char(b, in_sequence ? ' ' : '\n');
        write_members(b, j, depth + 2, in_sequence);
        return;
    }
    if (json_is_array(j) && json_array_size(j)) {
        buf_add_char(b, '\n');
        json_array_foreach((json_t *)(uintptr_t)j, i, v) {
            indent(b, depth + (in_sequence ? 2 : 0));
            buf_add_char(b, '-');
            write_value(b, v, depth + (in_sequence ? 2 : 0), true);
        }
        return;
    }
    buf_add_char(b, ' ');
    if (json_is_string(j))
        write_text(b, str_of(json_string_value(j), json_string_length(j)), depth + 2);
    else
        json_write(b, j);
    buf_add_char(b, '\n');
}

void yaml_write(struct buf *b, const json_t *j)
{
    if (json_is_object(j) && json_object_size(j)) {
        write_members(b, j, 0, false);
        return;
    }
    struct buf text = {0};
    write_value(&text, j, 0, false);
    buf_add_str(b, str_sub(buf_str(&text), 1, text.n));
    buf_done(&text);
}
