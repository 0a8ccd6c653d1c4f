/* The informer against a server of a few lines: what a late answer of our own may do to its cache.
 */
#include "kube/informer.h"
#include "net/http_server.h"
#include "test.h"

struct world {
    struct loop *loop;
    struct http_server *server;
    struct http_exchange *watch;
    unsigned upserts, deletes, synced;
};

static void on_watch_over(struct http_exchange *x, void *user)
{
    (void)x;
    ((struct world *)user)->watch = NULL;
}

static void on_request(struct http_exchange *x, void *user)
{
    struct world *w = user;
    if (str_contains(http_exchange_query(x), STR("watch="))) {
        http_exchange_start(x, 200, NULL, 0);
        http_exchange_set_done(x, on_watch_over, w);
        w->watch = x;
    } else {
        http_exchange_reply(x, 200, NULL, 0,
                            STR("{\"items\":[{\"metadata\":{\"name\":\"old\",\"resourceVersion\":"
                                "\"3\"}}],\"metadata\":{\"resourceVersion\":\"5\"}}"));
    }
}

static void on_upsert(json_t *object, void *user)
{
    (void)object;
    ((struct world *)user)->upserts++;
}

static void on_delete(struct str key, json_t *object, void *user)
{
    (void)key;
    (void)object;
    ((struct world *)user)->deletes++;
}

static void on_synced(void *user)
{
    ((struct world *)user)->synced++;
}

static json_t *object_new(const char *name, const char *version)
{
    return json_pack("{s:{s:s,s:s}}", "metadata", "name", name, "resourceVersion", version);
}

static void offer(struct informer *i, const char *name, const char *version)
{
    AUTO_JSON json_t *o = object_new(name, version);
    informer_offer(i, o);
}

static void tell(struct world *w, const char *type, const char *name, const char *version)
{
    AUTO_DONE(buf) struct buf b = {0};
    buf_addf(
        &b,
        "{\"type\":\"%s\",\"object\":{\"metadata\":{\"name\":\"%s\",\"resourceVersion\":\"%s\"}"
        "}}\n",
        type, name, version);
    http_exchange_write(w->watch, buf_str(&b));
}

static const char *version_of(struct informer *i, const char *name)
{
    return json_at_str(informer_find(i, str_from(name)), "metadata.resourceVersion");
}

static void test_late_answers(void **state)
{
    static const struct http_server_ops server_ops = {.on_request = on_request};
    static const struct informer_ops ops = {on_upsert, on_delete, on_synced, NULL};
    static const struct informer_options options = {.path = "/api/v1/things", .cache = true};
    struct world w = {0};
    struct http_server_config hc = {0};
    struct kube_client *client;
    struct ip ip;
    (void)state;
    assert_int_equal(ip_parse(STR("127.0.0.1"), &ip), 0);
    assert_int_equal(loop_new(&w.loop, NULL), 0);
    assert_int_equal(http_server_new(w.loop, &ip, 0, &hc, &server_ops, &w, &w.server, NULL), 0);
    char server[] = "http://127.0.0.1", host[] = "127.0.0.1", path[] = "", ns[] = "default";
    struct kube_config config = {.server = server,
                                 .host = host,
                                 .port = http_server_port(w.server),
                                 .path = path,
                                 .namespace_ = ns};
    assert_int_equal(kube_client_new(w.loop, &config, "test", &client, NULL), 0);
    struct informer *i = informer_start(client, &options, &ops, &w);
    while (!w.synced || !w.watch)
        loop_turn(w.loop, -1);
    assert_string_equal(version_of(i, "old"), "3");

    offer(i, "gone-before-the-list", "4"); /* the list of version 5 did not have it */
    assert_null(version_of(i, "gone-before-the-list"));
    offer(i, "new", "6"); /* the watch will tell it later */
    assert_string_equal(version_of(i, "new"), "6");
    offer(i, "old", "2"); /* older than what we have */
    assert_string_equal(version_of(i, "old"), "3");

    tell(&w, "ADDED", "new", "6");
    tell(&w, "DELETED", "old", "9");
    while (!w.deletes)
        loop_turn(w.loop, -1);
    unsigned upserts = w.upserts;
    offer(i, "old", "8"); /* the answer of a write before the end, read after it */
    offer(i, "old", "9"); /* the answer of the write that ended it */
    assert_null(version_of(i, "old"));
    assert_int_equal(w.upserts, upserts);
    offer(i, "old", "10"); /* made again: not told yet */
    assert_string_equal(version_of(i, "old"), "10");

    informer_free(i);
    kube_client_free(client);
    http_server_free(w.server);
    loop_turn(w.loop, 0);
    loop_free(w.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_late_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
