/* A listener's sockets in a worker. A Unix socket is one for all workers, of which each has a copy
 * of the descriptor: SO_REUSEPORT is for addresses only. */
#include <fcntl.h>

#include "proxy/downstream_priv.h"

static int open_shared(struct listening_address *p, const struct listener_options *o, int *ret_fd,
                       struct err *reterr)
{
    int fd = atomic_load(&p->shared);
    if (fd < 0) {
        const struct listener_address a = {.path = p->path, .mode = p->mode};
        int r = listener_socket_open(&a, o, &fd, reterr);
        if (r < 0)
            return r;
        atomic_store(&p->shared, fd); /* the configuration's, closed with it */
    }
    *ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return *ret_fd < 0 ? err_set(reterr, -errno, NULL, "%s: %s", p->path, strerror(errno)) : 0;
}

int downstream_open(struct listener_config *c, size_t i, int *ret_fd, struct err *reterr)
{
    struct listening_address *p = &c->addresses.v[i];
    const struct listener_options o = {.reuse_port = true,
                                       .v6_only = p->v6_only,
                                       .freebind = c->freebind,
                                       .transparent = c->transparent,
                                       .backlog = c->backlog};
    const struct listener_address a = {.ip = p->ip, .port = p->port};
    return p->path ? open_shared(p, &o, ret_fd, reterr)
                   : listener_socket_open(&a, &o, ret_fd, reterr);
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
        r = downstream_open(c, n, &fds[n], reterr);
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
    VEC_FOREACH (s, &l->sockets)
        listener_free(*s);
    vec_done(&l->sockets);
    listener_config_unref(l->config);
    free(l);
}
