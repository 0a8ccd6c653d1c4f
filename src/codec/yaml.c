/* YAML reading and writing over libyaml's event parser. Owns the tree being built; anchors are kept
 * per document and copied on use, under the node limit. What a scalar means: yaml_scalar.c. Reads
 * as Kubernetes' own reader does (merge keys included), but that a key may not be there twice. */
#include "codec/yaml.h"

#include <errno.h>
#include <yaml.h>

#include "base/map.h"
#include "codec/yaml_scalar.h"

struct reader {
    yaml_parser_t parser;
    struct map anchors; /* name -> json_t */
    size_t nodes;
    struct err *err;
};

static int parse_node(struct reader *r, const yaml_event_t *e, unsigned depth, json_t **ret);

static int fail_at(struct reader *r, yaml_mark_t mark, int code, const char *what)
{
    return err_set(r->err, code, NULL, "YAML line %zu column %zu: %s", mark.line + 1,
                   mark.column + 1, what);
}

static int next_event(struct reader *r, yaml_event_t *e)
{
    if (yaml_parser_parse(&r->parser, e))
        return 0;
    yaml_mark_t mark = r->parser.problem_mark;
    return fail_at(r, mark, -EINVAL, r->parser.problem ? r->parser.problem : "cannot be read");
}

static size_t count_nodes(const json_t *j)
{
    size_t n = 1, i;
    const char *key;
    json_t *v;
    if (json_is_object(j))
        json_object_foreach((json_t *)(uintptr_t)j, key, v) n += count_nodes(v);
    json_array_foreach(j, i, v) n += count_nodes(v);
    return n;
}

static int count(struct reader *r, yaml_mark_t mark, size_t n)
{
    r->nodes += n;
    return r->nodes > YAML_NODES_MAX
               ? fail_at(r, mark, -E2BIG, "too many nodes (aliases count each time they are used)")
               : 0;
}

static int parse_scalar(struct reader *r, const yaml_event_t *e, json_t **ret)
{
    struct str s = str_of(e->data.scalar.value, e->data.scalar.length);
    const char *tag = (const char *)e->data.scalar.tag;
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(s.p, '\0', s.n)) /* what is read as a C string later would be another one */
        return fail_at(r, e->start_mark, -EINVAL, "a string with a zero byte");
    if (!str_empty(tag)) {
        *ret = yaml_tagged_scalar(s, tag);
        return *ret ? 0
                    : fail_at(r, e->start_mark, -EINVAL, "a value that is not what its tag says");
    }
    if (plain && yaml_is_no_number(s))
        return fail_at(r, e->start_mark, -EINVAL,
                       "infinities and NaN are no numbers in JSON: quote a string");
    *ret = plain ? yaml_plain_scalar(s) : json_stringn(s.p, s.n);
    return *ret ? 0 : fail_at(r, e->start_mark, -EINVAL, "a string that is not UTF-8");
}

static int parse_sequence(struct reader *r, unsigned depth, json_t *list)
{
    for (;;) {
        yaml_event_t e;
        json_t *item = NULL;
        int code = next_event(r, &e);
        if (code < 0)
            return code;
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&e);
            return 0;
        }
        code = parse_node(r, &e, depth + 1, &item);
        yaml_event_delete(&e);
        if (code < 0)
            return code;
        json_array_append_new(list, item);
    }
}

/* A key is a scalar, and a string in the end: yes is "true", 0x10 is "16". *ret_merge: it is <<. */
static int parse_key(struct reader *r, const yaml_event_t *e, json_t **ret_key, bool *ret_merge)
{
    AUTO_JSON json_t *v = NULL;
    if (e->type != YAML_SCALAR_EVENT)
        return fail_at(r, e->start_mark, -EINVAL, "a mapping key must be a plain string");
    *ret_merge = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                 str_is(str_of(e->data.scalar.value, e->data.scalar.length), "<<");
    int code = parse_scalar(r, e, &v);
    if (code < 0)
        return code;
    if (json_is_null(v))
        return fail_at(r, e->start_mark, -EINVAL, "a key that is null: quote it");
    if (json_is_string(v)) {
        *ret_key = TAKE(v);
        return 0;
    }
    AUTO_DONE(buf) struct buf b = {0};
    json_write(&b, v);
    *ret_key = json_stringn(b.p, b.n);
    return 0;
}

struct mapping {
    json_t *object;
    json_t *merged; /* keys that came by << only: what is said itself may say them, too */
};

static void merge_one(struct mapping *m, const json_t *from)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)from, key, v)
    {
        json_object_set(m->object, key, v);
        json_object_set_new(m->merged, key, json_true());
    }
}

/* Of a list the first says the last word; what comes later in the mapping goes over it. */
static int merge(struct reader *r, yaml_mark_t mark, struct mapping *m, const json_t *value)
{
    bool fits = json_is_object(value) || json_is_array(value);
    for (size_t i = json_array_size(value); i-- > 0 && fits;)
        fits = json_is_object(json_array_get(value, i));
    if (!fits)
        return fail_at(r, mark, -EINVAL, "<< wants a mapping, or a list of mappings");
    if (json_is_object(value))
        merge_one(m, value);
    for (size_t i = json_array_size(value); i-- > 0;)
        merge_one(m, json_array_get(value, i));
    return 0;
}

static int set_member(struct reader *r, yaml_mark_t mark, struct mapping *m, const char *key,
                      json_t *value)
{
    if (json_object_get(m->object, key) && json_object_del(m->merged, key) < 0) {
        char words[200];
        snprintf(words, sizeof(words), "key \"%.120s\" is there twice", key);
        return fail_at(r, mark, -EINVAL, words);
    }
    json_object_set(m->object, key, value);
    return 0;
}

static int parse_member(struct reader *r, const yaml_event_t *key_event, unsigned depth,
                        struct mapping *m)
{
    AUTO_JSON json_t *key = NULL;
    AUTO_JSON json_t *value = NULL;
    yaml_mark_t mark = key_event->start_mark;
    yaml_event_t e;
    bool is_merge = false;
    int code = parse_key(r, key_event, &key, &is_merge);
    if (code == 0)
        code = next_event(r, &e);
    if (code < 0)
        return code;
    code = parse_node(r, &e, depth + 1, &value);
    yaml_event_delete(&e);
    if (code < 0)
        return code;
    return is_merge ? merge(r, mark, m, value)
                    : set_member(r, mark, m, json_string_value(key), value);
}

static int parse_mapping(struct reader *r, unsigned depth, json_t *object)
{
    AUTO_JSON json_t *merged = json_object();
    struct mapping m = {object, merged};
    for (;;) {
        yaml_event_t e;
        int code = next_event(r, &e);
        if (code < 0)
            return code;
        bool end = e.type == YAML_MAPPING_END_EVENT;
        if (!end)
            code = parse_member(r, &e, depth, &m);
        yaml_event_delete(&e);
        if (end || code < 0)
            return code;
    }
}

static int parse_alias(struct reader *r, const yaml_event_t *e, json_t **ret)
{
    json_t *target = map_find_cstr(&r->anchors, (const char *)e->data.alias.anchor);
    if (!target)
        return fail_at(r, e->start_mark, -EINVAL, "an alias of an unknown anchor");
    int code = count(r, e->start_mark, count_nodes(target));
    if (code == 0)
        *ret = json_deep_copy(target);
    return code;
}

static void remember(struct reader *r, const yaml_char_t *anchor, json_t *node)
{
    if (anchor)
        json_decref(map_put_cstr(&r->anchors, (const char *)anchor, json_deep_copy(node)));
}

static int parse_node(struct reader *r, const yaml_event_t *e, unsigned depth, json_t **ret)
{
    AUTO_JSON json_t *node = NULL;
    const yaml_char_t *anchor = NULL;
    int code = count(r, e->start_mark, 1);
    if (code < 0)
        return code;
    if (depth > YAML_DEPTH_MAX)
        return fail_at(r, e->start_mark, -E2BIG, "nested too deeply");
    if (e->type == YAML_SCALAR_EVENT) {
        code = parse_scalar(r, e, &node);
        anchor = e->data.scalar.anchor;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        node = json_array();
        code = parse_sequence(r, depth, node);
        anchor = e->data.sequence_start.anchor;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        node = json_object();
        code = parse_mapping(r, depth, node);
        anchor = e->data.mapping_start.anchor;
    } else if (e->type == YAML_ALIAS_EVENT) {
        code = parse_alias(r, e, &node);
    } else {
        code = fail_at(r, e->start_mark, -EINVAL, "unexpected structure");
    }
    if (code < 0)
        return code;
    remember(r, anchor, node);
    *ret = TAKE(node);
    return 0;
}

static void forget_anchors(struct reader *r)
{
    void *value;
    for (size_t at = 0; map_next(&r->anchors, &at, NULL, &value);)
        json_decref(value);
    map_done(&r->anchors);
}

static int parse_stream(struct reader *r, json_t *documents)
{
    for (;;) {
        yaml_event_t e;
        int code = next_event(r, &e);
        if (code < 0)
            return code;
        yaml_event_type_t type = e.type;
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT ||
            type == YAML_DOCUMENT_END_EVENT || type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&e);
            if (type == YAML_STREAM_END_EVENT)
                return 0;
            if (type == YAML_DOCUMENT_START_EVENT)
                forget_anchors(r);
            continue;
        }
        json_t *node = NULL;
        code = parse_node(r, &e, 0, &node);
        yaml_event_delete(&e);
        if (code < 0)
            return code;
        if (json_is_null(node))
            json_decref(node);
        else
            json_array_append_new(documents, node);
    }
}

int yaml_parse_all(struct str text, json_t **ret, struct err *reterr)
{
    struct reader r = {.err = reterr};
    AUTO_JSON json_t *documents = json_array();
    if (!yaml_parser_initialize(&r.parser))
        return err_set(reterr, -ENOMEM, NULL, "YAML: out of memory");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    int code = parse_stream(&r, documents);
    forget_anchors(&r);
    yaml_parser_delete(&r.parser);
    if (code == 0)
        *ret = TAKE(documents);
    return code;
}

int yaml_parse(struct str text, json_t **ret, struct err *reterr)
{
    AUTO_JSON json_t *documents = NULL;
    int code = yaml_parse_all(text, &documents, reterr);
    if (code < 0)
        return code;
    if (json_array_size(documents) > 1)
        return err_set(reterr, -EINVAL, NULL, "YAML: more than one document");
    *ret = json_incref(json_array_get(documents, 0));
    return 0;
}

/* ---- writing ---- */

/* Bytes of a character that stands in no YAML as it is: line breaks of other alphabets, controls, a
 * byte order mark; 0: not one of them. */
static size_t unprintable(const char *s, unsigned *ret)
{
    const unsigned char *p = (const unsigned char *)s;
    *ret = *p;
    if (*p == 0x7f)
        return 1;
    if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
        *ret = p[1];
        return 2;
    }
    if ((*p != 0xe2 && *p != 0xef) || !p[1])
        return 0;
    *ret = (*p & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
    return *ret == 0x2028 || *ret == 0x2029 || *ret == 0xfeff || *ret >= 0xfffe ? 3 : 0;
}

static bool is_printable(const char *s)
{
    unsigned c;
    for (; *s; s++)
        if (unprintable(s, &c))
            return false;
    return true;
}

static void write_quoted(struct buf *b, const char *s)
{
    AUTO_DONE(buf) struct buf json = {0};
    unsigned c;
    json_write_string(&json, str_from(s));
    for (const char *p = buf_cstr(&json); *p;) {
        size_t n = unprintable(p, &c);
        if (n)
            buf_addf(b, "\\u%04x", c);
        else
            buf_add_char(b, *p);
        p += n ? n : 1;
    }
}

/* Must a string be quoted to come back as the same string? */
static bool needs_quotes(const char *s)
{
    size_t n = strlen(s);
    AUTO_JSON json_t *read = yaml_plain_scalar(str_from(s));
    if (!json_is_string(read) || yaml_is_no_number(str_from(s)) || streq(s, "-") || streq(s, "=") ||
        streq(s, "<<"))
        return true;
    if (strchr("-?:,[]{}#&*!|>'\"%@` ", s[0]) &&
        !(s[0] == '-' && n > 1 && s[1] != ' ' && !(s[1] >= '0' && s[1] <= '9') && s[1] != '.'))
        return true;
    if ((s[0] >= '0' && s[0] <= '9') || ((s[0] == '+' || s[0] == '.') && n > 1)) {
        bool numeric = true; /* numbers, dates, sexagesimals, hexadecimals: quote them all */
        for (size_t i = 0; i < n; i++)
            numeric = numeric && (strchr("0123456789+-.eE_:xXTZabcdefABCDEF ", s[i]) != NULL);
        if (numeric)
            return true;
    }
    if (s[n - 1] == ' ' || s[n - 1] == ':' || !is_printable(s))
        return true;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || (s[i] == ':' && s[i + 1] == ' ') ||
            (s[i] == ' ' && s[i + 1] == '#'))
            return true;
    return false;
}

static void write_indent(struct buf *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        buf_add_cstr(b, "  ");
}

static bool is_block_text(const char *s)
{
    size_t n = strlen(s);
    if (!strchr(s, '\n') || s[0] == ' ' || s[0] == '\n' || !is_printable(s))
        return false;
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < 0x20 && s[i] != '\n' && s[i] != '\t') ||
            (s[i] == ' ' && s[i + 1] == '\n'))
            return false;
    return true;
}

static void write_string(struct buf *b, const char *s, unsigned depth)
{
    if (is_block_text(s)) {
        size_t n = strlen(s);
        bool end = s[n - 1] == '\n', ends = end && n > 1 && s[n - 2] == '\n';
        buf_add_cstr(b, ends ? "|+" : end ? "|" : "|-");
        struct str rest = end ? str_of(s, n - 1) : str_from(s);
        while (rest.p) {
            struct str line = str_cut(rest, '\n', &rest);
            buf_add_char(b, '\n');
            if (line.n)
                write_indent(b, depth);
            buf_add_str(b, line);
        }
    } else if (needs_quotes(s)) {
        write_quoted(b, s);
    } else {
        buf_add_cstr(b, s);
    }
}

static void write_node(struct buf *b, const json_t *j, unsigned depth, bool after_dash);

static void write_members(struct buf *b, const json_t *j, unsigned depth, bool after_dash)
{
    const char *key;
    json_t *v;
    bool first = true;
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        if (!(first && after_dash))
            write_indent(b, depth);
        first = false;
        if (needs_quotes(key))
            write_quoted(b, key);
        else
            buf_add_cstr(b, key);
        buf_add_char(b, ':');
        write_node(b, v, depth, false);
    }
}

/* What follows "key:" or "- ", newline included. Lists are not indented below their key, as kubectl
 * prints them. */
static void write_node(struct buf *b, const json_t *j, unsigned depth, bool after_dash)
{
    size_t i;
    json_t *v;
    if (json_is_object(j) && json_object_size(j)) {
        if (!after_dash)
            buf_add_char(b, '\n');
        write_members(b, j, depth + 1, after_dash);
        return;
    }
    if (json_is_array(j) && json_array_size(j)) {
        buf_add_char(b, '\n');
        json_array_foreach((json_t *)(uintptr_t)j, i, v)
        {
            write_indent(b, depth);
            buf_add_cstr(b, "- ");
            write_node(b, v, depth, true);
        }
        return;
    }
    if (!after_dash)
        buf_add_char(b, ' ');
    if (json_is_string(j))
        write_string(b, json_string_value(j), depth + 1);
    else if (json_is_object(j))
        buf_add_cstr(b, "{}");
    else if (json_is_array(j))
        buf_add_cstr(b, "[]");
    else
        json_write(b, j);
    buf_add_char(b, '\n');
}

void yaml_write(struct buf *b, const json_t *j)
{
    size_t i;
    json_t *v;
    if (json_is_object(j) && json_object_size(j)) {
        write_members(b, j, 0, false);
    } else if (json_is_array(j) && json_array_size(j)) {
        json_array_foreach((json_t *)(uintptr_t)j, i, v)
        {
            buf_add_cstr(b, "- ");
            write_node(b, v, 0, true);
        }
    } else {
        write_node(b, j, 0, true);
    }
}
