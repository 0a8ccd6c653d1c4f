/* Follows a field path through libyaml's events, which know their lines. JSON is read as YAML's
 * flow style. One document; owns its parser alone. */
#include "codec/yaml_where.h"

#include <yaml.h>

struct step {
    struct str key; /* NULL: an index */
    size_t index;
};

/* Takes a step off the front of *path; false: the end, or no path. */
static bool take_step(struct str *path, struct step *ret)
{
    size_t n = 0;
    uint64_t index = 0;
    if (path->n && path->p[0] == '.')
        *path = str_sub(*path, 1, path->n);
    if (!path->n)
        return false;
    if (path->p[0] == '[') {
        bool key = path->n > 1 && path->p[1] == '"';
        const char *close = memmem(path->p, path->n, key ? "\"]" : "]", key ? 2 : 1);
        if (!close)
            return false;
        n = (size_t)(close - path->p);
        *ret = (struct step){.key = key ? str_sub(*path, 2, n) : (struct str){NULL, 0}};
        if (!key && str_to_u64(str_sub(*path, 1, n), &index) < 0)
            return false;
        ret->index = (size_t)index;
        *path = str_sub(*path, n + (key ? 2 : 1), path->n);
        return true;
    }
    while (n < path->n && path->p[n] != '.' && path->p[n] != '[')
        n++;
    *ret = (struct step){.key = str_sub(*path, 0, n)};
    *path = str_sub(*path, n, path->n);
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Equal but for underscores and case: per_try_timeout, perTryTimeout. */
static bool is_name(struct str a, struct str b)
{
    size_t i = 0, k = 0;
    for (;;) {
        while (i < a.n && a.p[i] == '_')
            i++;
        while (k < b.n && b.p[k] == '_')
            k++;
        if (i == a.n || k == b.n)
            return i == a.n && k == b.n;
        if (lower(a.p[i++]) != lower(b.p[k++]))
            return false;
    }
}

static bool starts_nest(yaml_event_type_t type)
{
    return type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT;
}

static bool ends_nest(yaml_event_type_t type)
{
    return type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT;
}

/* What follows an event: its whole node is passed over. */
static bool skip_node(yaml_parser_t *parser, yaml_event_type_t type)
{
    for (size_t depth = starts_nest(type); depth > 0;) {
        yaml_event_t e;
        if (!yaml_parser_parse(parser, &e))
            return false;
        type = e.type;
        yaml_event_delete(&e);
        if (type == YAML_STREAM_END_EVENT || type == YAML_NO_EVENT)
            return false;
        depth += starts_nest(type);
        depth -= ends_nest(type);
    }
    return true;
}

/* The next event that begins a node, its line in *ret_line; false: none. */
static bool next_node(yaml_parser_t *parser, yaml_event_t *ret, size_t *ret_line)
{
    if (!yaml_parser_parse(parser, ret))
        return false;
    if (!starts_nest(ret->type) && ret->type != YAML_SCALAR_EVENT &&
        ret->type != YAML_ALIAS_EVENT) {
        yaml_event_delete(ret);
        return false;
    }
    *ret_line = ret->start_mark.line + 1;
    return true;
}

/* Inside a mapping: to the value of the key. */
static bool to_member(yaml_parser_t *parser, struct str key, size_t *line)
{
    yaml_event_t e;
    size_t at;
    while (next_node(parser, &e, &at)) {
        bool found = e.type == YAML_SCALAR_EVENT &&
                     is_name(str_of(e.data.scalar.value, e.data.scalar.length), key);
        yaml_event_type_t type = e.type;
        yaml_event_delete(&e);
        if (found) {
            *line = at;
            return true;
        }
        if (!skip_node(parser, type) || !next_node(parser, &e, &at))
            return false;
        type = e.type;
        yaml_event_delete(&e);
        if (!skip_node(parser, type))
            return false;
    }
    return false;
}

/* Inside a sequence: to its element. */
static bool to_element(yaml_parser_t *parser, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        yaml_event_t e;
        size_t at;
        if (!next_node(parser, &e, &at))
            return false;
        yaml_event_type_t type = e.type;
        yaml_event_delete(&e);
        if (!skip_node(parser, type))
            return false;
    }
    return true;
}

static size_t follow(yaml_parser_t *parser, struct str path)
{
    size_t line = 0, at = 0;
    struct step step = {.key = {NULL, 0}};
    yaml_event_t e;
    for (int begins = 0; begins < 2; begins++) { /* stream, document */
        if (!yaml_parser_parse(parser, &e))
            return 0;
        yaml_event_delete(&e);
    }
    while (next_node(parser, &e, &at)) {
        yaml_event_type_t type = e.type;
        yaml_event_delete(&e);
        if (!step.key.p) /* a member's line is the one of its key, which is known */
            line = at;
        if (!take_step(&path, &step))
            break;
        if (step.key.p ? type != YAML_MAPPING_START_EVENT || !to_member(parser, step.key, &line)
                       : type != YAML_SEQUENCE_START_EVENT || !to_element(parser, step.index))
            break;
    }
    return line;
}

size_t yaml_where(struct str text, struct str path)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return 0;
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    size_t line = follow(&parser, path);
    yaml_parser_delete(&parser);
    return line;
}
