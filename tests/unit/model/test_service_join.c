/* The join of Services and slices: what is dirty after what, and what goes when. That the order of
 * the objects cannot be seen is told by the golden tests. */
#include "model/service_join.h"
#include "test.h"

static void add_service(struct service_join *j, const char *name)
{
    AUTO_JSON json_t *o = json_pack("{s:{s:s,s:s}}", "metadata", "namespace", "ns", "name", name);
    struct service_object *s = service_object_decode(o);
    service_join_add_service(j, &s);
    assert_null(s);
}

static void add_slice(struct service_join *j, const char *name, const char *service,
                      const char *hinted)
{
    AUTO_JSON json_t *o = json_pack(
        "{s:{s:s,s:s,s:{s:s}},s:s,s:[{s:[s],s:{s:[{s:s}]}}]}", "metadata", "namespace", "ns",
        "name", name, "labels", "kubernetes.io/service-name", service, "addressType", "IPv4",
        "endpoints", "addresses", "10.0.0.1", "hints", hinted, "name", "z1");
    struct slice_object *s =
        slice_object_decode(o, &(struct slice_decoding){.topologies = &j->topologies});
    service_join_add_slice(j, &s);
    assert_null(s);
}

/* Takes all that is dirty, settles it and says what it was. */
static void assert_dirty(struct service_join *j, const char *want)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct joined_service *s;
    size_t expected = j->n_dirty, n = 0;
    while ((s = service_join_take_dirty(j))) {
        buf_addf(&b, "%s%s:%s%zu", b.n ? " " : "", s->key, s->object ? "" : "-", s->slices.n);
        service_join_settle(j, s);
        n++;
    }
    assert_string_equal(buf_cstr(&b), want);
    assert_int_equal(n, expected);
    assert_int_equal(j->n_dirty, 0);
}

static void test_entries_live_while_something_is_left(void **state)
{
    struct service_join *j = service_join_new();
    (void)state;
    add_slice(j, "a-1", "a", "none");
    assert_dirty(j, "ns/a:-1");
    add_service(j, "a");
    add_service(j, "a");
    assert_int_equal(j->n_services, 1);
    assert_dirty(j, "ns/a:1");
    service_join_remove_service(j, STR("ns/a"));
    service_join_remove_service(j, STR("ns/a"));
    assert_int_equal(j->n_services, 0);
    assert_dirty(j, "ns/a:-1");
    service_join_remove_slice(j, STR("ns/a-1"));
    assert_non_null(service_join_find(j, "ns/a")); /* until the owner has seen it */
    assert_dirty(j, "ns/a:-0");
    assert_null(service_join_find(j, "ns/a"));
    assert_int_equal(j->services.used + j->slices.used + intern_count(&j->topologies), 0);
    service_join_remove_slice(j, STR("ns/a-1"));
    service_join_remove_service(j, STR("ns/b"));
    assert_dirty(j, "");
    service_join_free(j);
}

static void test_an_entry_that_comes_back_stays(void **state)
{
    struct service_join *j = service_join_new();
    struct joined_service *s;
    (void)state;
    add_service(j, "a");
    service_join_remove_service(j, STR("ns/a"));
    s = service_join_take_dirty(j);
    add_service(j, "a");
    service_join_settle(j, s);
    assert_ptr_equal(service_join_find(j, "ns/a"), s);
    assert_dirty(j, "ns/a:0");
    service_join_free(j);
}

static void test_a_slice_moves(void **state)
{
    struct service_join *j = service_join_new();
    (void)state;
    add_service(j, "a");
    add_service(j, "b");
    add_slice(j, "x", "a", "none");
    add_slice(j, "w", "a", "none");
    assert_dirty(j, "ns/a:2 ns/b:0");
    add_slice(j, "x", "b", "none");
    assert_dirty(j, "ns/a:1 ns/b:1");
    add_slice(j, "x", "b", "none");
    assert_dirty(j, "ns/b:1");
    assert_int_equal(j->slices.used, 2);
    service_join_free(j);
}

static void test_slices_are_sorted(void **state)
{
    struct service_join *j = service_join_new();
    static const char *const names[] = {"c", "a", "d", "b"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        add_slice(j, names[i], "s", "none");
    const struct joined_service *s = service_join_find(j, "ns/s");
    for (size_t i = 0; i < s->slices.n; i++)
        assert_int_equal(s->slices.v[i]->key[3], 'a' + (int)i);
    service_join_free(j);
}

static void test_marks(void **state)
{
    struct service_join *j = service_join_new();
    (void)state;
    add_service(j, "a");
    add_slice(j, "b-1", "b", "forZones");
    add_slice(j, "b-2", "b", "forNodes");
    assert_dirty(j, "ns/a:0 ns/b:-2");
    service_join_mark_hinted(j);
    assert_dirty(j, "ns/b:-2");
    add_slice(j, "b-1", "b", "none");
    service_join_remove_slice(j, STR("ns/b-2"));
    assert_dirty(j, "ns/b:-1");
    service_join_mark_hinted(j);
    assert_dirty(j, "");
    service_join_mark_all(j);
    service_join_mark_all(j);
    assert_int_equal(j->n_dirty, 2);
    service_join_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_live_while_something_is_left),
        cmocka_unit_test(test_an_entry_that_comes_back_stays),
        cmocka_unit_test(test_a_slice_moves),
        cmocka_unit_test(test_slices_are_sorted),
        cmocka_unit_test(test_marks),
    };
    return RUN_TESTS(tests);
}
