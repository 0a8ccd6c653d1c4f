/* The store: versions, order, events, survival. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lab/apiserver/store.h"
#include "test.h"

static const char *const paths[] = {"status.phase"};
static const struct store_kind kinds[] = {{"pods", paths, 1, NULL}, {"configmaps", NULL, 0, NULL}};

static size_t events_seen;

static void on_event(const struct store_event *e, void *user)
{
    (void)user;
    assert_non_null(e->object);
    events_seen++;
}

static struct store *open_store(const char *path)
{
    struct store *s;
    assert_int_equal(store_open(path, kinds, 2, on_event, NULL, &s, NULL), 0);
    return s;
}

static uint64_t put(struct store *s, uint32_t kind, const char *ns, const char *name,
                    const char *phase)
{
    AUTO_JSON json_t *j =
        json_pack("{s:{s:s,s:s,s:s,s:{s:s}},s:{s:s}}", "metadata", "namespace", ns, "name", name,
                  "uid", name, "labels", "l", name, "status", "phase", phase);
    struct object *o;
    assert_int_equal(store_put(s, kind, j, &o, NULL), 0);
    assert_string_equal(o->labels[0].value, name);
    return o->version;
}

static void delete_it(struct store *s, uint32_t kind, const char *ns, const char *name)
{
    AUTO_JSON json_t *last = json_pack("{s:{s:s,s:s}}", "metadata", "namespace", ns, "name", name);
    assert_int_equal(store_remove(s, kind, ns, name, last, NULL), 0);
}

static void test_put_find_order(void **state)
{
    struct store *s = open_store(NULL);
    (void)state;
    uint64_t a = put(s, 0, "b", "x", "1"), b = put(s, 0, "a", "y", "2"),
             c = put(s, 1, "a", "x", "3");
    assert_true(a < b && b < c && c == store_version(s));
    assert_int_equal(store_count(s, 0), 2);
    assert_string_equal(store_at(s, 0, 0)->ns, "a");
    assert_string_equal(store_find(s, 0, "b", "x")->fields[0], "1");
    assert_null(store_find(s, 0, "a", "x"));
    assert_int_equal(store_lower_bound(s, 0, "b", ""), 1);
    put(s, 0, "b", "x", "9");
    assert_int_equal(store_count(s, 0), 2);
    assert_string_equal(store_find(s, 0, "b", "x")->fields[0], "9");
    store_free(s);
}

static void test_events(void **state)
{
    struct store *s = open_store(NULL);
    (void)state;
    uint64_t a = put(s, 0, "n", "x", "1");
    put(s, 0, "n", "x", "2");
    delete_it(s, 0, "n", "x");
    uint64_t i = store_events_after(s, a);
    assert_int_equal(store_events_end(s) - i, 2);
    assert_int_equal(store_event(s, i)->type, STORE_MODIFIED);
    assert_string_equal(store_event(s, i)->before->fields[0], "1");
    assert_int_equal(store_event(s, i + 1)->type, STORE_DELETED);
    assert_true(store_event(s, i + 1)->version > store_event(s, i)->version);
    store_free(s);
}

static void test_ring_forgets(void **state)
{
    struct store *s = open_store(NULL);
    (void)state;
    uint64_t first = put(s, 1, "n", "x", "");
    for (int i = 0; i < 17000; i++)
        put(s, 1, "n", "x", "");
    assert_true(store_oldest_version(s) > first);
    assert_true(store_events_end(s) - store_events_begin(s) >= 10000);
    assert_int_equal(store_events_after(s, store_oldest_version(s)), store_events_begin(s));
    store_free(s);
}

/* Large objects: few events are kept, so that changing one for ever costs no more memory. */
static void test_ring_is_bounded_in_bytes(void **state)
{
    enum { BYTES = 1024 * 1024, CHANGES = 200 };
    struct store *s = open_store(NULL);
    char *text = xcalloc(BYTES + 1, 1);
    (void)state;
    memset(text, 'x', BYTES);
    for (int i = 0; i < CHANGES; i++)
        put(s, 1, "n", "large", text);
    uint64_t kept = store_events_end(s) - store_events_begin(s);
    assert_true(kept >= 100 && kept <= 128); /* 256 MiB of states before and after */
    assert_int_equal(store_event(s, store_events_begin(s))->version, store_oldest_version(s) + 1);
    free(text);
    store_free(s);
}

static void test_survives_and_never_reuses(void **state)
{
    char dir[] = "/tmp/fairlead-store-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(dir));
    AUTO_CHARS char *path = xasprintf("%s/store.db", dir);
    struct store *s = open_store(path);
    put(s, 0, "n", "a", "Running");
    put(s, 0, "n", "b", "Running");
    delete_it(s, 0, "n", "b");
    uint64_t last = store_version(s);
    store_free(s);
    s = open_store(path);
    assert_int_equal(store_version(s), last);
    assert_int_equal(store_count(s, 0), 1);
    assert_string_equal(store_find(s, 0, "n", "a")->fields[0], "Running");
    assert_int_equal(store_oldest_version(s), last);
    assert_true(put(s, 0, "n", "c", "") > last);
    store_free(s);
    AUTO_CHARS char *command = xasprintf("rm -r '%s'", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_find_order),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_ring_forgets),
        cmocka_unit_test(test_ring_is_bounded_in_bytes),
        cmocka_unit_test(test_survives_and_never_reuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
