#include "cli/traffic_source.h"

#include <stdio.h>

#include "cli/cli_output.h"
#include "codec/url.h"

static char *text_at(const json_t *j, const char *path)
{
    const char *text = json_at_str(j, path);
    return xstrdup(str_empty(text) ? "unknown" : text);
}

static bool same(const struct traffic_edge *a, const struct traffic_edge *b)
{
    return streq(a->source, b->source) && streq(a->source_ns, b->source_ns) &&
           streq(a->destination, b->destination) && streq(a->destination_ns, b->destination_ns) &&
           streq(a->service, b->service) && streq(a->protocol, b->protocol);
}

static void edge_done(struct traffic_edge *e)
{
    char *const texts[] = {e->source,  e->source_ns, e->destination, e->destination_ns,
                           e->service, e->protocol,  e->security};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
}

static void add_end(struct traffic *to, bool *has, const json_t *j)
{
    if (!j)
        return;
    traffic_add_json(to, j);
    *has = true;
}

static void add_edge(struct traffic_edges *all, const json_t *j)
{
    struct traffic_edge one = {.source = text_at(j, "source.workload"),
                               .source_ns = text_at(j, "source.namespace"),
                               .destination = text_at(j, "destination.workload"),
                               .destination_ns = text_at(j, "destination.namespace"),
                               .service = text_at(j, "service"),
                               .protocol = text_at(j, "protocol"),
                               .security = text_at(j, "security")};
    struct traffic_edge *to = NULL;
    VEC_FOREACH (e, &all->v)
        if (same(e, &one))
            to = e;
    if (!to) {
        vec_push(&all->v, one);
        to = &all->v.v[all->v.n - 1];
    } else {
        if (!streq(one.security, "unknown")) {
            free(to->security);
            to->security = TAKE(one.security);
        }
        edge_done(&one);
    }
    add_end(&to->client, &to->has_client, json_object_get(j, "client"));
    add_end(&to->server, &to->has_server, json_object_get(j, "server"));
}

static void add_answer(const char *control, json_t *answer, void *user)
{
    struct traffic_edges *all = user;
    json_t *edge;
    size_t i;
    (void)control;
    all->proxies += json_at_int(answer, "proxies", 0);
    json_array_foreach(json_object_get(answer, "edges"), i, edge) add_edge(all, edge);
}

/* ---- which of them ---- */

static bool is_target(const struct traffic_edge *e, const char *target)
{
    struct str name, type = str_cut(str_from(target), '/', &name);
    if (!name.p)
        name = type;
    if (str_is(type, "svc") || str_is(type, "service") || str_is(type, "services")) {
        struct str rest;
        return str_eq(str_cut(str_from(e->service), '.', &rest), name);
    }
    return str_is(name, e->source) || str_is(name, e->destination);
}

static bool is_chosen(const struct traffic_edge *e, const struct traffic_choice *c, const char *ns)
{
    return (c->all_namespaces || !ns || streq(e->source_ns, ns) || streq(e->destination_ns, ns)) &&
           (!c->target || is_target(e, c->target));
}

static void choose(struct traffic_edges *all, const struct traffic_choice *c, const char *ns)
{
    size_t n = 0;
    VEC_FOREACH (e, &all->v) {
        if (is_chosen(e, c, ns))
            all->v.v[n++] = *e;
        else
            edge_done(e);
    }
    all->v.n = n;
}

#define HINT "keep what /debug/edges of the control plane answers"

static int read_file(const char *file, struct traffic_edges *ret)
{
    AUTO_JSON json_t *j = NULL;
    int code = cli_json_file(file, HINT, &j);
    if (code >= 0)
        return code;
    if (!json_is_array(json_object_get(j, "edges")))
        return program_fail(EXIT_FAILED, HINT, "%s: there are no edges in it", file);
    add_answer(NULL, j, ret);
    return -1;
}

int traffic_edges_get(struct cli_session *s, const struct traffic_choice *c,
                      struct traffic_edges *ret)
{
    *ret = (struct traffic_edges){0};
    if (!c->file && !s->client) {
        int code = cli_session_open(s);
        if (code >= 0)
            return code;
    }
    AUTO_DONE(buf) struct buf path = {0};
    buf_addf(&path, "/debug/edges");
    if (!c->file && !c->all_namespaces && s->namespace_) {
        buf_addf(&path, "?namespace=");
        url_encode(str_from(s->namespace_), &path);
    }
    int code = c->file
                   ? read_file(c->file, ret)
                   : control_ask_each(s, c->control_namespace, buf_cstr(&path), add_answer, ret);
    if (code >= 0)
        return code;
    choose(ret, c, s->namespace_);
    if (!ret->v.n)
        fprintf(stderr, "no traffic%s%s in the last minutes; %lld proxies tell\n",
                c->all_namespaces || !s->namespace_ ? "" : " of namespace ",
                c->all_namespaces || !s->namespace_ ? "" : s->namespace_, (long long)ret->proxies);
    return -1;
}

void traffic_edges_done(struct traffic_edges *e)
{
    VEC_FOREACH (one, &e->v)
        edge_done(one);
    vec_done(&e->v);
}

const struct traffic *traffic_edge_numbers(const struct traffic_edge *e)
{
    return e->has_client ? &e->client : &e->server;
}

const char *traffic_format_ms(double ms, char ret[16])
{
    if (ms >= 10000)
        snprintf(ret, 16, "%.1fs", ms / 1000);
    else
        snprintf(ret, 16, ms < 10 ? "%.1fms" : "%.0fms", ms);
    return ret;
}
