/* The server's side of a discovery stream against the house's own client: whatever changes when, in
 * the end it has what is there, and never a route whose cluster, or a cluster whose endpoints, it
 * was not given before. */
#include "xds_stream_world.h"

enum { NAMES = 6, ROUNDS = 3000 };

struct peer {
    struct world w;
    struct xds_client *client;
    VEC(char *) requests;
    VEC(size_t) request_sizes;
    struct map has[XDS_RESOURCES]; /* what the client was told */
    unsigned refuse;               /* one update in so many */
    unsigned seed, refusals;
};

static unsigned draw(struct peer *p, unsigned below)
{
    p->seed = p->seed * 1103515245u + 12345u;
    return (p->seed >> 8) % below;
}

static void client_send(struct str message, void *user)
{
    struct peer *p = user;
    vec_push(&p->requests, xmalloc(message.n + 1));
    memcpy(p->requests.v[p->requests.n - 1], message.p, message.n);
    vec_push(&p->request_sizes, message.n);
}

static const enum xds_resource namers[] = {XDS_ROUTE, XDS_HOST};

/* A route or host "to-X" needs cluster X, which needs its endpoints. */
static void check_routes(struct peer *p)
{
    void *text;
    for (size_t i = 0; i < ARRAY_LEN(namers); i++)
        for (size_t at = 0; map_next(&p->has[namers[i]], &at, NULL, &text);) {
            const char *cluster = strstr(text, "to-") + 3;
            assert_non_null(map_find_cstr(&p->has[XDS_CLUSTER], cluster));
            assert_non_null(map_find_cstr(&p->has[XDS_ENDPOINT], cluster));
        }
}

static bool is_target(const struct peer *p, char name)
{
    struct xds_entry *e;
    for (size_t i = 0; i < ARRAY_LEN(namers); i++)
        for (struct xds_iter at = {0}; xds_set_next(p->w.set, namers[i], &at, &e);) {
            struct str any = e->any;
            if (any.p[any.n - 1] == name)
                return true;
        }
    return false;
}

/* What goes has gone, whatever is refused beside it. */
static void take_removals(struct peer *p, const struct xds_update *u)
{
    for (size_t i = 0; i < u->n_removed; i++)
        free(map_remove(&p->has[u->type], u->removed[i]));
    if (u->type != XDS_CLUSTER)
        return;
    for (char c = 'a'; c < 'a' + NAMES; c++)
        if (!map_find(&p->has[XDS_CLUSTER], str_of(&c, 1)) &&
            xds_client_is_subscribed(p->client, XDS_ENDPOINT, str_of(&c, 1))) {
            xds_client_unsubscribe(p->client, XDS_ENDPOINT, str_of(&c, 1));
            free(map_remove(&p->has[XDS_ENDPOINT], str_of(&c, 1)));
        }
}

static void client_update(const struct xds_update *u, struct buf *refused, void *user)
{
    struct peer *p = user;
    if (p->refuse && draw(p, p->refuse) == 0) {
        take_removals(p, u);
        buf_addf(refused, "no");
        p->refusals++;
        for (size_t i = 0; i < u->n_items; i++)
            u->items[i].refused = true;
        return;
    }
    if (u->full) {
        struct str name;
        void *text;
        for (size_t at = 0; map_next(&p->has[u->type], &at, &name, &text);) {
            map_remove(&p->has[u->type], name);
            free(text);
        }
    }
    for (size_t i = 0; i < u->n_items; i++) {
        struct str in = u->items[i].bytes;
        struct pb_field f;
        char *text = NULL;
        while (pb_next(&in, &f) > 0)
            if (f.number == 1000)
                text = str_dup(f.bytes);
        free(map_put(&p->has[u->type], u->items[i].name, text));
        if (u->type == XDS_CLUSTER)
            xds_client_subscribe(p->client, XDS_ENDPOINT, u->items[i].name);
    }
    take_removals(p, u);
    if (!p->refusals) /* else it may keep a route of long ago */
        check_routes(p);
}

static const struct xds_client_ops client_ops = {.send = client_send, .on_update = client_update};

/* One message of either direction; false: none is under way. */
static bool carry(struct peer *p)
{
    bool up = p->requests.n && (!p->w.messages.n || draw(p, 2));
    if (up) {
        AUTO_CHARS char *m = p->requests.v[0];
        struct str message = str_of(m, p->request_sizes.v[0]);
        vec_remove(&p->requests, 0);
        vec_remove(&p->request_sizes, 0);
        assert_ok(xds_stream_receive(p->w.stream, message, NULL));
    } else if (p->w.messages.n) {
        AUTO_CHARS char *m = p->w.messages.v[0];
        struct str message = str_of(m, p->w.sizes.v[0]);
        vec_remove(&p->w.messages, 0);
        vec_remove(&p->w.sizes, 0);
        assert_ok(xds_client_receive(p->client, message, NULL));
    } else {
        return false;
    }
    return true;
}

static void expect_same(struct peer *p)
{
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct xds_entry *e;
        size_t n = 0;
        for (struct xds_iter at = {0}; xds_set_next(p->w.set, type, &at, &e);) {
            struct str in = e->any;
            const char *text = map_find(&p->has[type], e->name);
            if (type == XDS_ENDPOINT && !map_find(&p->has[XDS_CLUSTER], e->name))
                continue;
            assert_non_null(text);
            assert_true(str_contains(in, str_from(text)));
            n++;
        }
        assert_int_equal(p->has[type].used, n);
    }
}

/* Cluster with endpoints, the route that names one of those there are. */
static void change(struct peer *p)
{
    char text[32], host[] = "t/x", name[2] = {(char)('a' + (char)draw(p, NAMES)), 0};
    snprintf(text, sizeof(text), "%u", draw(p, 1000));
    host[2] = (char)('a' + (char)draw(p, NAMES));
    switch (draw(p, 5)) {
    case 0:
        put(&p->w, XDS_CLUSTER, name, text);
        put(&p->w, XDS_ENDPOINT, name, text);
        break;
    case 1:
        if (is_target(p, *name))
            break;
        xds_set_remove(p->w.set, XDS_CLUSTER, str_from(name));
        if (draw(p, 2))
            xds_set_remove(p->w.set, XDS_ENDPOINT, str_from(name));
        break;
    case 2:
        if (xds_set_find(p->w.set, XDS_ENDPOINT, str_from(name)))
            put(&p->w, XDS_ENDPOINT, name, text);
        break;
    case 3:
        xds_set_remove(p->w.set, XDS_HOST, str_from(host));
        break;
    default:
        put(&p->w, XDS_CLUSTER, name, text);
        put(&p->w, XDS_ENDPOINT, name, text);
        snprintf(text, sizeof(text), "%u-to-%s", draw(p, 1000), name);
        if (draw(p, 2))
            put(&p->w, XDS_ROUTE, "r", text);
        else
            put(&p->w, XDS_HOST, host, text);
    }
    if (draw(p, 3))
        xds_stream_push(p->w.stream);
}

static void churn(bool delta, unsigned refuse, unsigned seed)
{
    struct peer p = {.seed = seed, .refuse = refuse};
    Envoy__Config__Core__V3__Node node;
    envoy__config__core__v3__node__init(&node);
    start(&p.w, delta);
    p.client = xds_client_new(delta, &node, &client_ops, &p);
    xds_client_subscribe_all(p.client, XDS_CLUSTER);
    xds_client_subscribe_all(p.client, XDS_LISTENER);
    xds_client_subscribe(p.client, XDS_ROUTE, STR("r"));
    xds_client_subscribe(p.client, XDS_HOST, STR("t"));
    xds_client_open(p.client);
    for (int i = 0; i < ROUNDS; i++) {
        change(&p);
        for (unsigned n = draw(&p, 4); n && carry(&p); n--)
            ;
        /* The connection breaks; the next server is another. State of the world cannot keep what
         * went meanwhile until the routes have come: nothing went. */
        if (draw(&p, 300) == 0) {
            xds_stream_push(p.w.stream);
            while (!delta && carry(&p))
                ;
            xds_stream_free(p.w.stream);
            xds_client_close(p.client);
            while (p.requests.n)
                free(vec_pop(&p.requests));
            while (p.w.messages.n)
                free(vec_pop(&p.w.messages));
            vec_clear(&p.request_sizes);
            vec_clear(&p.w.sizes);
            p.w.stream = xds_stream_new(delta, &ops, &p.w);
            xds_client_open(p.client);
            while (!delta && carry(&p))
                ;
        }
    }
    p.refuse = 0;
    for (char c = 'a'; c < 'a' + NAMES; c++) { /* what was refused comes again when it changes */
        char name[2] = {c, 0};
        char host[] = {'t', '/', c, 0};
        xds_set_remove(p.w.set, XDS_CLUSTER, str_from(name));
        xds_set_remove(p.w.set, XDS_HOST, str_from(host));
    }
    put(&p.w, XDS_HOST, "t/a", "last-to-a");
    put(&p.w, XDS_CLUSTER, "a", "last");
    put(&p.w, XDS_ENDPOINT, "a", "last");
    put(&p.w, XDS_ROUTE, "r", "last-to-a");
    for (int i = 0; i < 3; i++) {
        xds_stream_push(p.w.stream);
        while (carry(&p))
            ;
    }
    expect_same(&p);
    assert_true(!refuse || p.refusals);
    for (size_t i = 0; i < XDS_RESOURCES; i++) {
        void *text;
        for (size_t at = 0; map_next(&p.has[i], &at, NULL, &text);)
            free(text);
        map_done(&p.has[i]);
    }
    vec_done(&p.requests);
    vec_done(&p.request_sizes);
    xds_client_free(p.client);
    finish(&p.w);
}

static void test_churn(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 10; seed++) {
        churn(true, 0, seed);
        churn(false, 0, seed);
        churn(true, 5, seed);
        churn(false, 5, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_churn)};
    return RUN_TESTS(tests);
}
