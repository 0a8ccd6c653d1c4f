/* What is changed of metrics: labels that go, come, or are told otherwise; by metric. */
#include "test.h"

#include <stdio.h>

#include "proxy/mesh_edits.h"
#include "proxy/peer.h"

enum { COUNT, DURATION, REQUEST, RESPONSE };

typedef Stats__MetricConfig__DimensionsEntry pb_entry;

/* One metric: drop, a label that goes, one that is told as value. */
struct config {
    Stats__PluginConfig all;
    Stats__MetricConfig of[4], *list[4];
    pb_entry entries[4], *entry_list[4];
    char *removed[4];
};

static void begin(struct config *c)
{
    memset(c, 0, sizeof(*c));
    stats__plugin_config__init(&c->all);
    c->all.metrics = c->list;
}

static void add(struct config *c, const char *name, bool drop, const char *removed,
                const char *label, const char *value)
{
    size_t i = c->all.n_metrics++;
    Stats__MetricConfig *m = c->list[i] = &c->of[i];
    stats__metric_config__init(m);
    m->name = (char *)(uintptr_t)name;
    m->drop = drop;
    if (removed) {
        c->removed[i] = (char *)(uintptr_t)removed;
        m->tags_to_remove = &c->removed[i];
        m->n_tags_to_remove = 1;
    }
    if (label) {
        stats__metric_config__dimensions_entry__init(&c->entries[i]);
        c->entries[i].key = (char *)(uintptr_t)label;
        c->entries[i].value = (char *)(uintptr_t)value;
        c->entry_list[i] = &c->entries[i];
        m->dimensions = &c->entry_list[i];
        m->n_dimensions = 1;
    }
}

static struct http_head head_of(const char *text)
{
    struct http_head h = {0};
    h.method = str_from(text);
    h.authority = STR("shop.example");
    return h;
}

static void test_edits(void **state)
{
    struct config c;
    (void)state;
    begin(&c);
    assert_null(mesh_edits_get(&c.all));
    add(&c, "requests_total", false, "response_code", "method", "request.method");
    add(&c, "", false, NULL, "team", "'a'");
    add(&c, "request_bytes", true, NULL, "team", "request.host");
    add(&c, "tcp_sent_bytes_total", true, NULL, NULL, NULL); /* of no requests */
    const struct mesh_edits *e = mesh_edits_get(&c.all);
    assert_non_null(e);
    assert_ptr_equal(mesh_edits_get(&c.all), e); /* once */
    assert_int_equal(e->dropped, 1 << REQUEST);
    assert_int_equal(e->n_values, 2);
    assert_true(mesh_edits_find(e, COUNT, STR("response_code"))->removed);
    assert_null(mesh_edits_find(e, DURATION, STR("response_code")));
    assert_null(mesh_edits_find(e, RESPONSE, STR("method")));
    const struct http_head head = head_of("GET");
    const char *values = mesh_edits_values(e, &head);
    assert_str(mesh_edits_value(mesh_edits_find(e, COUNT, STR("method")), values), "GET");
    assert_str(mesh_edits_value(mesh_edits_find(e, COUNT, STR("team")), values), "a");
    assert_str(mesh_edits_value(mesh_edits_find(e, REQUEST, STR("team")), values), "shop.example");
    assert_str(mesh_edits_value(mesh_edits_find(e, COUNT, STR("method")), NULL), "");
    mesh_edits_done();
}

/* What all metrics are told is one label, however often it is said. */
static void test_the_same_of_each(void **state)
{
    static const char *const names[] = {"requests_total", "request_duration_milliseconds",
                                        "request_bytes", "response_bytes"};
    struct config c;
    (void)state;
    begin(&c);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        add(&c, names[i], false, "response_code", "method", "request.method");
    const struct mesh_edits *e = mesh_edits_get(&c.all);
    assert_int_equal(e->n_labels, 2);
    assert_int_equal(e->n_values, 1);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        assert_non_null(mesh_edits_find(e, i, STR("method")));
    mesh_edits_done();
}

static void test_what_cannot_be(void **state)
{
    struct config c;
    char label[16];
    (void)state;
    begin(&c);
    add(&c, "", false, "a-b", "path", "request.path");
    const struct mesh_edits *e = mesh_edits_get(&c.all);
    assert_int_equal(e->n_labels, 0);
    for (unsigned i = 0; i < MESH_EDITS_MAX + 1; i++) { /* one is there */
        begin(&c);
        snprintf(label, sizeof(label), "l%u", i);
        add(&c, "", false, label, NULL, NULL);
        assert_int_equal(mesh_edits_get(&c.all) != NULL, i + 1 < MESH_EDITS_MAX);
    }
    mesh_edits_done();
}

/* As many texts as there may be; then none. */
static void test_values_are_bounded(void **state)
{
    struct config c;
    char method[16];
    unsigned kept = 0;
    (void)state;
    begin(&c);
    add(&c, "", false, NULL, "method", "request.method");
    const struct mesh_edits *e = mesh_edits_get(&c.all);
    for (unsigned i = 0; i < 2 * MESH_EDITS_VALUES_MAX; i++) {
        snprintf(method, sizeof(method), "M%u", i);
        const struct http_head head = head_of(method);
        kept += mesh_edits_values(e, &head) != NULL;
    }
    assert_true(kept > 0 && kept <= MESH_EDITS_VALUES_MAX);
    mesh_edits_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_the_same_of_each),
        cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_values_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
