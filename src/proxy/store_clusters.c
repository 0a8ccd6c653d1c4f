/* Clusters and their endpoints: known, warming, in force, leaving. */
#include <errno.h>

#include "base/assert.h"
#include "proxy/cluster_stats.h"
#include "proxy/store_priv.h"

typedef Envoy__Config__Cluster__V3__Cluster pb_cluster;
typedef Envoy__Config__Endpoint__V3__ClusterLoadAssignment pb_assignment;

/* Its connections end with their requests. */
static void end_cluster(struct cluster *c)
{
    if (c)
        cluster_stop(c);
    cluster_unref(c);
}

/* ---- endpoints ---- */

static struct store_assignment *assignment_get(struct store *s, const char *name)
{
    struct store_assignment *a = map_find_cstr(&s->assignments, name);
    if (!a) {
        a = NEW(struct store_assignment);
        map_put_cstr(&s->assignments, name, a);
    }
    return a;
}

static void assignment_free(struct store_assignment *a)
{
    buf_done(&a->bytes);
    kept_texts_done(&a->text);
    vec_done(&a->users);
    free(a);
}

static void use_endpoints(struct store_cluster *sc)
{
    struct store_assignment *a = assignment_get(sc->store, sc->eds_name);
    bool first = !a->users.n;
    vec_push(&a->users, sc);
    if (first)
        sc->store->ops->on_want(&sc->source, XDS_ENDPOINT, str_from(sc->eds_name), true,
                                sc->store->user);
}

static void drop_endpoints(struct store_cluster *sc)
{
    struct store *s = sc->store;
    if (!sc->eds_name)
        return;
    struct store_assignment *a = map_find_cstr(&s->assignments, sc->eds_name);
    ASSERT(a);
    for (size_t i = 0; i < a->users.n; i++)
        if (a->users.v[i] == sc) {
            vec_remove(&a->users, i);
            break;
        }
    if (!a->users.n) {
        s->ops->on_want(&sc->source, XDS_ENDPOINT, str_from(sc->eds_name), false, s->user);
        map_remove_cstr(&s->assignments, sc->eds_name);
        assignment_free(a);
    }
    free(TAKE(sc->eds_name));
    config_source_done(&sc->source);
}

static void go_live(struct store_cluster *sc)
{
    if (!sc->warming)
        return;
    loop_timer_stop(sc->timer);
    list_remove(&sc->node);
    end_cluster(sc->live);
    sc->live = TAKE(sc->warming);
    kept_texts_commit(&sc->text);
    cluster_table_unref(TAKE(sc->store->table));
    sc->store->secrets_stale = true;
    store_changed(sc->store);
}

/* Those of the bootstrap do not wait: a control plane that sends secrets may be reached by them. */
static bool waits_for_secret(const struct store_cluster *sc)
{
    const struct upstream_tls *tls;
    for (size_t at = 0; !sc->is_static && cluster_next_tls(sc->warming, &at, &tls);)
        if (!tls_slot_is_ready(tls->slot))
            return true;
    return false;
}

static void endpoints_are_there(struct store_cluster *sc)
{
    sc->endpoints_came = true;
    if (sc->warming && !waits_for_secret(sc))
        go_live(sc);
}

void store_clusters_warm(struct store *s)
{
    LIST_FOREACH_SAFE (node, &s->warming) {
        struct store_cluster *sc = CONTAINER_OF(node, struct store_cluster, node);
        if (sc->endpoints_came)
            endpoints_are_there(sc);
    }
}

int store_assignment_add(struct store *s, const struct store_item *i)
{
    const pb_assignment *m = (const void *)i->message;
    struct store_assignment *a = map_find(&s->assignments, i->name);
    if (!a)
        return 0; /* nobody wants it any more */
    VEC_FOREACH (user, &a->users) {
        struct store_cluster *sc = *user;
        struct cluster *c = sc->warming ? sc->warming : sc->live;
        int r = c ? cluster_set_endpoints(c, m, i->path, i->err) : 0;
        if (c)
            cluster_count_update(c, r == 0);
        if (r == 0 && sc->warming && sc->live)
            r = cluster_set_endpoints(sc->live, m, i->path, i->err);
        if (r < 0)
            return r;
        endpoints_are_there(sc);
    }
    buf_clear(&a->bytes);
    buf_add_str(&a->bytes, i->bytes);
    a->came = true;
    store_keep(s, &a->text, i);
    kept_texts_commit(&a->text);
    return 0;
}

/* Endpoints that are known already, from a cluster that was there before. */
static bool known_endpoints(struct store_cluster *sc)
{
    struct store_assignment *a = map_find_cstr(&sc->store->assignments, sc->eds_name);
    AUTO(arena) struct arena *arena = arena_new(XDS_RESPONSE_BYTES_MAX);
    struct pb_path path = {.n = 0};
    ProtobufCMessage *m;
    return a && a->came &&
           pb_unpack(xds_resource_type(XDS_ENDPOINT)->message, buf_str(&a->bytes), arena, &m,
                     NULL) == 0 &&
           cluster_set_endpoints(sc->warming, (const void *)m, &path, NULL) == 0;
}

/* ---- clusters ---- */

static void free_cluster(struct store_cluster *sc)
{
    drop_endpoints(sc);
    if (sc->warming || sc->leaving)
        list_remove(&sc->node);
    end_cluster(sc->live);
    end_cluster(sc->warming);
    loop_timer_free(sc->timer);
    kept_texts_done(&sc->text);
    free(sc->name);
    free(sc);
}

static void drop_cluster(struct store_cluster *sc)
{
    struct store *s = sc->store;
    if (sc->live)
        cluster_table_unref(TAKE(s->table));
    s->secrets_stale = true;
    map_remove_cstr(&s->clusters, sc->name);
    free_cluster(sc);
    store_changed(s);
}

static void on_late(void *user)
{
    struct store_cluster *sc = user;
    if (sc->leaving)
        drop_cluster(sc);
    else
        go_live(sc);
}

static struct store_cluster *cluster_get(struct store *s, struct str name)
{
    struct store_cluster *sc = map_find(&s->clusters, name);
    if (sc)
        return sc;
    sc = NEW(struct store_cluster);
    sc->store = s;
    sc->name = str_dup(name);
    sc->timer = loop_timer_new(s->loop, on_late, sc);
    map_put(&s->clusters, name, sc);
    return sc;
}

/* Where its endpoints come from, if not in place. */
static int read_source(const pb_cluster *m, const struct store_item *i, struct config_source *ret)
{
    size_t mark = pb_path_field(i->path, "eds_cluster_config");
    if (!m->eds_cluster_config || !m->eds_cluster_config->eds_config)
        return pb_path_fail(i->path, i->err, -EINVAL, "eds_config must be set for type EDS");
    pb_path_field(i->path, "eds_config");
    int r = config_source_compile(m->eds_cluster_config->eds_config, i->path, ret, i->err);
    pb_path_back(i->path, mark);
    return r;
}

static void on_cluster_ready(struct cluster *c, void *user)
{
    struct store_cluster *sc = user;
    if (sc->warming == c)
        endpoints_are_there(sc);
}

static bool same_path(const struct config_source *a, const struct config_source *b)
{
    return !a->path == !b->path && (!a->path || strcmp(a->path, b->path) == 0);
}

/* Takes c. */
static void warm(struct store_cluster *sc, struct cluster *c, struct config_source *source)
{
    struct store *s = sc->store;
    bool same = sc->eds_name && c->type == CLUSTER_EDS && strcmp(sc->eds_name, c->eds_name) == 0 &&
                same_path(&sc->source, source);
    struct store_wait wait = {.ms = 0};
    if (sc->warming || sc->leaving)
        list_remove(&sc->node);
    end_cluster(sc->warming);
    sc->leaving = false;
    sc->endpoints_came = false;
    sc->warming = c;
    s->secrets_stale = true;
    if (s->running)
        cluster_start(c, s->loop);
    list_add_tail(&s->warming, &sc->node);
    loop_timer_stop(sc->timer);
    if (c->type != CLUSTER_EDS) {
        drop_endpoints(sc);
        if (c->ready) {
            endpoints_are_there(sc);
        } else {
            c->on_ready = on_cluster_ready;
            c->ready_user = sc;
            store_wait_add(&wait, STORE_NAMES_MS);
        }
    } else {
        if (!same) {
            drop_endpoints(sc);
            sc->eds_name = xstrdup(c->eds_name);
            sc->source = *source;
            *source = (struct config_source){0};
            use_endpoints(sc);
        }
        if (known_endpoints(sc))
            endpoints_are_there(sc);
        else
            store_wait_add(&wait, sc->source.warm_ms);
    }
    if (sc->warming && waits_for_secret(sc)) {
        const struct upstream_tls *tls;
        for (size_t at = 0; cluster_next_tls(c, &at, &tls);)
            store_secrets_wait(s, tls->slot, &wait);
    }
    if (sc->warming && wait.ms && !wait.for_ever)
        loop_timer_start(sc->timer, wait.ms);
    store_changed(s);
}

int store_cluster_add(struct store *s, const struct store_item *i)
{
    const pb_cluster *m = (const void *)i->message;
    struct store_cluster *sc = map_find(&s->clusters, i->name);
    struct config_source source = {0};
    struct cluster *c;
    uint64_t hash = store_hash(i->bytes);
    if (sc && (sc->is_static || i->is_static))
        return i->is_static
                   ? pb_path_fail(i->path, i->err, -EINVAL, "duplicate cluster '%s'", sc->name)
                   : 0; /* a static one is not replaced, as in Envoy */
    if (sc && sc->hash == hash && !sc->leaving)
        return 0;
    struct compile compile = {.scratch = i->arena,
                              .find_secret = store_find_secret,
                              .secrets = s,
                              .path = *i->path,
                              .err = i->err};
    int r = cluster_compile(&compile, m, &c);
    if (r == 0 && c->type == CLUSTER_EDS) {
        r = read_source(m, i, &source);
        if (r < 0)
            cluster_unref(c);
    }
    if (r < 0)
        return r;
    store_count(sc ? SERVER_STAT_CLUSTER_MODIFIED : SERVER_STAT_CLUSTER_ADDED);
    c->added_via_api = !i->is_static;
    sc = cluster_get(s, i->name);
    sc->hash = hash;
    sc->is_static = i->is_static;
    store_keep(s, &sc->text, i);
    warm(sc, c, &source);
    config_source_done(&source);
    return 0;
}

void store_cluster_remove(struct store *s, struct str name)
{
    struct store_cluster *sc = map_find(&s->clusters, name);
    if (!sc || sc->is_static || sc->leaving)
        return;
    if (sc->warming) {
        list_remove(&sc->node);
        end_cluster(TAKE(sc->warming));
    }
    sc->leaving = true;
    store_count(SERVER_STAT_CLUSTER_REMOVED);
    list_add_tail(&s->leaving, &sc->node);
    loop_timer_start(sc->timer, STORE_LEAVING_MS);
    store_changed(s);
}

void store_clusters_settle(struct store *s, bool (*is_named)(struct store *s, struct str name))
{
    LIST_FOREACH_SAFE (node, &s->leaving) {
        struct store_cluster *sc = CONTAINER_OF(node, struct store_cluster, node);
        if (!is_named(s, str_from(sc->name)))
            drop_cluster(sc);
    }
}

bool store_is_warming(const struct store *s, bool (*names)(const void *what, struct str cluster),
                      const void *what)
{
    LIST_FOREACH (node, &s->warming) {
        const struct store_cluster *sc = CONTAINER_OF(node, struct store_cluster, node);
        if (!sc->live && names(what, str_from(sc->name)))
            return true;
    }
    return false;
}

static void run_cluster(struct store *s, struct cluster *c)
{
    if (c && s->running)
        cluster_start(c, s->loop);
    else if (c)
        cluster_stop(c);
}

void store_clusters_run(struct store *s, bool run)
{
    void *p;
    s->running = run;
    for (size_t at = 0; map_next(&s->clusters, &at, NULL, &p);) {
        struct store_cluster *sc = p;
        run_cluster(s, sc->live);
        run_cluster(s, sc->warming);
    }
}

void store_clusters_done(struct store *s)
{
    void *p;
    for (size_t at = 0; map_next(&s->clusters, &at, NULL, &p);)
        free_cluster(p);
    map_done(&s->clusters);
    for (size_t at = 0; map_next(&s->assignments, &at, NULL, &p);)
        assignment_free(p);
    map_done(&s->assignments);
}
