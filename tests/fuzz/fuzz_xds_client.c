/* fuzz-layer: xds
 * Responses of a management server, several in a row ([length in two bytes] message), to a client
 * that asks for what it is told of: each is answered at most once, or ends the stream. The first
 * byte chooses delta or the state of the world. */
#include <errno.h>
#include <stdlib.h>

#include "xds/xds_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct xds_client *c;
    unsigned sent;
};

static void on_send(struct str message, void *user)
{
    struct world *w = user;
    if (!message.n)
        abort();
    w->sent++;
}

static void on_update(const struct xds_update *u, struct buf *refused, void *user)
{
    struct world *w = user;
    for (size_t i = 0; i < u->n_items; i++) {
        if (!u->items[i].name.n)
            abort();
        if (u->type == XDS_CLUSTER)
            xds_client_subscribe(w->c, XDS_ENDPOINT, u->items[i].name);
        u->items[i].refused = i % 3 == 2;
        if (u->items[i].refused)
            buf_add_cstr(refused, "no");
    }
    for (size_t i = 0; i < u->n_removed; i++)
        if (u->type == XDS_CLUSTER)
            xds_client_unsubscribe(w->c, XDS_ENDPOINT, u->removed[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct xds_client_ops ops = {.send = on_send, .on_update = on_update};
    static Envoy__Config__Core__V3__Node node;
    struct world w = {.sent = 0};
    struct str left = str_of(data, size);
    if (!size)
        return 0;
    envoy__config__core__v3__node__init(&node);
    w.c = xds_client_new(data[0] & 1, &node, &ops, &w);
    left = str_sub(left, 1, left.n);
    xds_client_subscribe_all(w.c, XDS_CLUSTER);
    xds_client_subscribe_all(w.c, XDS_LISTENER);
    xds_client_subscribe(w.c, XDS_ROUTE, STR("r"));
    xds_client_subscribe(w.c, XDS_SECRET, STR("s"));
    xds_client_open(w.c);
    if (w.sent > 4) /* fewer only without memory */
        abort();
    while (left.n >= 2) {
        size_t n = (size_t)(uint8_t)left.p[0] << 8 | (uint8_t)left.p[1];
        struct str message = str_sub(left, 2, 2 + (n < left.n - 2 ? n : left.n - 2));
        struct err err = {0};
        unsigned before = w.sent;
        if (xds_client_receive(w.c, message, &err) < 0) {
            if (w.sent != before)
                abort();
            xds_client_close(w.c);
            xds_client_open(w.c);
        } else if (w.sent > before + 2) { /* endpoints wanted, and the answer */
            abort();
        }
        left = str_sub(left, 2 + message.n, left.n);
    }
    xds_client_free(w.c);
    return 0;
}
