/* Reading first, then what several of them say together. */
#include "model/telemetry_policy.h"

#include "codec/http_head.h"
#include "codec/tag_value.h"

enum { PARTS_MAX = 64, TAGS_MAX = 64 };

static const char *const metric_names[] = {
    [TELEMETRY_REQUEST_COUNT] = "REQUEST_COUNT",
    [TELEMETRY_REQUEST_DURATION] = "REQUEST_DURATION",
    [TELEMETRY_REQUEST_SIZE] = "REQUEST_SIZE",
    [TELEMETRY_RESPONSE_SIZE] = "RESPONSE_SIZE",
    [TELEMETRY_TCP_OPENED] = "TCP_OPENED_CONNECTIONS",
    [TELEMETRY_TCP_CLOSED] = "TCP_CLOSED_CONNECTIONS",
    [TELEMETRY_TCP_SENT] = "TCP_SENT_BYTES",
    [TELEMETRY_TCP_RECEIVED] = "TCP_RECEIVED_BYTES",
    [TELEMETRY_GRPC_REQUESTS] = "GRPC_REQUEST_MESSAGES",
    [TELEMETRY_GRPC_RESPONSES] = "GRPC_RESPONSE_MESSAGES",
};

/* ---- reading ---- */

static void read_mode(struct object_reader *r, const json_t *of, bool sides[_TELEMETRY_SIDES])
{
    const char *mode = json_at_str(of, "match.mode");
    sides[TELEMETRY_CLIENT] = !streq(mode, "SERVER");
    sides[TELEMETRY_SERVER] = !streq(mode, "CLIENT");
    if (mode && !streq(mode, "SERVER") && !streq(mode, "CLIENT") &&
        !streq(mode, "CLIENT_AND_SERVER"))
        reader_error(r, "match.mode", NULL, "is neither CLIENT nor SERVER nor CLIENT_AND_SERVER");
}

static void read_providers(struct object_reader *r, const json_t *of)
{
    const json_t *list = json_object_get(of, "providers");
    if (list && !json_is_array(list) && !json_is_null(list))
        reader_error(r, "providers", NULL, "is no list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t mark = reader_enter_item(r, "providers", i);
        if (str_empty(json_key_str(json_array_get(list, i), "name")))
            reader_error(r, "name", NULL, "is missing");
        reader_leave(r, mark);
    }
}

static void check_bool(struct object_reader *r, const json_t *of, const char *name)
{
    const json_t *v = json_object_get(of, name);
    if (v && !json_is_boolean(v) && !json_is_null(v))
        reader_error(r, name, NULL, "is neither true nor false");
}

static void check_tag(struct object_reader *r, const json_t *tag)
{
    const json_t *literal = json_object_get(tag, "literal"),
                 *environment = json_object_get(tag, "environment"),
                 *header = json_object_get(tag, "header");
    const char *field = json_key_str(header, "name");
    if (json_object_get(tag, "formatter"))
        reader_error(r, "formatter", "literal, environment or header", "is not served");
    else if (!literal + !environment + !header != 2)
        reader_error(r, NULL, "literal, environment or header", "says none, or more than one");
    else if (literal && str_empty(json_key_str(literal, "value")))
        reader_error(r, "literal.value", NULL, "is missing");
    else if (environment && str_empty(json_key_str(environment, "name")))
        reader_error(r, "environment.name", NULL, "is missing");
    else if (header && (!field || !http_is_token(str_from(field))))
        reader_error(r, "header.name", NULL, "is no name of a header");
}

static void check_tags(struct object_reader *r, const json_t *of)
{
    const json_t *tags = json_object_get(of, "customTags");
    const char *name;
    json_t *tag;
    if ((tags && !json_is_object(tags) && !json_is_null(tags)) || json_object_size(tags) > TAGS_MAX)
        reader_error(r, "customTags", NULL, "is no object, or one of more than %d", TAGS_MAX);
    else
        json_object_foreach((json_t *)(uintptr_t)tags, name, tag)
        {
            size_t mark = reader_enter_key(r, "customTags", name);
            check_tag(r, tag);
            reader_leave(r, mark);
        }
}

static void read_tracing(struct object_reader *r, struct telemetry_part *p)
{
    static const char *const later[] = {"useRequestIdForTraceSampling", "enableIstioTags",
                                        "disableContextPropagation"};
    const json_t *share = json_object_get(p->j, "randomSamplingPercentage");
    double value = json_is_number(share) ? json_number_value(share) : -1;
    read_mode(r, p->j, p->sides);
    if (share && !json_is_null(share) && !(value >= 0 && value <= 100))
        reader_error(r, "randomSamplingPercentage", NULL, "is no share from 0 to 100");
    check_bool(r, p->j, "disableSpanReporting");
    check_tags(r, p->j);
    for (size_t i = 0; i < ARRAY_LEN(later); i++)
        if (json_object_get(p->j, later[i]))
            reader_warn(r, later[i], NULL, "has no effect");
}

/* -1: all of them; -2: none. */
static int metric_of(const json_t *override)
{
    const json_t *match = json_object_get(override, "match");
    const char *name = json_key_str(match, "metric");
    if (json_object_get(match, "customMetric"))
        return -2;
    if (!name || streq(name, "ALL_METRICS"))
        return -1;
    for (int i = 0; i < _TELEMETRY_METRICS; i++)
        if (streq(name, metric_names[i]))
            return i;
    return -2;
}

static void check_tag_override(struct object_reader *r, const char *name, const json_t *tag)
{
    const char *operation = json_key_str(tag, "operation"), *value = json_key_str(tag, "value");
    struct err err = {0};
    struct tag_value v;
    size_t mark = reader_enter_key(r, "tagOverrides", name);
    if (!tag_name_is_valid(name))
        reader_error(r, NULL, NULL, "is no name of a label");
    if (operation && !streq(operation, "UPSERT") && !streq(operation, "REMOVE"))
        reader_error(r, "operation", NULL, "is neither UPSERT nor REMOVE");
    else if (streq(operation, "REMOVE") && !str_empty(value))
        reader_error(r, "value", NULL, "stands beside REMOVE");
    else if (!streq(operation, "REMOVE") && tag_value_parse(value ? value : "", &v, &err) < 0)
        reader_error(r, "value", NULL, "cannot be told: %s", err_text(&err));
    else if (!streq(operation, "REMOVE"))
        tag_value_done(&v);
    reader_leave(r, mark);
}

static void check_override(struct object_reader *r, const json_t *o)
{
    const json_t *tags = json_object_get(o, "tagOverrides");
    bool sides[_TELEMETRY_SIDES];
    const char *name;
    json_t *tag;
    read_mode(r, o, sides);
    check_bool(r, o, "disabled");
    if (json_at(o, "match.customMetric"))
        reader_warn(r, "match.customMetric", NULL, "has no effect: there are none");
    else if (metric_of(o) == -2)
        reader_error(r, "match.metric", NULL, "is no metric of Istio's");
    if ((tags && !json_is_object(tags) && !json_is_null(tags)) || json_object_size(tags) > TAGS_MAX)
        reader_error(r, "tagOverrides", NULL, "is no object, or one of more than %d", TAGS_MAX);
    else
        json_object_foreach((json_t *)(uintptr_t)tags, name, tag) check_tag_override(r, name, tag);
}

static void read_metrics(struct object_reader *r, struct telemetry_part *p)
{
    const json_t *list = json_object_get(p->j, "overrides");
    if ((list && !json_is_array(list) && !json_is_null(list)) || json_array_size(list) > PARTS_MAX)
        reader_error(r, "overrides", NULL, "is no list, or one of more than %d", PARTS_MAX);
    else
        for (size_t i = 0; i < json_array_size(list); i++) {
            size_t mark = reader_enter_item(r, "overrides", i);
            check_override(r, json_array_get(list, i));
            reader_leave(r, mark);
        }
    if (json_object_get(p->j, "reportingInterval"))
        reader_warn(r, "reportingInterval", NULL,
                    "has no effect: bytes of connections are counted as they go");
}

static void read_log(struct object_reader *r, struct telemetry_part *p)
{
    const char *text = json_at_str(p->j, "filter.expression");
    struct err err = {0};
    read_mode(r, p->j, p->sides);
    check_bool(r, p->j, "disabled");
    if (!str_empty(text) && log_expression_parse(text, &p->filter, &err) < 0)
        reader_error(r, "filter.expression", "docs/istio-api.md says what can be",
                     "cannot be done: %s", err_text(&err));
}

static void read_parts(struct object_reader *r, const json_t *spec, const char *name,
                       void (*read)(struct object_reader *r, struct telemetry_part *p),
                       struct telemetry_parts *to)
{
    const json_t *list = json_object_get(spec, name);
    if ((list && !json_is_array(list) && !json_is_null(list)) ||
        json_array_size(list) > PARTS_MAX) {
        reader_error(r, name, NULL, "is no list, or one of more than %d", PARTS_MAX);
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct telemetry_part p = {.j = json_array_get(list, i), .sides = {true, true}};
        size_t mark = reader_enter_item(r, name, i);
        read_providers(r, p.j);
        read(r, &p);
        vec_push(&to->v, p);
        reader_leave(r, mark);
    }
}

static void read_target(struct object_reader *r, struct telemetry_policy *t)
{
    const json_t *selector = json_object_get(t->o.spec, "selector"),
                 *labels = json_object_get(selector, "matchLabels");
    bool refs = json_array_size(json_object_get(t->o.spec, "targetRefs")) ||
                json_is_object(json_object_get(t->o.spec, "targetRef"));
    if (refs && selector)
        reader_error(r, "targetRefs", "say it one way", "stand beside selector");
    else if (refs)
        reader_warn(r, "targetRefs", "use selector",
                    "are of gateways and waypoints: no sidecar heeds it");
    t->nobodys = refs && !selector;
    if ((selector && !json_is_object(selector) && !json_is_null(selector)) ||
        (labels && !json_is_object(labels) && !json_is_null(labels)))
        reader_error(r, "selector", "write matchLabels: {app: x}", "is no object");
    if (json_object_size(labels))
        t->labels = labels;
}

struct telemetry_policy *telemetry_policy_decode(const json_t *j)
{
    struct telemetry_policy *t = NEW(struct telemetry_policy);
    if (!istio_object_decode(j, &t->o)) {
        telemetry_policy_free(t);
        return NULL;
    }
    AUTO_DONE(object_reader)
    struct object_reader r = {
        .findings = &t->o.findings, .object = t->o.key, .id = "TelemetryInvalid"};
    size_t mark = reader_enter(&r, "spec");
    if (t->o.spec && !json_is_object(t->o.spec))
        reader_error(&r, NULL, NULL, "is no object");
    read_target(&r, t);
    read_parts(&r, t->o.spec, "tracing", read_tracing, &t->tracing);
    read_parts(&r, t->o.spec, "metrics", read_metrics, &t->metrics);
    read_parts(&r, t->o.spec, "accessLogging", read_log, &t->logging);
    reader_leave(&r, mark);
    t->broken = r.errors > 0;
    return t;
}

static void parts_done(struct telemetry_parts *p)
{
    VEC_FOREACH (one, &p->v)
        log_expression_free(one->filter);
    vec_done(&p->v);
}

void telemetry_policy_free(struct telemetry_policy *t)
{
    if (!t)
        return;
    parts_done(&t->tracing);
    parts_done(&t->metrics);
    parts_done(&t->logging);
    istio_object_done(&t->o);
    free(t);
}

/* ---- providers ---- */

static bool is_tracer(const struct mesh_provider *p)
{
    return p->kind == MESH_PROVIDER_ZIPKIN || p->kind == MESH_PROVIDER_OPENTELEMETRY;
}

static bool is_metrics(const struct mesh_provider *p)
{
    return p->kind == MESH_PROVIDER_PROMETHEUS;
}

static bool is_log(const struct mesh_provider *p)
{
    return p->kind == MESH_PROVIDER_FILE_LOG;
}

static void check_parts(struct object_reader *r, const struct mesh_config *c, const char *name,
                        const struct telemetry_parts *parts,
                        bool (*is_good)(const struct mesh_provider *p))
{
    for (size_t i = 0; i < parts->v.n; i++) {
        const json_t *list = json_object_get(parts->v.v[i].j, "providers");
        size_t mark = reader_enter_item(r, name, i);
        for (size_t k = 0; k < json_array_size(list); k++) {
            const char *of = json_key_str(json_array_get(list, k), "name");
            const struct mesh_provider *p = mesh_config_find(c, of);
            size_t inner = reader_enter_item(r, "providers", k);
            if (of && !p)
                reader_warn(r, "name", "define it in extensionProviders of the mesh config",
                            "there is no provider %.100s: nothing goes there", of);
            else if (p && !is_good(p))
                reader_warn(r, "name", NULL, "%.100s is of kind %s, which this cannot go to", of,
                            p->kind_name);
            reader_leave(r, inner);
        }
        reader_leave(r, mark);
    }
}

void telemetry_policy_check(struct telemetry_policy *t, const struct mesh_config *c)
{
    AUTO_DONE(object_reader)
    struct object_reader r = {
        .findings = &t->o.findings, .object = t->o.key, .id = "TelemetryInvalid"};
    size_t mark = reader_enter(&r, "spec");
    check_parts(&r, c, "tracing", &t->tracing, is_tracer);
    check_parts(&r, c, "metrics", &t->metrics, is_metrics);
    check_parts(&r, c, "accessLogging", &t->logging, is_log);
    reader_leave(&r, mark);
}

/* ---- the table ---- */

static struct selected decode_selected(const json_t *j)
{
    struct telemetry_policy *t = telemetry_policy_decode(j);
    return t ? (struct selected){t, &t->o, t->labels, t->nobodys, t->broken}
             : (struct selected){.object = NULL};
}

static void free_selected(void *object)
{
    telemetry_policy_free(object);
}

struct selected_objects *telemetry_policies_new(const char *root_namespace)
{
    static const struct selected_kind kind = {decode_selected, free_selected};
    return selected_objects_new(&kind, root_namespace);
}

/* ---- what holds ---- */

enum { OF_MESH, OF_NAMESPACE, OF_WORKLOAD, _WIDTHS };

struct finding_out {
    const struct selected_objects *table;
    struct str ns;
    const struct telemetry_policy *by[_WIDTHS]; /* the oldest of each; NULL: none */
};

static void add(const void *object, void *user)
{
    const struct telemetry_policy *t = object;
    struct finding_out *f = user;
    bool of_root = selected_objects_is_root(f->table, str_from(t->o.ns)),
         own = str_is(f->ns, t->o.ns);
    if (t->broken || (t->labels && !own)) /* labels are of its own namespace */
        return;
    unsigned width = t->labels ? OF_WORKLOAD : of_root ? OF_MESH : OF_NAMESPACE;
    if (!f->by[width] || istio_object_compare(&t->o, &f->by[width]->o) < 0)
        f->by[width] = t;
}

/* A provider by its name, as the config and as objects write it. */
static const struct mesh_provider *provider_at(const struct mesh_config *c, const json_t *list,
                                               size_t i)
{
    const json_t *one = json_array_get(list, i);
    return mesh_config_find(c, json_is_string(one) ? json_string_value(one)
                                                   : json_key_str(one, "name"));
}

static const json_t *providers_of(const struct telemetry_part *p)
{
    const json_t *list = json_object_get(p->j, "providers");
    return json_array_size(list) ? list : NULL;
}

static void find_tracing(const struct finding_out *f, const struct mesh_config *c,
                         enum telemetry_side side, struct telemetry_tracing *t)
{
    const char *name = json_string_value(json_array_get(c->default_tracing, 0));
    bool said = false;
    *t = (struct telemetry_tracing){.sampling = c->sampling, .tags = c->custom_tags};
    for (unsigned w = 0; w < _WIDTHS; w++)
        for (size_t i = 0; f->by[w] && i < f->by[w]->tracing.v.n; i++) {
            const struct telemetry_part *p = &f->by[w]->tracing.v.v[i];
            const json_t *off = json_object_get(p->j, "disableSpanReporting"),
                         *share = json_object_get(p->j, "randomSamplingPercentage"),
                         *tags = json_object_get(p->j, "customTags");
            if (!p->sides[side])
                continue;
            said = true;
            if (providers_of(p)) /* one counts */
                name = json_key_str(json_array_get(providers_of(p), 0), "name");
            if (json_is_boolean(off))
                t->off = json_is_true(off);
            if (json_is_number(share))
                t->sampling = json_number_value(share);
            if (json_is_object(tags))
                t->tags = json_object_size(tags) ? tags : NULL;
        }
    const struct mesh_provider *p = mesh_config_find(c, name);
    t->is_default = !name;
    t->provider = p && is_tracer(p) ? p : NULL;
    t->off = t->off || (name && !t->provider) || (!name && !said && !c->tracing);
}

static void override(struct telemetry_metrics *m, int metric, const json_t *o)
{
    const json_t *disabled = json_object_get(o, "disabled"),
                 *tags = json_object_get(o, "tagOverrides");
    const char *name;
    json_t *tag;
    if (json_is_boolean(disabled))
        m->dropped[metric] = json_is_true(disabled);
    if (json_object_size(tags) && !m->tags[metric])
        m->tags[metric] = json_object();
    json_object_foreach((json_t *)(uintptr_t)tags, name, tag)
    {
        bool remove = streq(json_key_str(tag, "operation"), "REMOVE");
        json_object_set_new(m->tags[metric], name,
                            remove ? json_null() : json_string(json_key_str(tag, "value")));
    }
}

/* Does a part speak of the one provider that there is? */
static bool speaks_of(const struct telemetry_part *p, const json_t *inherited,
                      const struct mesh_config *c)
{
    const json_t *list = providers_of(p) ? providers_of(p) : inherited;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct mesh_provider *of = provider_at(c, list, i);
        if (of && is_metrics(of))
            return true;
    }
    return !list;
}

static void find_metrics(const struct finding_out *f, const struct mesh_config *c,
                         enum telemetry_side side, struct telemetry_metrics *m)
{
    const json_t *inherited = c->default_metrics;
    bool off = !speaks_of(&(struct telemetry_part){.j = NULL}, inherited, c);
    for (unsigned w = 0; w < _WIDTHS; w++)
        for (size_t i = 0; f->by[w] && i < f->by[w]->metrics.v.n; i++) {
            const struct telemetry_part *p = &f->by[w]->metrics.v.v[i];
            const json_t *list = json_object_get(p->j, "overrides");
            off = !speaks_of(p, inherited, c);
            inherited = providers_of(p) ? providers_of(p) : inherited;
            for (size_t k = 0; !off && k < json_array_size(list); k++) {
                const json_t *o = json_array_get(list, k);
                const char *mode = json_at_str(o, "match.mode");
                int metric = metric_of(o);
                if (metric == -2 || streq(mode, side == TELEMETRY_CLIENT ? "SERVER" : "CLIENT"))
                    continue;
                for (int one = 0; one < _TELEMETRY_METRICS; one++)
                    if (metric == -1 || metric == one)
                        override(m, one, o);
            }
        }
    m->off = true;
    for (int i = 0; i < _TELEMETRY_METRICS; i++)
        m->off = m->off && m->dropped[i];
    m->off = m->off || off;
}

static void put_log(struct telemetry_view *v, const struct mesh_provider *p,
                    const struct log_expression *filter, bool remove)
{
    if (!p || !is_log(p))
        return;
    for (size_t i = 0; i < v->logs.n; i++)
        if (v->logs.v[i].provider == p) {
            vec_remove(&v->logs, i);
            break;
        }
    if (!remove)
        vec_push(&v->logs, (struct telemetry_log){p, filter});
}

/* Names of a narrower one stand in place of all wider ones'. */
static void find_logs(const struct finding_out *f, const struct mesh_config *c,
                      enum telemetry_side side, struct telemetry_view *v)
{
    const json_t *inherited = c->default_logging;
    bool said = false;
    for (unsigned w = 0; w < _WIDTHS; w++) {
        bool names = false;
        for (size_t i = 0; f->by[w] && i < f->by[w]->logging.v.n; i++)
            names = names || providers_of(&f->by[w]->logging.v.v[i]);
        if (names)
            vec_clear(&v->logs);
        for (size_t i = 0; f->by[w] && i < f->by[w]->logging.v.n; i++) {
            const struct telemetry_part *p = &f->by[w]->logging.v.v[i];
            bool off = json_is_true(json_object_get(p->j, "disabled"));
            said = true;
            inherited = providers_of(p) ? providers_of(p) : inherited;
            for (size_t k = 0; p->sides[side] && k < json_array_size(inherited); k++)
                put_log(v, provider_at(c, inherited, k), p->filter, off);
        }
    }
    for (size_t k = 0; !said && k < json_array_size(c->default_logging); k++)
        put_log(v, provider_at(c, c->default_logging, k), NULL, false);
    v->legacy_logs = !said && !c->default_logging;
}

void telemetry_find(const struct selected_objects *t, const struct mesh_config *c, struct str ns,
                    const struct workloads *pods, const struct workload *pod,
                    enum telemetry_side side, struct telemetry_view *ret)
{
    struct finding_out f = {.table = t, .ns = ns};
    *ret = (struct telemetry_view){.legacy_logs = false};
    selected_objects_find(t, ns, pods, pod, add, &f);
    find_tracing(&f, c, side, &ret->tracing);
    find_metrics(&f, c, side, &ret->metrics);
    find_logs(&f, c, side, ret);
}

void telemetry_view_done(struct telemetry_view *v)
{
    for (int i = 0; i < _TELEMETRY_METRICS; i++)
        json_decref(v->metrics.tags[i]);
    vec_done(&v->logs);
}
