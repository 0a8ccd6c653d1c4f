/* Bootstrap files: the examples are accepted without a word, and what is wrong is told with file,
 * line and field path. */
#include "test.h"

#include <errno.h>

#include "xds/xds_file.h"

struct world {
    struct arena *arena;
    struct xds_report report;
    struct err err;
    Envoy__Config__Bootstrap__V3__Bootstrap *bootstrap;
    int code;
};

static void world_done(struct world *w)
{
    xds_report_done(&w->report);
    arena_free(w->arena);
}

static struct world parse(const char *text)
{
    struct world w = {.arena = arena_new(16 << 20)};
    w.code = xds_file_parse(str_from(text), "b.yaml", w.arena, &w.bootstrap, &w.report, &w.err);
    return w;
}

static void test_examples(void **state)
{
    static const char *const files[] = {"examples/proxy/minimal.yaml",
                                        "examples/proxy/minimal.json"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        AUTO_DONE(world) struct world w = {.arena = arena_new(16 << 20)};
        w.code = xds_file_read(files[i], w.arena, &w.bootstrap, &w.report, &w.err);
        if (w.code < 0 || w.report.findings.n)
            fail_msg("%s: %s", files[i],
                     w.code < 0 ? err_text(&w.err) : w.report.findings.v[0].path);
        assert_true(w.bootstrap->static_resources->n_clusters >= 1);
        assert_string_equal(w.bootstrap->static_resources->listeners[0]
                                ->filter_chains[0]
                                ->filters[0]
                                ->typed_config->type_url,
                            "type.googleapis.com/envoy.extensions.filters.network."
                            "http_connection_manager.v3.HttpConnectionManager");
    }
}

/* Nothing of what a rich bootstrap says is unknown, only not done yet. */
static void test_all_of_a_rich_one_is_known(void **state)
{
    AUTO_DONE(world) struct world w = {.arena = arena_new(16 << 20)};
    (void)state;
    w.code =
        xds_file_read("tests/unit/xds/data/rich.yaml", w.arena, &w.bootstrap, &w.report, &w.err);
    VEC_FOREACH (f, &w.report.findings)
        if (!strstr(f->text, "not yet"))
            fail_msg("%s: %s", f->path, f->text);
    assert_int_equal(w.code<0, w.report.refused> 0);
}

static void test_unknown_field_has_line_and_path(void **state)
{
    AUTO_DONE(world)
    struct world w =
        parse("static_resources:\n  clusters:\n  - name: a\n  - name: b\n    nosuch: 1\n");
    AUTO_DONE(world)
    struct world json =
        parse("{\"static_resources\": {\n \"clusters\": [{\"name\": \"a\"},\n\n {\"name\": 5}]}}");
    (void)state;
    assert_int_equal(w.code, -EINVAL);
    assert_string_equal(err_text(&w.err), "b.yaml:5: static_resources.clusters[1].nosuch: unknown "
                                          "field of envoy.config.cluster.v3.Cluster");
    assert_string_equal(err_text(&json.err),
                        "b.yaml:4: static_resources.clusters[1].name: expected "
                        "a string, not an integer");
}

static void test_refusal_has_line(void **state)
{
    AUTO_DONE(world)
    struct world w =
        parse("static_resources:\n  clusters:\n  - name: a\n    waitForWarmOnInit: true\n"
              "    lbSubsetConfig: {}\n  - name: ''\n");
    (void)state;
    assert_int_equal(w.code, -EINVAL);
    assert_null(w.bootstrap);
    assert_string_equal(
        err_text(&w.err),
        "b.yaml:5: static_resources.clusters[0].lb_subset_config: is not implemented: "
        "subsets are not implemented: requests would reach other hosts (and 1 more)");
    assert_int_equal(w.report.findings.n, 3);
    assert_int_equal(w.report.findings.v[1].line, 4);
    assert_int_equal(w.report.findings.v[2].line, 6);
}

static void test_warnings_pass(void **state)
{
    AUTO_DONE(world) struct world w = parse("stats_flush_interval: 5s\n");
    (void)state;
    assert_ok(w.code);
    assert_int_equal(w.report.warned, 1);
    assert_int_equal(w.report.findings.v[0].line, 1);
    assert_string_equal(w.report.findings.v[0].path, "stats_flush_interval");
}

static void test_what_is_no_tree(void **state)
{
    AUTO_DONE(world) struct world yaml = parse("a: [1\nb: 2\n");
    AUTO_DONE(world) struct world json = parse("{\"node\": {}, \"node\": {}}");
    AUTO_DONE(world) struct world list = parse("[]");
    AUTO_DONE(world) struct world empty = parse("");
    (void)state;
    assert_int_equal(yaml.code, -EINVAL);
    assert_non_null(strstr(err_text(&yaml.err), "b.yaml: YAML line 2"));
    assert_string_equal(err_text(&json.err), "b.yaml:1: node: is there twice");
    assert_int_equal(json.code, -EINVAL);
    assert_string_equal(err_text(&list.err), "b.yaml:1: expected an object, not a list");
    assert_ok(empty.code);
}

static void test_files_that_cannot_be_read(void **state)
{
    AUTO_DONE(world) struct world w = {.arena = arena_new(0)};
    (void)state;
    assert_int_equal(xds_file_read("/nonexistent", w.arena, &w.bootstrap, &w.report, &w.err),
                     -ENOENT);
    assert_string_equal(err_text(&w.err), "/nonexistent: No such file or directory");
    assert_int_equal(xds_file_read("/", w.arena, &w.bootstrap, &w.report, &w.err), -EISDIR);
    assert_int_equal(xds_file_read("/dev/zero", w.arena, &w.bootstrap, &w.report, &w.err), -E2BIG);
}

static void test_memory_has_a_cap(void **state)
{
    AUTO_DONE(world) struct world w = {.arena = arena_new(8192)};
    (void)state;
    assert_int_equal(
        xds_file_read("tests/unit/xds/data/rich.yaml", w.arena, &w.bootstrap, &w.report, &w.err),
        -ENOMEM);
    assert_non_null(strstr(err_text(&w.err), "over the limit of memory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_all_of_a_rich_one_is_known),
        cmocka_unit_test(test_unknown_field_has_line_and_path),
        cmocka_unit_test(test_refusal_has_line),
        cmocka_unit_test(test_warnings_pass),
        cmocka_unit_test(test_what_is_no_tree),
        cmocka_unit_test(test_files_that_cannot_be_read),
        cmocka_unit_test(test_memory_has_a_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
