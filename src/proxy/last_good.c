/* What is kept, when it is written, and the start from it.
 *
 * It is written a second behind a change, once nothing of the configuration warms (a listener whose
 * routes have not come is no good to start with), at the latest after SETTLE_MS. The bytes are made
 * on the main thread, the file on another, which ends with it. */
#include "proxy/last_good.h"

#include <errno.h>
#include <pthread.h>

#include "base/log.h"
#include "base/time.h"
#include "proxy/state_dir.h"

enum { WRITE_MS = 1000, SETTLE_MS = 30 * 1000 };

struct last_good {
    struct loop *loop;
    struct store *store;
    struct state_dir *dir;
    bool no_secrets;
    char *node_id, *node_cluster;
    struct map types[XDS_RESOURCES]; /* name -> struct kept_text */
    struct loop_timer *timer;        /* of the next write; started: something has changed */
    uint64_t changed_ms;             /* since when */
    /* A write that runs. */
    bool writing, again;
    pthread_t thread;
    struct buf file;
    int result;
    struct err err;
    bool failed; /* the last one: told once */
};

/* ---- what is kept ---- */

static void changed(struct last_good *g)
{
    if (loop_timer_is_started(g->timer))
        return;
    g->changed_ms = loop_now_ms(g->loop);
    loop_timer_start(g->timer, WRITE_MS);
}

static void keep(struct last_good *g, enum xds_resource type, struct xds_item *i)
{
    if (type != XDS_WORKLOAD && type != XDS_NAMES && (type != XDS_SECRET || !g->no_secrets))
        kept_text_unref(map_put(&g->types[type], i->name, xds_item_text(i)));
}

void last_good_forget(struct last_good *g, enum xds_resource type, struct str name)
{
    struct kept_text *k = map_remove(&g->types[type], name);
    bool any = k != NULL;
    struct str host;
    void *p;
    kept_text_unref(k);
    for (size_t at = 0; type == XDS_HOST && map_next(&g->types[type], &at, &host, &p);)
        if (str_eq(xds_host_table(host), name)) {
            map_remove(&g->types[type], host);
            kept_text_unref(p);
            any = true;
        }
    if (any)
        changed(g);
}

static void forget_missing(struct last_good *g, const struct xds_update *u)
{
    struct map named = {.borrows = true};
    struct str name;
    void *k;
    for (size_t i = 0; i < u->n_items; i++)
        map_put(&named, u->items[i].name, &u->items[i]);
    for (size_t at = 0; map_next(&g->types[u->type], &at, &name, &k);)
        if (!map_find(&named, name)) {
            map_remove(&g->types[u->type], name);
            kept_text_unref(k);
        }
    map_done(&named);
}

void last_good_update(struct last_good *g, const struct xds_update *u)
{
    if (u->full)
        forget_missing(g, u);
    for (size_t i = 0; i < u->n_removed; i++)
        kept_text_unref(map_remove(&g->types[u->type], u->removed[i]));
    for (size_t i = 0; i < u->n_items; i++)
        if (!u->items[i].refused)
            keep(g, u->type, &u->items[i]);
    changed(g);
}

/* ---- to the disk ---- */

static int encode(struct last_good *g, struct buf *b, struct err *reterr)
{
    struct last_good_file f = {.node_id = str_from(g->node_id),
                               .node_cluster = str_from(g->node_cluster),
                               .at_ms = (uint64_t)time_real_us() / 1000};
    VEC(struct xds_item) items[XDS_RESOURCES] = {{0}};
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct str name;
        void *p;
        for (size_t at = 0; map_next(&g->types[type], &at, &name, &p);) {
            const struct kept_text *k = p;
            vec_push(&items[type],
                     (struct xds_item){name, kept_version(k), kept_bytes(k), false, NULL});
        }
        f.types[type] = (struct last_good_type){items[type].v, items[type].n};
    }
    int r = last_good_encode(&f, b, reterr);
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++)
        vec_done(&items[type]);
    return r;
}

static void tell(struct last_good *g)
{
    if (g->result < 0 && !g->failed)
        log_warn("the configuration cannot be kept on disk: a start without a control plane would "
                 "use an older one, or none",
                 kv_s("error", err_text(&g->err)));
    else if (g->result == 0 && g->failed)
        log_info("the configuration is kept on disk again");
    g->failed = g->result < 0;
}

static void on_written(void *user)
{
    struct last_good *g = user;
    if (!g->writing)
        return; /* waited for already */
    pthread_join(g->thread, NULL);
    g->writing = false;
    buf_done(&g->file);
    tell(g);
    if (g->again) {
        g->again = false;
        changed(g);
    }
}

static void *write_file(void *user)
{
    struct last_good *g = user;
    g->result = state_dir_write(g->dir, buf_str(&g->file), &g->err);
    loop_post(g->loop, on_written, g);
    return NULL;
}

static void write_now(struct last_good *g)
{
    g->file.cap = LAST_GOOD_BYTES_MAX + LAST_GOOD_HEADER_BYTES;
    g->file.failed = false;
    int r = encode(g, &g->file, &g->err);
    g->writing = r == 0;
    if (r == 0) { /* from here on result and err are the thread's */
        r = -pthread_create(&g->thread, NULL, write_file, g);
        if (r == 0)
            return;
        g->writing = false;
        err_set(&g->err, r, NULL, "no thread to write it: %s", strerror(-r));
    }
    g->result = r;
    buf_done(&g->file);
    tell(g);
}

static void on_time(void *user)
{
    struct last_good *g = user;
    if (!store_is_settled(g->store) && loop_now_ms(g->loop) - g->changed_ms < SETTLE_MS)
        loop_timer_start(g->timer, WRITE_MS);
    else if (g->writing)
        g->again = true;
    else
        write_now(g);
}

/* ---- and from it ---- */

static void on_no_config(struct proxy_config *c, void *user)
{
    (void)user;
    proxy_config_unref(c);
}

static void on_no_want(const struct config_source *from, enum xds_resource type, struct str name,
                       bool wanted, void *user)
{
    (void)from;
    (void)type;
    (void)name;
    (void)wanted;
    (void)user;
}

static void give(struct store *s, struct last_good_file *f, struct buf *refused)
{
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        /* endpoints belong behind clusters, tables behind listeners: the order of the types */
        struct xds_update u = {
            .type = type, .items = f->types[type].items, .n_items = f->types[type].n};
        if (u.n_items)
            store_update(s, &u, refused);
    }
}

/* A store that nobody sees takes all of it, or it is not used. */
static int try_out(struct last_good *g, const Envoy__Config__Bootstrap__V3__Bootstrap *b,
                   struct last_good_file *f, struct err *reterr)
{
    static const struct store_ops ops = {.on_config = on_no_config, .on_want = on_no_want};
    AUTO_DONE(buf) struct buf refused = {0};
    struct store *s = store_new(g->loop, &ops, NULL);
    int r = store_load(s, b, reterr);
    if (r == 0)
        give(s, f, &refused);
    store_free(s);
    if (r == 0 && refused.n)
        r = err_set(reterr, -EINVAL, NULL, "%.300s", buf_cstr(&refused));
    return r;
}

static int read_file(struct last_good *g, const Envoy__Config__Bootstrap__V3__Bootstrap *b,
                     struct buf *bytes, struct arena *a, struct last_good_file *ret,
                     struct err *reterr)
{
    int r = state_dir_read(g->dir, LAST_GOOD_BYTES_MAX, bytes, reterr);
    if (r == 0)
        r = last_good_decode(buf_str(bytes), a, ret, reterr);
    if (r < 0)
        return r;
    if (!str_is(ret->node_id, g->node_id) || !str_is(ret->node_cluster, g->node_cluster))
        return err_set(
            reterr, -EINVAL, NULL,
            "it is of node '" STR_FMT "' of cluster '" STR_FMT "', and this is '%s' of '%s'",
            STR_ARG(ret->node_id), STR_ARG(ret->node_cluster), g->node_id, g->node_cluster);
    return try_out(g, b, ret, reterr);
}

void last_good_restore(struct last_good *g, const Envoy__Config__Bootstrap__V3__Bootstrap *b,
                       bool (*hold)(enum xds_resource type, const struct xds_item *i, void *user),
                       void *user)
{
    AUTO(arena) struct arena *a = arena_new(XDS_RESPONSE_BYTES_MAX);
    AUTO_DONE(buf) struct buf bytes = {0}, refused = {0};
    struct last_good_file f;
    struct err err = {0};
    size_t n = 0;
    int r = read_file(g, b, &bytes, a, &f, &err);
    if (r == -ENOENT)
        return;
    if (r < 0) {
        log_warn("the configuration that was kept on disk is not used",
                 kv_s("error", err_text(&err)));
        return;
    }
    give(g->store, &f, &refused);
    if (refused
            .n) /* an address that is taken: the store has no other reason that try_out has not */
        log_warn("not all of it can be used", kv_str("error", buf_str(&refused)));
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++)
        for (size_t i = 0; i < f.types[type].n; i++, n++) {
            if (!f.types[type].items[i].refused && hold(type, &f.types[type].items[i], user))
                keep(g, type, &f.types[type].items[i]);
        }
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++)
        xds_items_done(f.types[type].items, f.types[type].n);
    uint64_t now_ms = (uint64_t)time_real_us() / 1000;
    log_info("serving the configuration that was kept on disk until a control plane answers",
             kv_i("resources", (int64_t)n),
             kv_i("age_s", now_ms > f.at_ms ? (int64_t)((now_ms - f.at_ms) / 1000) : 0));
}

/* ---- lifetime ---- */

int last_good_new(struct loop *l, struct store *s, const struct last_good_options *o,
                  const Envoy__Config__Core__V3__Node *node, struct last_good **ret,
                  struct err *reterr)
{
    struct state_dir *dir;
    struct err err = {0};
    *ret = NULL;
    int r = state_dir_open(o->dir, &dir, &err);
    if (r == -EPERM)
        return err_set(reterr, r, NULL, "%s", err_text(&err));
    if (r < 0) {
        log_warn("the configuration will not be kept on disk", kv_s("error", err_text(&err)));
        return 0;
    }
    struct last_good *g = NEW(struct last_good);
    g->loop = l;
    g->store = s;
    g->dir = dir;
    g->no_secrets = o->no_secrets;
    g->node_id = xstrdup(node ? node->id : "");
    g->node_cluster = xstrdup(node ? node->cluster : "");
    g->timer = loop_timer_new(l, on_time, g);
    *ret = g;
    return 0;
}

void last_good_free(struct last_good *g)
{
    if (!g)
        return;
    if (g->writing) {
        pthread_join(g->thread, NULL);
        g->writing = false;
        loop_turn(g->loop, 0); /* what it has posted */
        buf_done(&g->file);
    }
    if (loop_timer_is_started(g->timer) || g->again) {
        struct buf b = {.cap = LAST_GOOD_BYTES_MAX + LAST_GOOD_HEADER_BYTES};
        g->result = encode(g, &b, &g->err);
        if (g->result == 0)
            g->result = state_dir_write(g->dir, buf_str(&b), &g->err);
        tell(g);
        buf_done(&b);
    }
    loop_timer_free(g->timer);
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        void *k;
        for (size_t at = 0; map_next(&g->types[type], &at, NULL, &k);)
            kept_text_unref(k);
        map_done(&g->types[type]);
    }
    state_dir_close(g->dir);
    free(g->node_id);
    free(g->node_cluster);
    free(g);
}
