/* Actions of rate limits, and what they make of a request. */
#include "proxy/rate_descriptor.h"

#include <errno.h>

#include "proxy/string_match.h"

typedef Envoy__Config__Route__V3__RateLimit pb_limit;
typedef Envoy__Config__Route__V3__RateLimit__Action pb_action;

enum rate_kind {
    RATE_FIXED,   /* the value as it stands */
    RATE_CLUSTER, /* that the route names */
    RATE_ADDRESS,
    RATE_FIELD,
    RATE_QUERY,
    RATE_FIELDS_MATCH,
    RATE_QUERY_MATCH,
};

struct rate_action {
    uint8_t kind;
    bool skip_if_absent; /* the action alone is left out */
    bool expect;
    struct str key, value, name;
    struct field_match *fields;
    size_t n_fields;
    struct query_match *query;
    size_t n_query;
};

struct rate_actions {
    size_t n;
    struct rate_action v[];
};

/* ---- configuration ---- */

struct compiling {
    struct arena *a;
    struct pb_path *path;
    struct err *err;
};

static int texts(struct compiling *c, struct rate_action *ret, const char *key,
                 const char *otherwise, const char *value, const char *name)
{
    ret->key = arena_str(c->a, str_from(key && *key ? key : otherwise));
    ret->value = arena_str(c->a, str_from(value));
    ret->name = arena_str(c->a, str_from(name));
    return ret->key.p && ret->value.p && ret->name.p ? 0 : -ENOMEM;
}

static int fields_match(struct compiling *c,
                        const Envoy__Config__Route__V3__RateLimit__Action__HeaderValueMatch *m,
                        struct rate_action *ret)
{
    ret->kind = RATE_FIELDS_MATCH;
    ret->expect = !m->expect_match || m->expect_match->value;
    ret->n_fields = m->n_headers;
    ret->fields = arena_alloc(c->a, m->n_headers * sizeof(*ret->fields));
    int r = ret->fields ? texts(c, ret, m->descriptor_key, "header_match", m->descriptor_value, "")
                        : -ENOMEM;
    for (size_t i = 0; i < m->n_headers && r == 0; i++) {
        size_t mark = pb_path_field(c->path, "header_value_match.headers");
        pb_path_index(c->path, i);
        r = field_match_compile(m->headers[i], c->a, c->path, &ret->fields[i], c->err);
        pb_path_back(c->path, mark);
    }
    return r;
}

static int
query_match(struct compiling *c,
            const Envoy__Config__Route__V3__RateLimit__Action__QueryParameterValueMatch *m,
            struct rate_action *ret)
{
    ret->kind = RATE_QUERY_MATCH;
    ret->expect = !m->expect_match || m->expect_match->value;
    ret->n_query = m->n_query_parameters;
    ret->query = arena_alloc(c->a, m->n_query_parameters * sizeof(*ret->query));
    int r = ret->query ? texts(c, ret, m->descriptor_key, "query_match", m->descriptor_value, "")
                       : -ENOMEM;
    for (size_t i = 0; i < m->n_query_parameters && r == 0; i++) {
        size_t mark = pb_path_field(c->path, "query_parameter_value_match.query_parameters");
        pb_path_index(c->path, i);
        r = query_match_compile(m->query_parameters[i], c->a, c->path, &ret->query[i], c->err);
        pb_path_back(c->path, mark);
    }
    return r;
}

static int compile_action(struct compiling *c, const pb_action *m, struct rate_action *ret)
{
    switch ((int)m->action_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_GENERIC_KEY:
        ret->kind = RATE_FIXED;
        return texts(c, ret, m->generic_key->descriptor_key, "generic_key",
                     m->generic_key->descriptor_value, "");
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_DESTINATION_CLUSTER:
        ret->kind = RATE_CLUSTER;
        return texts(c, ret, NULL, "destination_cluster", "", "");
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_REMOTE_ADDRESS:
        ret->kind = RATE_ADDRESS;
        return texts(c, ret, NULL, "remote_address", "", "");
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_REQUEST_HEADERS:
        ret->kind = RATE_FIELD;
        ret->skip_if_absent = m->request_headers->skip_if_absent;
        int r = texts(c, ret, m->request_headers->descriptor_key, "", "",
                      m->request_headers->header_name);
        for (size_t i = 0; r == 0 && i < ret->name.n; i++)
            if (ret->name.p[i] >= 'A' && ret->name.p[i] <= 'Z')
                ((char *)(uintptr_t)ret->name.p)[i] = (char)(ret->name.p[i] + 32);
        return r;
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_QUERY_PARAMETERS:
        ret->kind = RATE_QUERY;
        ret->skip_if_absent = m->query_parameters->skip_if_absent;
        return texts(c, ret, m->query_parameters->descriptor_key, "", "",
                     m->query_parameters->query_parameter_name);
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_HEADER_VALUE_MATCH:
        return fields_match(c, m->header_value_match, ret);
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_QUERY_PARAMETER_VALUE_MATCH:
        return query_match(c, m->query_parameter_value_match, ret);
    default:
        return pb_path_fail(c->path, c->err, -EINVAL, "this action is not implemented");
    }
}

int rate_actions_compile(const pb_limit *m, struct arena *a, struct pb_path *path,
                         struct rate_actions **ret, struct err *reterr)
{
    struct compiling c = {a, path, reterr};
    if (!m->n_actions || m->n_actions > RATE_ENTRIES_MAX)
        return pb_path_fail(path, reterr, -EINVAL, "needs 1 to %d actions", RATE_ENTRIES_MAX);
    *ret = arena_alloc(a, sizeof(**ret) + m->n_actions * sizeof((*ret)->v[0]));
    if (!*ret)
        return -ENOMEM;
    (*ret)->n = m->n_actions;
    for (size_t i = 0; i < m->n_actions; i++) {
        size_t mark = pb_path_field(path, "actions");
        pb_path_index(path, i);
        int r = compile_action(&c, m->actions[i], &(*ret)->v[i]);
        if (r < 0)
            return r;
        pb_path_back(path, mark);
    }
    return 0;
}

/* ---- requests ---- */

static struct str query_of(const struct http_head *head)
{
    struct str query;
    str_cut(head->path, '?', &query);
    return query;
}

static struct str parameter(struct str query, struct str name)
{
    while (query.p) {
        struct str value, one = str_cut(query, '&', &query);
        struct str key = str_cut(one, '=', &value);
        if (str_eq(key, name))
            return value.p ? value : STR("");
    }
    return (struct str){NULL, 0};
}

static bool all_match(const struct rate_action *a, const struct rate_request *q)
{
    struct str query = query_of(q->head);
    for (size_t i = 0; i < a->n_fields; i++)
        if (!field_matches(&a->fields[i], q->head))
            return false;
    for (size_t i = 0; i < a->n_query; i++)
        if (!query_matches(&a->query[i], query))
            return false;
    return true;
}

static struct str field_or_pseudo(const struct http_head *head, struct str name)
{
    struct str value = pseudo_value(name, head);
    return value.p ? value : http_field_value(http_head_find_text(head, name));
}

/* .p NULL: there is none. */
static struct str value_of(const struct rate_action *a, const struct rate_request *q)
{
    switch ((enum rate_kind)a->kind) {
    case RATE_FIXED:
        return a->value;
    case RATE_CLUSTER:
        return str_from(q->cluster);
    case RATE_ADDRESS:
        return q->address;
    case RATE_FIELD:
        return field_or_pseudo(q->head, a->name);
    case RATE_QUERY:
        return parameter(query_of(q->head), a->name);
    case RATE_FIELDS_MATCH:
    case RATE_QUERY_MATCH:
        return all_match(a, q) == a->expect ? a->value : (struct str){NULL, 0};
    }
    return (struct str){NULL, 0};
}

size_t rate_actions_entries(const struct rate_actions *actions, const struct rate_request *q,
                            struct rate_entry ret[RATE_ENTRIES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < actions->n; i++) {
        struct str value = value_of(&actions->v[i], q);
        if (value.p)
            ret[n++] = (struct rate_entry){actions->v[i].key, value};
        else if (!actions->v[i].skip_if_absent)
            return 0;
    }
    return n;
}
