/* fuzz-layer: xds
 * Requests of a client, several in a row ([length in two bytes] message), to the server's side of a
 * stream over a set that changes between them: whatever comes, every response can be read, and one
 * of a type is under way at a time. The first byte chooses delta or the state of the world. */
#include <envoy/service/discovery/v3/discovery.pb-c.h>
#include <errno.h>
#include <stdlib.h>

#include "codec/pb.h"
#include "codec/pb_msg.h"
#include "xds/xds_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_without_faults(void);

/* The control plane ends for want of memory: proxies keep what they have. */
void fuzz_without_faults(void)
{
}

struct world {
    bool delta;
    struct xds_set *set;
};

static void on_send(struct chain *sent, void *user)
{
    const struct world *w = user;
    struct str message = chain_linear(sent, sent->n);
    AUTO(arena) struct arena *a = arena_new(0);
    ProtobufCMessage *m;
    int r =
        pb_unpack(w->delta ? &envoy__service__discovery__v3__delta_discovery_response__descriptor
                           : &envoy__service__discovery__v3__discovery_response__descriptor,
                  message, a, &m, NULL);
    if (r < 0 && r != -ENOMEM)
        abort();
}

static struct xds_set *on_node(const Envoy__Config__Core__V3__Node *node, void *user,
                               struct err *reterr)
{
    const struct world *w = user;
    (void)reterr;
    return node && streq(node->id, "stranger") ? NULL : w->set;
}

static void change(struct world *w, unsigned step)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    const char *name = names[step % 4];
    enum xds_resource type = (enum xds_resource)(step / 4 % XDS_RESOURCES);
    AUTO_DONE(buf) struct buf b = {0};
    pb_add_text(&b, 1, name);
    pb_add_uint(&b, 1000, step);
    if (step % 7 == 3)
        xds_set_remove(w->set, type, str_from(name));
    else
        xds_set_put(w->set, xds_entry_new(type, str_from(name), buf_str(&b),
                                          type == XDS_CLUSTER ? str_from(name) : STR("")));
}

static void check(const struct xds_stream *s)
{
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct xds_stream_state st;
        xds_stream_get_state(s, type, &st);
        if (st.sent != st.acked + st.refused + st.outstanding)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct xds_stream_ops ops = {.send = on_send, .on_node = on_node};
    struct world w = {.set = xds_set_new()};
    struct str left = str_of(data, size);
    if (size)
        w.delta = data[0] & 1;
    struct xds_stream *s = xds_stream_new(w.delta, &ops, &w);
    unsigned step = 0;
    for (; step < 24; step++)
        change(&w, step);
    left = str_sub(left, size ? 1 : 0, left.n);
    while (left.n >= 2) {
        size_t n = (size_t)(uint8_t)left.p[0] << 8 | (uint8_t)left.p[1];
        struct str message = str_sub(left, 2, 2 + (n < left.n - 2 ? n : left.n - 2));
        if (xds_stream_receive(s, message, NULL) < 0)
            break;
        check(s);
        change(&w, step++);
        xds_stream_push(s);
        check(s);
        left = str_sub(left, 2 + message.n, left.n);
    }
    xds_stream_free(s);
    xds_set_free(w.set);
    return 0;
}
