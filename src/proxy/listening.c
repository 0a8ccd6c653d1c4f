/* A listener's sockets in a worker. A Unix socket is one for all workers, of which each has a copy
 * of the descriptor: SO_REUSEPORT is for addresses only. */
#include <fcntl.h>

#include "proxy/downstream_priv.h"

static int open_shared(struct listening_address *p, const struct listener_options *o,
                       struct err *reterr)
{
    const struct listener_address a = {.path = p->path, .mode = p->mode};
    int fd;
    if (atomic_load(&p->shared) >= 0)
        return 0;
    int r = listener_socket_open(&a, o, &fd, reterr);
    if (r == 0)
        atomic_store(&p->shared, fd); /* the configuration's, closed with it */
    return r;
}

static struct listener_options options_of(const struct listener_config *c,
                                          const struct listening_address *p, bool bind_only)
{
    return (struct listener_options){.reuse_port = true,
                                     .v6_only = p->v6_only,
                                     .freebind = c->freebind,
                                     .transparent = c->transparent,
                                     .bind_only = bind_only,
                                     .backlog = c->backlog};
}

static int bind_address(const struct listener_config *c, struct listening_address *p,
                        unsigned workers, struct err *reterr)
{
    const struct listener_options o = options_of(c, p, true);
    const struct listener_address a = {.ip = p->ip, .port = p->port};
    int r = 0;
    if (p->path)
        return open_shared(p, &o, reterr);
    p->bound = xcalloc(workers, sizeof(*p->bound));
    for (unsigned i = 0; i < workers && r == 0; i++) {
        int fd;
        r = listener_socket_open(&a, &o, &fd, reterr);
        if (r == 0)
            atomic_init(&p->bound[p->n_bound++], fd);
    }
    return r;
}

int downstream_bind(struct listener_config *c, unsigned workers, struct err *reterr)
{
    int r = 0;
    for (size_t i = 0; c->bind && i < c->addresses.n && r == 0; i++)
        r = bind_address(c, &c->addresses.v[i], workers, reterr);
    return r;
}

/* A socket that was bound for this worker, or a new one. */
static int open_socket(struct listener_config *c, struct listening_address *p, unsigned worker,
                       int *ret_fd, struct err *reterr)
{
    const struct listener_options o = options_of(c, p, false);
    const struct listener_address a = {.ip = p->ip, .port = p->port};
    int fd = worker < p->n_bound ? atomic_exchange(&p->bound[worker], -1) : -1, r = 0;
    if (p->path) {
        r = open_shared(p, &o, reterr);
        fd = r == 0 ? fcntl(atomic_load(&p->shared), F_DUPFD_CLOEXEC, 0) : -1;
        if (r == 0 && fd < 0)
            r = err_set(reterr, -errno, NULL, "%s: %s", p->path, strerror(errno));
    } else if (fd < 0) {
        r = listener_socket_open(&a, &o, &fd, reterr);
    }
    if (r == 0)
        r = listener_socket_listen(fd, c->backlog);
    if (r == 0)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    return r;
}

int downstream_adopt(struct worker *w, struct listener_config *c, const int *fds, size_t n,
                     struct worker_listener **ret, struct err *reterr)
{
    struct worker_listener *l = NEW(struct worker_listener);
    int r = 0;
    l->worker = w;
    l->config = listener_config_ref(c);
    for (size_t i = 0; i < n && r == 0; i++) {
        struct listener *s;
        r = listener_adopt(w->loop, fds[i], downstream_accept, l, &s);
        if (r == 0)
            vec_push(&l->sockets, s);
    }
    if (r == 0) {
        *ret = l;
        return 0;
    }
    for (size_t i = l->sockets.n; i < n; i++)
        close(fds[i]);
    downstream_unlisten(l);
    return err_set(reterr, r, NULL, "listener '%s': %s", c->name, strerror(-r));
}

int downstream_listen(struct worker *w, struct listener_config *c, struct worker_listener **ret,
                      struct err *reterr)
{
    int fds[LISTENER_ADDRESSES_MAX];
    size_t n = 0;
    int r = 0;
    while (c->bind && n < c->addresses.n && r == 0) {
        r = open_socket(c, &c->addresses.v[n], w->index, &fds[n], reterr);
        n += r == 0;
    }
    if (r == 0)
        return downstream_adopt(w, c, fds, n, ret, reterr);
    while (n)
        close(fds[--n]);
    return r;
}

void downstream_unlisten(struct worker_listener *l)
{
    VEC_FOREACH (s, &l->sockets) {
        if (!l->worker->ended)
            listener_accept_rest(*s);
        listener_free(*s);
    }
    vec_done(&l->sockets);
    listener_config_unref(l->config);
    free(l);
}
