/* The store: versions, events, order, survival of a restart. */
#include "test.h"

#include <stdio.h>
#include <unistd.h>

#include "lab/store.h"

static const char *const pod_fields[] = {"spec.nodeName"};
static const struct store_kind kinds[] = {{"pods", pod_fields, 1}, {"services", NULL, 0}};

static unsigned told;
static void on_event(const struct store_event *e, void *user)
{
    (void)e;
    (void)user;
    told++;
}

static json_t *object(const char *ns, const char *name, const char *label)
{
    return json_pack("{s:{s:s,s:s,s:s,s:{s:s}},s:{s:s}}", "metadata", "namespace", ns, "name", name,
                     "uid", name, "labels", "app", label, "spec", "nodeName", "n1");
}

static void put(struct store *s, const char *ns, const char *name, const char *label)
{
    AUTO_JSON json_t *j = object(ns, name, label);
    assert_ok(store_put(s, 0, j, NULL, NULL));
}

static void test_versions_order_events(void **state)
{
    struct store *s;
    struct object *o;
    (void)state;
    told = 0;
    assert_ok(store_open(NULL, kinds, 2, on_event, NULL, &s, NULL));
    uint64_t start = store_version(s);
    put(s, "b", "2", "x");
    put(s, "a", "9", "x");
    put(s, "b", "1", "x");
    put(s, "b", "2", "y");
    assert_int_equal(told, 4);
    assert_int_equal(store_version(s), start + 4);
    assert_string_equal(store_at(s, 0, 0)->name, "9");
    assert_string_equal(store_at(s, 0, 1)->name, "1");
    o = store_find(s, 0, "b", "2");
    assert_string_equal(o->labels[0].value, "y");
    assert_string_equal(o->fields[0], "n1");
    assert_int_equal(o->version, start + 4);
    uint64_t at = store_events_after(s, start + 3);
    assert_int_equal(store_events_end(s) - at, 1);
    const struct store_event *e = store_event(s, at);
    assert_int_equal(e->type, STORE_MODIFIED);
    assert_string_equal(e->before->labels[0].value, "x");
    AUTO_JSON json_t *last = object("b", "2", "y");
    assert_ok(store_remove(s, 0, "b", "2", last, NULL));
    assert_null(store_find(s, 0, "b", "2"));
    assert_int_equal(store_event(s, store_events_end(s) - 1)->type, STORE_DELETED);
    assert_int_equal(store_event(s, store_events_end(s) - 1)->object->version, start + 5);
    store_free(s);
}

static void test_restart_keeps_objects_and_never_reuses_a_version(void **state)
{
    char dir[] = "/tmp/fairlead-store-XXXXXX", path[64];
    struct store *s;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/store.db", dir);
    assert_ok(store_open(path, kinds, 2, NULL, NULL, &s, NULL));
    put(s, "a", "1", "x");
    put(s, "a", "2", "x");
    AUTO_JSON json_t *last = object("a", "2", "x");
    assert_ok(store_remove(s, 0, "a", "2", last,
                           NULL)); /* the newest version belongs to something that is gone */
    uint64_t version = store_version(s);
    store_free(s);
    assert_ok(store_open(path, kinds, 2, NULL, NULL, &s, NULL));
    assert_int_equal(store_version(s), version);
    assert_int_equal(store_oldest_version(s), version);
    assert_int_equal(store_count(s, 0), 1);
    put(s, "a", "3", "x");
    assert_int_equal(store_find(s, 0, "a", "3")->version, version + 1);
    store_free(s);
    unlink(path);
    rmdir(dir);
}

static void test_ring_forgets_the_oldest(void **state)
{
    struct store *s;
    char name[32];
    (void)state;
    assert_ok(store_open(NULL, kinds, 2, NULL, NULL, &s, NULL));
    uint64_t start = store_version(s);
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "%d", i % 50);
        put(s, "a", name, "x");
    }
    assert_true(store_oldest_version(s) > start);
    assert_int_equal(store_event(s, store_events_after(s, store_oldest_version(s)))->version,
                     store_oldest_version(s) + 1);
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions_order_events),
        cmocka_unit_test(test_restart_keeps_objects_and_never_reuses_a_version),
        cmocka_unit_test(test_ring_forgets_the_oldest),
    };
    return RUN_TESTS(tests);
}
