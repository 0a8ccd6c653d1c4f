/* The lab's file of images (`fairlead lab image`), read whenever it is another one.
 *
 * Owns the watch of its directory, since the file is replaced, never written in place. Fills the
 * node's image table and tells the node; what waits for an image then tries again. Nothing here
 * knows pods. */
#include "lab/node/image_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"

enum { IMAGE_FILE_BYTES_MAX = 1024 * 1024 };

struct image_watch {
    struct image_table *table;
    char *path;
    int fd;
    struct loop_io *io;
    image_watch_fn *changed;
    void *user;
};

static void read_file(struct image_watch *w)
{
    AUTO_DONE(buf) struct buf text = {0};
    char block[4096];
    FILE *f = fopen(w->path, "re");
    for (size_t n;
         f && (n = fread(block, 1, sizeof(block), f)) > 0 && text.n < IMAGE_FILE_BYTES_MAX;)
        buf_add(&text, block, n);
    if (f)
        fclose(f);
    image_table_tell(w->table, buf_str(&text));
}

static void on_event(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    struct image_watch *w = user;
    char buffer[sizeof(struct inotify_event) + NAME_MAX + 1]
        __attribute__((aligned(__alignof__(struct inotify_event))));
    bool mine = false;
    for (ssize_t n; (n = read(w->fd, buffer, sizeof(buffer))) > 0;)
        for (const char *p = buffer; p < buffer + n;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)p;
            mine = mine || (e->len && streq(e->name, IMAGE_FILE));
            p += sizeof(*e) + e->len;
        }
    if (!mine)
        return;
    read_file(w);
    log_info("images read", kv_s("file", w->path), kv_i("images", (int64_t)w->table->told.n));
    w->changed(w->user);
}

struct image_watch *image_watch_new(struct loop *l, const char *directory,
                                    struct image_table *table, image_watch_fn *changed, void *user)
{
    struct image_watch *w = NEW(struct image_watch);
    *w = (struct image_watch){.table = table, .changed = changed, .user = user};
    w->path = xasprintf("%s/" IMAGE_FILE, directory);
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->fd < 0 || inotify_add_watch(w->fd, directory, IN_MOVED_TO) < 0 ||
        loop_io_add(l, w->fd, on_event, w, &w->io) < 0)
        log_warn("images told later are not seen", kv_s("directory", directory),
                 kv_s("error", strerror(errno)));
    read_file(w);
    return w;
}

void image_watch_free(struct image_watch *w)
{
    if (!w)
        return;
    loop_io_remove(w->io);
    if (w->fd >= 0)
        close(w->fd);
    free(w->path);
    free(w);
}
