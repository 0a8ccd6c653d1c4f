/* One inotify watch of one file. Owns the descriptor; knows nothing of what is in the file. On the
 * loop. A ConfigMap that changes replaces the file by another, which is not noticed (nor by
 * kube-proxy): its pods are rolled. */
#include "agent/config_watch.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/mem.h"

struct config_watch {
    struct loop_io *io;
    int fd;
    void (*on_change)(void *user);
    void *user;
};

static void on_event(struct loop_io *io, uint32_t events, void *user)
{
    struct config_watch *w = user;
    char room[4096] __attribute__((aligned(8)));
    bool changed = false;
    (void)io;
    (void)events;
    for (ssize_t n; (n = read(w->fd, room, sizeof(room))) > 0;)
        for (size_t at = 0; at + sizeof(struct inotify_event) <= (size_t)n;) {
            struct inotify_event e;
            memcpy(&e, room + at, sizeof(e));
            changed = changed || e.mask & (IN_MODIFY | IN_MOVE_SELF);
            at += sizeof(e) + e.len;
        }
    if (changed)
        w->on_change(w->user);
}

int config_watch_new(struct loop *l, const char *path, void (*on_change)(void *user), void *user,
                     struct config_watch **ret, struct err *reterr)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0 || inotify_add_watch(fd, path, IN_MODIFY | IN_MOVE_SELF) < 0) {
        int code = -errno;
        if (fd >= 0)
            close(fd);
        return err_set(reterr, code, NULL, "%s: cannot be watched: %s", path, strerror(-code));
    }
    struct config_watch *w = NEW(struct config_watch);
    *w = (struct config_watch){.fd = fd, .on_change = on_change, .user = user};
    int r = loop_io_add(l, fd, on_event, w, &w->io);
    if (r < 0) {
        config_watch_free(w);
        return err_set(reterr, r, NULL, "%s: cannot be watched: %s", path, strerror(-r));
    }
    *ret = w;
    return 0;
}

void config_watch_free(struct config_watch *w)
{
    if (!w)
        return;
    if (w->io)
        loop_io_remove(w->io);
    close(w->fd);
    free(w);
}
