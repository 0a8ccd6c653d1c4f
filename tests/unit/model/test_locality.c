/* Who is called first, by where client and endpoints are: Istio's rules of failover and shares. */
#include "model/locality.h"

#include "json_text.h"

/* label_of: "L" stands in an item's name behind a colon. */
static struct str label_of(const void *who, const char *key, void *user)
{
    const char *text = who;
    AUTO_CHARS char *word = xasprintf("%s=", key);
    const char *at = text ? strstr(text, word) : NULL;
    struct str rest;
    (void)user;
    return at ? str_cut(str_from(at + strlen(word)), ' ', &rest) : STR("");
}

/* items: "LOCALITY LABELS;..."; what comes out: "LOCALITY priority weight n;...". */
static void expect(const char *from, const char *labels, const char *setting, bool fails_over,
                   const char *items, const char *wanted)
{
    AUTO_JSON json_t *j = setting ? json_of(setting) : NULL;
    AUTO_DONE(buf) struct buf got = {0};
    struct locality_item all[16] = {0};
    char *texts[16];
    size_t n = 0;
    struct str rest = str_from(items), more;
    struct locality_groups groups = {0};
    const struct locality_caller caller = {
        .locality = str_from(from), .who = labels, .label = label_of};
    while (rest.n) {
        texts[n] = str_dup(str_cut(rest, ';', &rest));
        all[n] = (struct locality_item){.locality = str_cut(str_from(texts[n]), ' ', &more),
                                        .who = texts[n]};
        n++;
    }
    locality_sort(&caller, j, fails_over, all, n, &groups);
    for (uint32_t g = 0; g < groups.v.n; g++) {
        unsigned count = 0;
        for (size_t i = 0; i < n; i++)
            count += all[i].group == g;
        buf_addf(&got, "%s" STR_FMT " %u %u %u", g ? ";" : "", STR_ARG(groups.v.v[g].locality),
                 groups.v.v[g].priority, groups.v.v[g].weight, count);
    }
    vec_done(&groups.v);
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
    assert_string_equal(buf_cstr(&got), wanted);
}

#define ALL "r1/z1/s1;r1/z1/s1;r1/z1/s2;r1/z2/s1;r2/z1/s1;r3/z1/s1"

static void test_failover(void **state)
{
    (void)state;
    expect("r1/z1/s1", NULL, NULL, true, ALL,
           "r1/z1/s1 0 2 2;r1/z1/s2 1 1 1;r1/z2/s1 2 1 1;r2/z1/s1 3 1 1;r3/z1/s1 3 1 1");
    /* there are no gaps: what nobody is in does not count */
    expect("r1/z1/s3", NULL, NULL, true, "r1/z2/s1;r2/z1/s1", "r1/z2/s1 0 1 1;r2/z1/s1 1 1 1");
    expect("r9", NULL, NULL, true, ALL,
           "r1/z1/s1 0 2 2;r1/z1/s2 0 1 1;r1/z2/s1 0 1 1;r2/z1/s1 0 1 1;r3/z1/s1 0 1 1");
    expect("r1/z1", NULL, NULL, true, "r1/z1;r1/z1/s1;", "r1/z1 0 1 1;r1/z1/s1 1 1 1");
    /* the region that is named, then the others */
    expect("r1/z1/s1", NULL, "{'failover':[{'from':'r1','to':'r3'}]}", true, ALL,
           "r1/z1/s1 0 2 2;r1/z1/s2 1 1 1;r1/z2/s1 2 1 1;r2/z1/s1 4 1 1;r3/z1/s1 3 1 1");
    expect("r2/z1/s1", NULL, "{'failover':[{'from':'r1','to':'r3'}]}", true, "r1;r2/z1/s1;r3",
           "r1 1 1 1;r2/z1/s1 0 1 1;r3 1 1 1");
    /* nobody would notice */
    expect("r1/z1/s1", NULL, NULL, false, "r1/z1/s1;r2", "r1/z1/s1 0 1 1;r2 0 1 1");
}

static void test_distribute(void **state)
{
    static const char half[] = "{'distribute':[{'from':'r1/z1/*','to':{'r1/z1/*':80,'r1/z2/*':20}},"
                               "{'from':'r1/*','to':{'r2':100}}]}";
    (void)state;
    expect("r1/z1/s1", NULL, half, true, ALL, "r1/z1/s1 0 54 2;r1/z1/s2 0 27 1;r1/z2/s1 0 20 1");
    expect("r1/z1/s1", NULL, half, false, ALL, "r1/z1/s1 0 54 2;r1/z1/s2 0 27 1;r1/z2/s1 0 20 1");
    expect("r1/z5", NULL, half, true, ALL, "r2/z1/s1 0 100 1");
    expect("r3", NULL, half, true, "r1;r3", "r1 0 1 1;r3 0 1 1"); /* nothing is said of it */
    expect("r1/z1", NULL, half, true, "r3", "");                  /* nobody is left */
    expect("r1", NULL, "{'distribute':[{'from':'*','to':{'*':100}}]}", true, "r1;r3",
           "r1 0 50 1;r3 0 50 1");
}

static void test_failover_priority(void **state)
{
    static const char by[] = "{'failoverPriority':['a','b']}";
    (void)state;
    expect("r1", "a=1 b=2", by, true, "r1 a=1 b=2;r1 a=1 b=3;r1 a=2 b=2;r2 a=1 b=2",
           "r1 0 1 1;r1 1 1 1;r1 2 1 1;r2 0 1 1");
    expect("r1", "a=1 b=2", by, true, "r1 a=2 b=2;r1 a=9", "r1 0 2 2"); /* no gaps */
    expect("r1", "a=1", by, true, "r1 a=1;r1 a=1 b=2", "r1 0 1 1;r1 1 1 1");
    expect("r1", "a=1", "{'failoverPriority':['a=7']}", true, "r1 a=1;r1 a=7", "r1 0 1 1;r1 1 1 1");
    expect("r1", NULL, by, true, "r1 a=1;r1 a=2", "r1 0 2 2"); /* whose labels? */
    expect("r1", "a=1 b=2", by, false, "r1 a=1 b=2;r1 a=2", "r1 0 2 2");
    /* and by region within each */
    expect("r1", "a=1", "{'failoverPriority':['a'],'failover':[{'from':'r1','to':'r2'}]}", true,
           "r1 a=1;r2 a=1;r3 a=1;r1 a=2", "r1 0 1 1;r1 3 1 1;r2 1 1 1;r3 2 1 1");
}

static void test_labels_of_places(void **state)
{
    (void)state;
    AUTO_CHARS char *dots = locality_of_label("r.z.s"), *slashes = locality_of_label("r.1/z.2/s");
    assert_string_equal(dots, "r/z/s");
    assert_string_equal(slashes, "r.1/z.2/s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failover),
        cmocka_unit_test(test_distribute),
        cmocka_unit_test(test_failover_priority),
        cmocka_unit_test(test_labels_of_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
