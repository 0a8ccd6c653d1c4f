/* YAML to JSON over libyaml's event parser.
 *
 * The tree is built from events with an explicit budget of nodes; an alias is a deep copy charged to the same budget,
 * so nested aliases end in an error instead of in memory. Depth is counted too, since both the builder and jansson
 * recurse. Non-string keys become strings as in sigs.k8s.io/yaml. Pure; libyaml's parser lives inside one call. */
#include "codec/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/map.h"

struct builder {
    yaml_parser_t parser;
    struct map anchors; /* name -> json_t, one reference each */
    size_t nodes;
    size_t depth;
    char *duplicate;
    struct err *reterr;
};

static int build_node(struct builder *b, yaml_event_t *ev, json_t **ret);

static int charge(struct builder *b, size_t n, size_t line)
{
    b->nodes += n;
    if (b->nodes > YAML_NODES_MAX)
        return err_set(b->reterr, -E2BIG, NULL, "yaml: line %zu: document contains excessive aliasing or nodes (more than %d)",
                       line, YAML_NODES_MAX);
    return 0;
}

static int next_event(struct builder *b, yaml_event_t *ret)
{
    if (yaml_parser_parse(&b->parser, ret))
        return 0;
    return err_set(b->reterr, -EINVAL, NULL, "yaml: line %zu: %s", b->parser.problem_mark.line + 1,
                   b->parser.problem ? b->parser.problem : "cannot be read");
}

static bool is_number(struct str s, bool *ret_float)
{
    size_t i = 0, digits = 0;
    bool is_float = false;
    if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
        i++;
    for (; i < s.n; i++) {
        char c = s.p[i];
        if (c >= '0' && c <= '9')
            digits++;
        else if (c == '.' && !is_float)
            is_float = true;
        else if ((c == 'e' || c == 'E') && digits && i + 1 < s.n) {
            is_float = true;
            if (s.p[i + 1] == '+' || s.p[i + 1] == '-')
                i++;
            for (i++; i < s.n; i++)
                if (s.p[i] < '0' || s.p[i] > '9')
                    return false;
            break;
        } else {
            return false;
        }
    }
    *ret_float = is_float;
    return digits > 0;
}

/* 0x1f, 0o17 and YAML 1.1's 017 are integers, as Go's decoder has them. */
static bool based_integer(struct str s, int64_t *ret)
{
    char text[32], *end;
    int base = 0;
    if (s.n < 2 || s.n >= sizeof(text) || s.p[0] != '0')
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    const char *digits = text + 1;
    if (*digits == 'x' || *digits == 'X')
        base = 16, digits++;
    else if (*digits == 'o')
        base = 8, digits++;
    else
        base = 8;
    if (!*digits || *digits == '-' || *digits == '+')
        return false;
    errno = 0;
    *ret = strtoll(digits, &end, base);
    return errno == 0 && *end == '\0';
}

static json_t *plain_scalar(struct str s)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const trues[] = {"true", "True", "TRUE"};
    static const char *const falses[] = {"false", "False", "FALSE"};
    bool is_float;
    int64_t n;
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
        if (str_is(s, nulls[i]))
            return json_null();
    for (size_t i = 0; i < ARRAY_LEN(trues); i++)
        if (str_is(s, trues[i]) || str_is(s, falses[i]))
            return json_boolean(str_is(s, trues[i]));
    if (based_integer(s, &n))
        return json_integer(n);
    if (is_number(s, &is_float)) {
        struct str digits = s.p[0] == '+' ? str_sub(s, 1, s.n) : s;
        if (!is_float && str_to_i64(digits, &n) == 0)
            return json_integer(n);
        AUTO_CHARS char *text = str_dup(s);
        double d = strtod(text, NULL);
        if (isfinite(d))
            return json_real(d);
    }
    return json_stringn(s.p, s.n);
}

static json_t *scalar(const yaml_event_t *ev)
{
    struct str s = str_of(ev->data.scalar.value, ev->data.scalar.length);
    const char *tag = (const char *)ev->data.scalar.tag;
    json_t *j;
    if (ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !streq(tag, YAML_STR_TAG) && !streq(tag, "!"))
        j = plain_scalar(s);
    else
        j = json_stringn(s.p, s.n);
    return j;
}

static size_t count_nodes(const json_t *j)
{
    size_t n = 1, i;
    const char *k;
    json_t *v;
    if (json_is_array(j)) {
        json_array_foreach((json_t *)(uintptr_t)j, i, v)
            n += count_nodes(v);
    } else if (json_is_object(j)) {
        json_object_foreach((json_t *)(uintptr_t)j, k, v)
            n += count_nodes(v);
    }
    return n;
}

static int build_alias(struct builder *b, const yaml_event_t *ev, json_t **ret)
{
    const json_t *target = map_find_cstr(&b->anchors, (const char *)ev->data.alias.anchor);
    size_t line = ev->start_mark.line + 1;
    if (!target)
        return err_set(b->reterr, -EINVAL, NULL, "yaml: line %zu: unknown anchor '%.60s' referenced", line,
                       (const char *)ev->data.alias.anchor);
    int code = charge(b, count_nodes(target), line);
    if (code < 0)
        return code;
    *ret = json_deep_copy(target);
    return *ret ? 0 : -ENOMEM;
}

static int build_sequence(struct builder *b, json_t *array)
{
    for (;;) {
        yaml_event_t ev;
        json_t *item = NULL;
        int code = next_event(b, &ev);
        if (code < 0)
            return code;
        bool end = ev.type == YAML_SEQUENCE_END_EVENT;
        if (!end)
            code = build_node(b, &ev, &item);
        yaml_event_delete(&ev);
        if (end || code < 0)
            return code;
        json_array_append_new(array, item);
    }
}

static int key_text(struct builder *b, const yaml_event_t *ev, char **ret)
{
    if (ev->type == YAML_ALIAS_EVENT) {
        const json_t *target = map_find_cstr(&b->anchors, (const char *)ev->data.alias.anchor);
        if (json_is_string(target)) {
            *ret = xstrdup(json_string_value(target));
            return 0;
        }
    }
    if (ev->type != YAML_SCALAR_EVENT)
        return err_set(b->reterr, -EINVAL, NULL, "yaml: line %zu: a key must be a string", ev->start_mark.line + 1);
    *ret = str_dup(str_of(ev->data.scalar.value, ev->data.scalar.length));
    return 0;
}

static int build_member(struct builder *b, const char *key, size_t line, json_t *object)
{
    yaml_event_t ev;
    json_t *value = NULL;
    int code = next_event(b, &ev);
    if (code < 0)
        return code;
    code = build_node(b, &ev, &value);
    yaml_event_delete(&ev);
    if (code < 0)
        return code;
    if (streq(key, "<<") && json_is_object(value)) { /* merge key: what is there already wins */
        json_object_update_missing(object, value);
        json_decref(value);
        return 0;
    }
    if (json_object_get(object, key) && b->duplicate && !b->duplicate[0]) {
        strncpy(b->duplicate, key, 127);
        b->duplicate[127] = '\0';
    }
    if (json_object_set_new(object, key, value) < 0)
        return err_set(b->reterr, -EINVAL, NULL, "yaml: line %zu: a key is not UTF-8", line);
    return 0;
}

static int build_mapping(struct builder *b, json_t *object)
{
    for (;;) {
        yaml_event_t ev;
        AUTO_CHARS char *key = NULL;
        int code = next_event(b, &ev);
        if (code < 0)
            return code;
        bool end = ev.type == YAML_MAPPING_END_EVENT;
        size_t line = ev.start_mark.line + 1;
        if (!end)
            code = key_text(b, &ev, &key);
        yaml_event_delete(&ev);
        if (end || code < 0)
            return code;
        code = build_member(b, key, line, object);
        if (code < 0)
            return code;
    }
}

static void remember(struct builder *b, const yaml_char_t *anchor, json_t *j)
{
    if (!anchor)
        return;
    json_t *old = map_put_cstr(&b->anchors, (const char *)anchor, json_incref(j));
    json_decref(old);
}

static int build_node(struct builder *b, yaml_event_t *ev, json_t **ret)
{
    size_t line = ev->start_mark.line + 1;
    json_t *j = NULL;
    const yaml_char_t *anchor = NULL;
    int code = charge(b, 1, line);
    if (code < 0)
        return code;
    if (++b->depth > YAML_DEPTH_MAX)
        return err_set(b->reterr, -EOVERFLOW, NULL, "yaml: line %zu: nested deeper than %d levels", line, YAML_DEPTH_MAX);
    if (ev->type == YAML_SCALAR_EVENT) {
        anchor = ev->data.scalar.anchor;
        j = scalar(ev);
        if (!j)
            code = err_set(b->reterr, -EINVAL, NULL, "yaml: line %zu: invalid UTF-8", line);
    } else if (ev->type == YAML_SEQUENCE_START_EVENT) {
        anchor = ev->data.sequence_start.anchor;
        j = json_array();
        code = build_sequence(b, j);
    } else if (ev->type == YAML_MAPPING_START_EVENT) {
        anchor = ev->data.mapping_start.anchor;
        j = json_object();
        code = build_mapping(b, j);
    } else if (ev->type == YAML_ALIAS_EVENT) {
        code = build_alias(b, ev, &j);
    } else {
        code = err_set(b->reterr, -EINVAL, NULL, "yaml: line %zu: unexpected content", line);
    }
    b->depth--;
    if (code < 0) {
        json_decref(j);
        return code;
    }
    remember(b, anchor, j);
    *ret = j;
    return 0;
}

static void anchors_clear(struct builder *b)
{
    void *value;
    for (size_t at = 0; map_next(&b->anchors, &at, NULL, &value);)
        json_decref(value);
    map_done(&b->anchors);
}

static int build_stream(struct builder *b, json_t *docs)
{
    for (;;) {
        yaml_event_t ev;
        json_t *doc = NULL;
        int code = next_event(b, &ev);
        if (code < 0)
            return code;
        yaml_event_type_t type = ev.type;
        if (type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT ||
            type == YAML_ALIAS_EVENT)
            code = build_node(b, &ev, &doc);
        yaml_event_delete(&ev);
        if (code < 0)
            return code;
        if (type == YAML_STREAM_END_EVENT)
            return 0;
        if (type == YAML_DOCUMENT_END_EVENT)
            anchors_clear(b);
        if (doc && !json_is_null(doc))
            json_array_append(docs, doc);
        json_decref(doc);
    }
}

int yaml_parse(struct str text, size_t max_bytes, char *ret_duplicate, json_t **ret, struct err *reterr)
{
    struct builder b = {.duplicate = ret_duplicate, .reterr = reterr};
    if (ret_duplicate)
        ret_duplicate[0] = '\0';
    if (max_bytes && text.n > max_bytes)
        return err_set(reterr, -E2BIG, NULL, "YAML of %zu bytes is over the limit of %zu", text.n, max_bytes);
    if (!yaml_parser_initialize(&b.parser))
        return err_set(reterr, -ENOMEM, NULL, "out of memory");
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    json_t *docs = json_array();
    int code = build_stream(&b, docs);
    yaml_parser_delete(&b.parser);
    anchors_clear(&b);
    if (code < 0) {
        json_decref(docs);
        return code;
    }
    *ret = docs;
    return 0;
}
