/* Files that resources come from. Main thread. What cannot be read is logged, and what was read
 * before stays in force. */
#include "proxy/file_sources.h"

#include <errno.h>
#include <libgen.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "xds/xds_file.h"

struct file_source {
    char *path;
    uint64_t hash; /* of the resources that it held last */
    bool came;
    bool changed; /* since it was read */
};

struct file_sources {
    struct loop *loop;
    struct store *store;
    int fd; /* inotify */
    struct loop_io *io;
    struct loop_call read;
    VEC(struct file_source) files;
};

static void give(struct file_sources *s, size_t at,
                 const Envoy__Service__Discovery__V3__DiscoveryResponse *m)
{
    struct file_source *f = &s->files.v[at];
    AUTO_DONE(buf) struct buf refused = {0};
    struct xds_update u = {.full = true};
    VEC(struct xds_item) items = {0};
    uint64_t hash = m->n_resources;
    const char *url = m->n_resources && !*m->type_url ? m->resources[0]->type_url : m->type_url;
    if (xds_resource_of(str_from(url), &u.type) < 0) {
        log_error("a file of resources is of no known type", kv_s("file", f->path),
                  kv_s("type", url));
        return;
    }
    for (size_t i = 0; i < m->n_resources; i++) {
        struct str bytes = str_of(m->resources[i]->value.data, m->resources[i]->value.len);
        hash = hash_bytes_seed(bytes.p, bytes.n, hash);
        if (strcmp(m->resources[i]->type_url, url) == 0)
            vec_push(&items, (struct xds_item){.name = xds_resource_name(bytes),
                                               .version = str_from(m->version_info),
                                               .bytes = bytes});
        else
            buf_addf(&refused, "type URL %s does not match the message-wide type URL %s; ",
                     m->resources[i]->type_url, url);
    }
    if (!f->came || hash != f->hash) {
        u.items = items.v;
        u.n_items = items.n;
        store_update(s->store, &u, &refused);
        f = &s->files.v[at]; /* resources that name files have added some */
        if (refused.n)
            log_error("resources of a file are refused", kv_s("file", f->path),
                      kv_str("error", buf_str(&refused)));
        else
            log_info("resources read", kv_s("file", f->path), kv_i("resources", (int64_t)items.n));
    }
    f->came = true;
    f->hash = hash;
    xds_items_done(items.v, items.n);
    vec_done(&items);
}

static void on_read(void *user)
{
    struct file_sources *s = user;
    for (size_t i = 0; i < s->files.n; i++) { /* giving may add files */
        AUTO(arena) struct arena *a = arena_new(XDS_RESPONSE_BYTES_MAX);
        Envoy__Service__Discovery__V3__DiscoveryResponse *m;
        struct err err = {0};
        if (!s->files.v[i].changed)
            continue;
        s->files.v[i].changed = false;
        if (xds_file_read_response(s->files.v[i].path, a, &m, &err) < 0)
            log_error("cannot read resources", kv_s("error", err_text(&err)));
        else
            give(s, i, m);
    }
}

/* Its own name, or the link by which kubelet exchanges all files of a volume at once. */
static void note_change(struct file_sources *s, const struct inotify_event *e)
{
    bool all = e->mask & IN_Q_OVERFLOW || (e->len && strcmp(e->name, "..data") == 0);
    VEC_FOREACH (f, &s->files) {
        const char *slash = strrchr(f->path, '/');
        const char *name = slash ? slash + 1 : f->path;
        if (all || (e->len && strcmp(e->name, name) == 0))
            f->changed = true;
    }
}

/* Only what has changed is read again, so that files come into force in the order in which they
 * were put there. */
static void on_change(struct loop_io *io, uint32_t events, void *user)
{
    struct file_sources *s = user;
    _Alignas(struct inotify_event) char got[4096];
    ssize_t n;
    (void)io;
    (void)events;
    while ((n = read(s->fd, got, sizeof(got))) > 0)
        for (char *at = got; at < got + n;) {
            const struct inotify_event *e = (const void *)at;
            note_change(s, e);
            at += sizeof(*e) + e->len;
        }
    loop_defer_soon(s->loop, &s->read);
}

void file_sources_add(struct file_sources *s, const char *path)
{
    VEC_FOREACH (f, &s->files)
        if (strcmp(f->path, path) == 0)
            return;
    char *copy = xstrdup(path);
    if (inotify_add_watch(s->fd, dirname(copy), IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
        log_error("cannot watch a file of resources", kv_s("file", path),
                  kv_s("error", strerror(errno)));
    free(copy);
    vec_push(&s->files, (struct file_source){.path = xstrdup(path), .changed = true});
    loop_defer_soon(s->loop, &s->read);
}

int file_sources_new(struct loop *l, struct store *store, struct file_sources **ret,
                     struct err *reterr)
{
    struct file_sources *s = NEW(struct file_sources);
    s->loop = l;
    s->store = store;
    loop_call_init(&s->read, on_read, s);
    s->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int r = s->fd < 0 ? -errno : loop_io_add(l, s->fd, on_change, s, &s->io);
    if (r < 0) {
        file_sources_free(s);
        return err_set(reterr, r, NULL, "watching files: %s", strerror(-r));
    }
    *ret = s;
    return 0;
}

void file_sources_free(struct file_sources *s)
{
    if (!s)
        return;
    loop_call_cancel(&s->read);
    loop_io_remove(s->io);
    if (s->fd >= 0)
        close(s->fd);
    VEC_FOREACH (f, &s->files)
        free(f->path);
    vec_done(&s->files);
    free(s);
}
