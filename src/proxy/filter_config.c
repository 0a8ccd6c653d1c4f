/* From the http_filters of a connection manager to a chain, and from typed_per_filter_config to
 * what routes say about its filters. */
#include "proxy/filter_config.h"

#include <errno.h>

#include <envoy/config/route/v3/route_components.pb-c.h>

#include "base/hash.h"
#include "proxy/filter_table.h"
#include "xds/xds_check.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    pb_hcm;
typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpFilter pb_filter;

void http_filters_free(struct http_filters *c)
{
    if (!c)
        return;
    arena_free(c->arena);
    free(c);
}

/* A message of an extension, in memory of its own. -ENOENT: none that this proxy knows. */
static int unpack(const Google__Protobuf__Any *any, bool route, struct arena *scratch,
                  ProtobufCMessage **ret_message, const struct filter_type **ret_type,
                  struct filter_compile *c)
{
    struct err err = {0};
    int r = xds_any_unpack(any, scratch, ret_message, &err);
    if (r < 0)
        return pb_path_fail(c->path, c->err, r, "%s", err_text(&err));
    *ret_type = filter_type_find((*ret_message)->descriptor, route);
    return 0;
}

static int add_filter(struct filter_compile *c, const pb_filter *m, bool last,
                      struct http_filters *chain, struct filter_watch *watch)
{
    AUTO(arena) struct arena *scratch = arena_new(XDS_CHECK_MEMORY_MAX);
    struct filter *f = &chain->filters[chain->n];
    ProtobufCMessage *message;
    *f = (struct filter){.name = arena_str(c->a, str_from(m->name)),
                         .hash = hash_bytes(m->name, strlen(m->name)),
                         .disabled = m->disabled};
    if (!m->typed_config)
        return pb_path_fail(c->path, c->err, -EINVAL, "typed_config must be set");
    const struct xds_extension *e = xds_extension_find(str_from(m->typed_config->type_url));
    if (e && e->state == XDS_WARN && !last)
        return 0; /* it has no effect, and that was told */
    size_t mark = pb_path_field(c->path, "typed_config");
    int r = unpack(m->typed_config, false, scratch, &message, &f->type, c);
    if (r == -ENOENT && m->is_optional) {
        pb_path_back(c->path, mark);
        return 0;
    }
    if (r == 0 && !f->type)
        r = pb_path_fail(c->path, c->err, -EINVAL, "%s is not a filter", message->descriptor->name);
    if (r < 0)
        return r;
    if (f->type->is_terminal != last) {
        pb_path_back(c->path, mark);
        return pb_path_fail(
            c->path, c->err, -EINVAL,
            last ? "non-terminal filter named %s of type %s is the last filter in a http filter "
                   "chain."
                 : "terminal filter named %s of type %s must be the last filter in a http filter "
                   "chain.",
            m->name, f->type->name);
    }
    if (f->type->compile)
        r = f->type->compile(c, message, &f->config);
    if (r == 0 && f->type->watches && !f->disabled)
        *watch = *(const struct filter_watch *)f->config;
    bool called = !f->type->is_terminal && !f->type->watches;
    chain->n += called;
    chain->on = chain->on || (called && !f->disabled);
    pb_path_back(c->path, mark);
    return r;
}

int http_filters_compile(const pb_hcm *m, struct pb_path *path, struct http_filters **ret,
                         struct filter_watch *ret_watch, struct err *reterr)
{
    struct http_filters *chain = NEW(struct http_filters);
    chain->arena = arena_new(0);
    struct filter_compile c = {chain->arena, path, reterr};
    int r = 0;
    *ret = NULL;
    *ret_watch = (struct filter_watch){0};
    chain->filters = arena_alloc(c.a, m->n_http_filters * sizeof(*chain->filters));
    if (!chain->filters)
        r = -ENOMEM;
    for (size_t i = 0; i < m->n_http_filters && r == 0; i++) {
        size_t mark = pb_path_field(path, "http_filters");
        pb_path_index(path, i);
        r = add_filter(&c, m->http_filters[i], i + 1 == m->n_http_filters, chain, ret_watch);
        if (r == 0)
            pb_path_back(path, mark);
    }
    if (r < 0 || !chain->n) {
        http_filters_free(chain);
        return r == -ENOMEM ? pb_path_fail(path, reterr, r, "no memory for filters") : r;
    }
    *ret = chain;
    return 0;
}

/* ---- what routes say ---- */

typedef Envoy__Config__Route__V3__FilterConfig pb_wrapper;

static int compile_override(struct filter_compile *c, const Google__Protobuf__Any *any,
                            bool optional, struct arena *scratch, struct filter_override *ret)
{
    ProtobufCMessage *m;
    int r = unpack(any, true, scratch, &m, &ret->type, c);
    if (r == -ENOENT && optional) {
        ret->name.p = NULL;
        return 0;
    }
    if (r < 0)
        return r;
    if (m->descriptor == &envoy__config__route__v3__filter_config__descriptor) {
        const pb_wrapper *w = (const pb_wrapper *)m;
        ret->disabled = w->disabled;
        if (!w->config)
            return 0;
        if (str_is(pb_type_name(str_from(w->config->type_url)), m->descriptor->name))
            return pb_path_fail(c->path, c->err, -EINVAL, "a FilterConfig in a FilterConfig");
        size_t mark = pb_path_field(c->path, "config");
        r = compile_override(c, w->config, w->is_optional, scratch, ret);
        pb_path_back(c->path, mark);
        return r;
    }
    if (!ret->type)
        return pb_path_fail(c->path, c->err, -EINVAL, "%s is not what a filter takes from routes",
                            m->descriptor->name);
    return ret->type->compile_route(c, m, &ret->config);
}

int filter_override_compile(struct str name, const Google__Protobuf__Any *any, struct arena *a,
                            struct pb_path *path, struct filter_override *ret, struct err *reterr)
{
    AUTO(arena) struct arena *scratch = arena_new(XDS_CHECK_MEMORY_MAX);
    struct filter_compile c = {a, path, reterr};
    *ret = (struct filter_override){.name = arena_str(a, name), .hash = hash_bytes(name.p, name.n)};
    if (!ret->name.p)
        return -ENOMEM;
    if (!any)
        return pb_path_fail(path, reterr, -EINVAL, "must be set");
    return compile_override(&c, any, false, scratch, ret);
}

static const struct filter_override *find(const struct filter_overrides *o, const struct filter *f)
{
    for (size_t i = 0; o && i < o->n; i++)
        if (o->v[i].hash == f->hash && str_eq(o->v[i].name, f->name))
            return &o->v[i];
    return NULL;
}

bool filter_resolve(const struct filter *f, const struct filter_overrides *const places[],
                    struct filter_call *c)
{
    const struct filter_override *said[FILTER_LEVELS];
    bool decided = false, off = f->disabled;
    for (size_t i = 0; i < FILTER_LEVELS; i++) {
        said[i] = find(places[i], f);
        if (said[i] && !decided)
            off = said[i]->disabled;
        decided = decided || said[i];
    }
    if (off)
        return false;
    *c = (struct filter_call){.type = f->type, .config = f->config};
    for (size_t i = 0; i < FILTER_LEVELS; i++)
        if (said[i] && said[i]->type == f->type) {
            c->levels[i] = said[i]->config;
            c->route = c->route ? c->route : c->levels[i];
        }
    return true;
}
