#pragma once
/* A discovery stream and who asks by hand, in a script: what is said is written down, a line a
 * response. */

#include "test.h"

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/route/v3/route.pb-c.h>
#include <envoy/service/discovery/v3/discovery.pb-c.h>
#include <errno.h>
#include <stdio.h>

#include "base/vec.h"
#include "codec/pb.h"
#include "codec/pb_msg.h"
#include "xds/xds_client.h"
#include "xds/xds_stream.h"

struct world {
    bool delta;
    struct xds_set *set;
    struct xds_stream *stream;
    struct buf said;
    struct buf answers;
    VEC(char *) messages; /* raw, for the client */
    VEC(size_t) sizes;
    struct err err;
};

/* A resource: name and a text that stands for what it is. */
static inline struct xds_entry *entry(enum xds_resource type, const char *name, const char *text,
                                      const char *endpoints)
{
    AUTO_DONE(buf) struct buf b = {0};
    pb_add_bytes(&b, 1, str_from(name));
    pb_add_bytes(&b, 1000, str_from(text));
    return xds_entry_new(type, str_from(name), buf_str(&b), str_from(endpoints));
}

static inline void put(struct world *w, enum xds_resource type, const char *name, const char *text)
{
    xds_set_put(w->set, entry(type, name, text, type == XDS_CLUSTER ? name : ""));
}

static const char *word_of(const char *url)
{
    enum xds_resource r;
    return xds_resource_of(str_from(url), &r) < 0 ? "?" : xds_resource_type(r)->word;
}

static inline int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* " +a=1,b=2", sorted: maps have no order. */
static inline void add_items(struct buf *to, char sign, char **v, size_t n)
{
    if (n)
        qsort(v, n, sizeof(*v), by_text);
    for (size_t i = 0; i < n; i++) {
        buf_addf(to, "%s%s", i ? "," : sign == '+' ? " +" : " -", v[i]);
        free(v[i]);
    }
}

static inline char *item_text(const Google__Protobuf__Any *any, const char *name)
{
    struct str in = str_of(any->value.data, any->value.len);
    struct pb_field f;
    struct str text = {0}, own = {0};
    while (pb_next(&in, &f) > 0)
        *(f.number == 1 ? &own : &text) = f.bytes;
    if (name)
        assert_str(own, name);
    return xasprintf("%.*s=%.*s", (int)own.n, own.p, (int)text.n, text.p);
}

/* What is in a Resource that stands for itself. */
static inline char *wrapped_text(const Google__Protobuf__Any *any)
{
    AUTO(arena) struct arena *a = arena_new(0);
    ProtobufCMessage *m;
    assert_ok(pb_unpack(&envoy__service__discovery__v3__resource__descriptor,
                        str_of(any->value.data, any->value.len), a, &m, NULL));
    const Envoy__Service__Discovery__V3__Resource *r = (const void *)m;
    return item_text(r->resource, r->name);
}

static inline void say_delta(struct world *w,
                             const Envoy__Service__Discovery__V3__DeltaDiscoveryResponse *m)
{
    VEC(char *) items = {0};
    buf_addf(&w->said, "%s", word_of(m->type_url));
    for (size_t i = 0; i < m->n_resources; i++) {
        assert_int_equal(strlen(m->resources[i]->version), 16);
        vec_push(&items, item_text(m->resources[i]->resource, m->resources[i]->name));
    }
    add_items(&w->said, '+', items.v, items.n);
    vec_clear(&items);
    for (size_t i = 0; i < m->n_removed_resources; i++)
        vec_push(&items, xstrdup(m->removed_resources[i]));
    add_items(&w->said, '-', items.v, items.n);
    buf_addf(&w->said, " #%s\n", m->nonce);
    vec_done(&items);
}

static inline void say_sotw(struct world *w,
                            const Envoy__Service__Discovery__V3__DiscoveryResponse *m)
{
    VEC(char *) items = {0};
    buf_addf(&w->said, "%s", word_of(m->type_url));
    for (size_t i = 0; i < m->n_resources; i++)
        vec_push(&items, strcmp(m->resources[i]->type_url, m->type_url) != 0
                             ? wrapped_text(m->resources[i])
                             : item_text(m->resources[i], NULL));
    add_items(&w->said, '+', items.v, items.n);
    buf_addf(&w->said, " #%s\n", m->nonce);
    vec_done(&items);
}

static inline void on_send(struct chain *sent, void *user)
{
    struct world *w = user;
    struct str message = chain_linear(sent, sent->n);
    AUTO(arena) struct arena *a = arena_new(0);
    ProtobufCMessage *m;
    assert_ok(pb_unpack(w->delta
                            ? &envoy__service__discovery__v3__delta_discovery_response__descriptor
                            : &envoy__service__discovery__v3__discovery_response__descriptor,
                        message, a, &m, NULL));
    if (w->delta)
        say_delta(w, (const void *)m);
    else
        say_sotw(w, (const void *)m);
    vec_push(&w->messages, xmalloc(message.n + 1));
    memcpy(w->messages.v[w->messages.n - 1], message.p, message.n);
    vec_push(&w->sizes, message.n);
}

static inline struct xds_set *on_node(const Envoy__Config__Core__V3__Node *node, void *user,
                                      struct err *reterr)
{
    struct world *w = user;
    if (node && strcmp(node->id, "stranger") == 0) {
        err_set(reterr, -EACCES, NULL, "not known");
        return NULL;
    }
    return w->set;
}

static inline void on_answer(const struct xds_answer *a, void *user)
{
    struct world *w = user;
    buf_addf(&w->answers, "%s%s%s;", xds_resource_type(a->type)->word, a->refused ? "!" : "",
             a->text);
}

static const struct xds_stream_ops ops = {
    .send = on_send, .on_node = on_node, .on_answer = on_answer};

static inline void start(struct world *w, bool delta)
{
    *w = (struct world){.delta = delta, .set = xds_set_new()};
    w->stream = xds_stream_new(delta, &ops, w);
}

static inline void finish(struct world *w)
{
    bool last = !w->set->over;
    xds_stream_free(w->stream);
    xds_set_free(w->set);
    for (enum xds_resource type = 0; last && type < XDS_RESOURCES; type++)
        assert_int_equal(xds_names_used(type), 0); /* nobody holds what nobody has */
    buf_done(&w->said);
    buf_done(&w->answers);
    VEC_FOREACH (m, &w->messages)
        free(*m);
    vec_done(&w->messages);
    vec_done(&w->sizes);
}

static inline void expect(struct world *w, const char *want)
{
    assert_string_equal(buf_cstr(&w->said), want);
    buf_clear(&w->said);
}

/* "cds +a +b -c #1 !why @a=VERSION": what is subscribed, unsubscribed, the nonce, a refusal, what
 * is held. In state of the world + are the names. */
static inline int ask(struct world *w, const char *script)
{
    AUTO_CHARS char *text = xstrdup(script);
    char *save = NULL, *add[8], *drop[8], *nonce = (char *)(uintptr_t) "";
    size_t n_add = 0, n_drop = 0, n_held = 0;
    Google__Rpc__Status status;
    Envoy__Service__Discovery__V3__DeltaDiscoveryRequest__InitialResourceVersionsEntry held, *helds;
    AUTO_DONE(buf) struct buf b = {0};
    const char *url = NULL;
    bool refused = false;
    google__rpc__status__init(&status);
    for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        if (*word == '+')
            add[n_add++] = word + 1;
        else if (*word == '-')
            drop[n_drop++] = word + 1;
        else if (*word == '#')
            nonce = word + 1;
        else if (*word == '!')
            status.message = word + 1, refused = true;
        else if (*word == '@') {
            envoy__service__discovery__v3__delta_discovery_request__initial_resource_versions_entry__init(
                &held);
            held.key = strtok_r(word + 1, "=", &save);
            held.value = strtok_r(NULL, " ", &save);
            helds = &held;
            n_held = 1;
        } else
            for (enum xds_resource r = 0; r < XDS_RESOURCES; r++)
                if (strcmp(word, xds_resource_type(r)->word) == 0)
                    url = xds_resource_type(r)->type_url;
    }
    if (w->delta) {
        Envoy__Service__Discovery__V3__DeltaDiscoveryRequest m;
        envoy__service__discovery__v3__delta_discovery_request__init(&m);
        m.type_url = (char *)(uintptr_t)url;
        m.response_nonce = nonce;
        m.resource_names_subscribe = add;
        m.n_resource_names_subscribe = n_add;
        m.resource_names_unsubscribe = drop;
        m.n_resource_names_unsubscribe = n_drop;
        m.initial_resource_versions = &helds;
        m.n_initial_resource_versions = n_held;
        m.error_detail = refused ? &status : NULL;
        assert_ok(pb_pack(&m.base, &b));
    } else {
        Envoy__Service__Discovery__V3__DiscoveryRequest m;
        envoy__service__discovery__v3__discovery_request__init(&m);
        m.type_url = (char *)(uintptr_t)url;
        m.response_nonce = nonce;
        m.resource_names = add;
        m.n_resource_names = n_add;
        m.error_detail = refused ? &status : NULL;
        assert_ok(pb_pack(&m.base, &b));
    }
    return xds_stream_receive(w->stream, buf_str(&b), &w->err);
}

static inline void push(struct world *w)
{
    xds_stream_push(w->stream);
}
