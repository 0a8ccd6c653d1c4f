/* Flags: forms, switches that stand together, words, and what is told of those nobody knows. */
#include "base/args.h"
#include "test.h"

struct parsed {
    const char *name;
    bool all, watch;
    int64_t n;
    uint64_t wait_ms;
    struct arg_list files, rest;
    size_t dashes;
};

static int parse(struct parsed *p, bool stop, struct err *err, int argc, const char *const *words)
{
    struct arg table[] = {
        {"name", 'n', ARG_STRING, &p->name, "NAME", "", 0, 0, false},
        {"all", 'A', ARG_BOOL, &p->all, NULL, "", 0, 0, false},
        {"watch", 'w', ARG_BOOL, &p->watch, NULL, "", 0, 0, false},
        {"number", 0, ARG_INT, &p->n, "N", "", 1, 9, false},
        {"wait", 0, ARG_DURATION, &p->wait_ms, "D", "", 0, 0, false},
        {"file", 'f', ARG_STRINGS, &p->files, "F", "", 0, 0, false},
        {.name = NULL},
    };
    return args_parse(table, argc, (char **)(uintptr_t)words, stop, &p->rest, &p->dashes, err);
}

#define PARSE(p, stop, err, ...)                                                                   \
    ({                                                                                             \
        const char *words_[] = {"program", __VA_ARGS__};                                           \
        parse(p, stop, err, (int)ARRAY_LEN(words_), words_);                                       \
    })

static void parsed_done(struct parsed *p)
{
    arg_list_done(&p->files);
    arg_list_done(&p->rest);
}

static void test_forms(void **state)
{
    (void)state;
    AUTO_DONE(parsed) struct parsed p = {0};
    assert_ok(PARSE(&p, false, NULL, "--name", "a", "-A", "word", "--number=7", "--wait", "1.5s",
                    "-fx", "-f", "y", "-f=z"));
    assert_string_equal(p.name, "a");
    assert_true(p.all && !p.watch);
    assert_int_equal(p.n, 7);
    assert_int_equal(p.wait_ms, 1500);
    assert_int_equal(p.files.n, 3);
    assert_string_equal(p.files.v[2], "z");
    assert_int_equal(p.rest.n, 1);
    assert_true(p.dashes == SIZE_MAX);
}

static void test_switches_together(void **state)
{
    (void)state;
    AUTO_DONE(parsed) struct parsed p = {0};
    assert_ok(PARSE(&p, false, NULL, "-Awn", "b"));
    assert_true(p.all && p.watch);
    assert_string_equal(p.name, "b");
    AUTO_DONE(parsed) struct parsed q = {0};
    assert_ok(PARSE(&q, false, NULL, "-Anc", "--watch=false", "-w=true"));
    assert_string_equal(q.name, "c");
    assert_true(q.all && q.watch);
    struct err err = {0};
    AUTO_DONE(parsed) struct parsed bad = {0};
    assert_true(PARSE(&bad, false, &err, "-AZ") < 0);
    assert_non_null(strstr(err_text(&err), "unknown flag -AZ"));
}

static void test_words_and_dashes(void **state)
{
    (void)state;
    AUTO_DONE(parsed) struct parsed p = {0};
    assert_ok(PARSE(&p, false, NULL, "pod", "-n", "x", "--", "ls", "-n"));
    assert_int_equal(p.rest.n, 3);
    assert_int_equal(p.dashes, 1);
    assert_string_equal(p.rest.v[2], "-n");
    AUTO_DONE(parsed) struct parsed q = {0};
    assert_ok(PARSE(&q, true, NULL, "-n", "x", "pod", "ls", "-A"));
    assert_int_equal(q.rest.n, 3);
    assert_false(q.all);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"--nmae=x", "did you mean --name?"}, {"--number=10", "--number: 10 is not in 1..9"},
        {"--number=x", "not a number"},       {"--wait=5", "not a duration"},
        {"--all=maybe", "neither true nor"},  {"--name", "--name needs a value"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_DONE(parsed) struct parsed p = {0};
        struct err err = {0};
        assert_true(PARSE(&p, false, &err, cases[i][0]) < 0);
        assert_non_null(strstr(err_text(&err), cases[i][1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_switches_together),
        cmocka_unit_test(test_words_and_dashes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
