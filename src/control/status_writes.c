#include "control/status_writes.h"

#include "base/assert.h"
#include "base/list.h"

enum { WRITES_MAX = 8 };

struct status_writes {
    struct kube_client *client;
    status_writes_fn *fn;
    void *user;
    struct list_node under_way; /* struct write */
    unsigned n;
};

struct write {
    struct list_node node;
    struct kube_call *call;
    struct status_writes *of;
    char *key;
};

struct status_writes *status_writes_new(struct kube_client *c, status_writes_fn *fn, void *user)
{
    struct status_writes *w = NEW(struct status_writes);
    *w = (struct status_writes){.client = c, .fn = fn, .user = user};
    list_init(&w->under_way);
    return w;
}

static void write_free(struct write *w)
{
    free(w->key);
    free(w);
}

void status_writes_free(struct status_writes *w)
{
    if (!w)
        return;
    LIST_FOREACH_SAFE (node, &w->under_way) {
        struct write *one = CONTAINER_OF(node, struct write, node);
        kube_call_cancel(one->call);
        write_free(one);
    }
    free(w);
}

bool status_writes_have_room(const struct status_writes *w)
{
    return w->n < WRITES_MAX;
}

bool status_writes_have(const struct status_writes *w, struct str key)
{
    LIST_FOREACH (node, &w->under_way)
        if (str_is(key, CONTAINER_OF(node, struct write, node)->key))
            return true;
    return false;
}

static void on_written(const struct kube_result *r, void *user)
{
    struct write *w = user;
    struct status_writes *of = w->of;
    list_remove(&w->node);
    of->n--;
    of->fn(w->key, r, of->user);
    write_free(w);
}

void status_writes_patch(struct status_writes *w, struct str key, const char *path,
                         const json_t *patch)
{
    struct write *one = NEW(struct write);
    ASSERT(status_writes_have_room(w));
    one->of = w;
    one->key = str_dup(key);
    w->n++;
    list_add_tail(&w->under_way, &one->node);
    one->call =
        kube_call(w->client, "PATCH", path, "application/merge-patch+json", patch, on_written, one);
}
