/* Plans and what is chosen by them: by policy, weight, health, priority and locality. */
#include <stdio.h>

#include "base/time.h"
#include "cluster_test.h"

enum { MANY = 10000 };

struct chooser {
    struct lb_plan *plan;
    uint32_t cursors[64];
    uint64_t seed;
};

static void chooser_init(struct chooser *c, const char *what, const struct lb_config *config)
{
    struct endpoint_set *s = set_of(what);
    *c = (struct chooser){.plan = lb_plan_new(s, config), .seed = 42};
    endpoint_set_unref(s);
    assert_true(lb_plan_cursors(c->plan) <= ARRAY_LEN(c->cursors));
}

static uint32_t choose(struct chooser *c, struct lb_request *q)
{
    /* Deterministic: the same in every run (splitmix64). */
    uint64_t z = c->seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    q->random = z ^ (z >> 27);
    return lb_choose(c->plan, c->cursors, q);
}

/* Per cent of many choices that each entry gets, one per cent of error allowed where it is drawn.
 */
static void expect(const char *what, const struct lb_config *config, unsigned error,
                   const unsigned *percent)
{
    struct chooser c;
    unsigned counts[32] = {0};
    chooser_init(&c, what, config);
    for (unsigned i = 0; i < MANY; i++) {
        uint32_t chosen = choose(&c, &(struct lb_request){0});
        assert_true(chosen < c.plan->set->entries.n);
        counts[chosen]++;
    }
    for (size_t i = 0; i < c.plan->set->entries.n; i++)
        if (counts[i] + error * MANY / 100 < percent[i] * MANY / 100 ||
            counts[i] > percent[i] * MANY / 100 + error * MANY / 100)
            fail_msg("%s: entry %zu has %u of %d, not %u %%", what, i, counts[i], MANY, percent[i]);
    lb_plan_unref(c.plan);
}

#define PERCENT(...) ((const unsigned[]){__VA_ARGS__})

static const struct lb_config round_robin = {.panic_percent = 50};
static const struct lb_config least = {
    .policy = LB_LEAST_REQUEST, .panic_percent = 50, .choices = 2};
static const struct lb_config by_locality = {.panic_percent = 50, .locality_weighted = true};
static const struct lb_config at_random = {.policy = LB_RANDOM, .panic_percent = 50};
static const struct lb_config ring = {
    .policy = LB_RING_HASH, .panic_percent = 50, .ring_min = 1024, .ring_max = 8192};

static void test_weights(void **state)
{
    (void)state;
    expect("hhhh", &round_robin, 0, PERCENT(25, 25, 25, 25));
    expect("h3h", &round_robin, 0, PERCENT(75, 25));
    expect("h3h", &least, 0, PERCENT(75, 25)); /* one request at a time */
    expect("h3h", &at_random, 1, PERCENT(50, 50));
    expect("h3h", &ring, 4, PERCENT(75, 25)); /* no hash: drawn; the arcs are not equal */
}

static void test_panic(void **state)
{
    (void)state;
    expect("huh", &round_robin, 0, PERCENT(50, 0, 50));
    expect("huu", &round_robin, 1, PERCENT(33, 33, 33));
    expect("uu", &round_robin, 0, PERCENT(50, 50));
    expect("hrrr", &round_robin, 0, PERCENT(100, 0, 0, 0));
    expect("hurrrrrr", &round_robin, 0, PERCENT(100, 0, 0, 0, 0, 0, 0, 0));
    expect("huurrr", &round_robin, 1, PERCENT(17, 17, 17, 17, 17, 17));
    expect("rr", &round_robin, 0, PERCENT(50, 50));
}

static void test_no_panic_if_it_is_switched_off(void **state)
{
    struct chooser c;
    struct lb_config config = {.panic_percent = 0};
    (void)state;
    chooser_init(&c, "uu", &config);
    assert_int_equal(choose(&c, &(struct lb_request){0}), LB_NONE);
    lb_plan_unref(c.plan);
    chooser_init(&c, "", &round_robin);
    assert_int_equal(choose(&c, &(struct lb_request){0}), LB_NONE);
    lb_plan_unref(c.plan);
}

static void test_degraded(void **state)
{
    (void)state;
    expect("hd", &round_robin, 1, PERCENT(70, 30));
    expect("dd", &round_robin, 0, PERCENT(50, 50));
    expect("ud", &round_robin, 0, PERCENT(0, 100));
}

static void test_priorities(void **state)
{
    (void)state;
    expect("hhhuu@0/hh@1", &round_robin, 1, PERCENT(28, 28, 28, 0, 0, 8, 8));
    expect("hh@0/hh@1", &round_robin, 0, PERCENT(50, 50, 0, 0));
    expect("uu@0/h@7", &round_robin, 0, PERCENT(0, 0, 100)); /* a gap */
    expect("uu@3/h@2", &round_robin, 0, PERCENT(0, 0, 100)); /* in any order */
}

static void test_localities(void **state)
{
    (void)state;
    expect("hh*3/h*1", &by_locality, 1, PERCENT(37, 37, 25));
    expect("hh/h", &by_locality, 1, PERCENT(33, 33, 33));     /* none has a weight: even */
    expect("hh*1/h", &by_locality, 0, PERCENT(50, 50, 0));    /* nothing for who has none */
    expect("hh*3/h*1", &round_robin, 1, PERCENT(33, 33, 33)); /* not asked for */
    expect("huu*1/hhh*1", &by_locality, 1, PERCENT(32, 0, 0, 23, 23, 23)); /* 0.47 of its weight */
}

static void test_flags_count_like_the_status(void **state)
{
    struct endpoint_set *s = set_of("hhhh");
    struct lb_plan *p;
    uint32_t cursors[8] = {0};
    (void)state;
    atomic_store(&s->entries.v[1].endpoint->flags, ENDPOINT_EJECTED);
    atomic_store(&s->entries.v[2].endpoint->flags, ENDPOINT_FAILED_CHECK);
    p = lb_plan_new(s, &round_robin);
    assert_int_equal(lb_choose(p, cursors, &(struct lb_request){0}), 0);
    assert_int_equal(lb_choose(p, cursors, &(struct lb_request){0}), 3);
    assert_int_equal(lb_choose(p, cursors, &(struct lb_request){0}), 0);
    lb_plan_unref(p);
    atomic_store(&s->entries.v[3].endpoint->flags, ENDPOINT_FAILED_CHECK | ENDPOINT_PENDING_CHECK);
    p = lb_plan_new(s, &round_robin);
    assert_int_equal(p->priorities[0].excluded, 1);
    assert_true(p->priorities[0].panic); /* 1 of 3 */
    lb_plan_unref(p);
    endpoint_set_unref(s);
}

static void test_least_request(void **state)
{
    struct chooser c;
    unsigned counts[3] = {0};
    (void)state;
    chooser_init(&c, "hhh", &least);
    endpoint_load(c.plan->set->entries.v[1].endpoint, 0)->active = 10;
    for (unsigned i = 0; i < MANY; i++)
        counts[choose(&c, &(struct lb_request){0})]++;
    assert_in_range(counts[1], MANY / 9 - 100, MANY / 9 + 100); /* both draws have hit it */
    lb_plan_unref(c.plan);
    chooser_init(&c, "h9h", &least);
    endpoint_load(c.plan->set->entries.v[0].endpoint, 0)->active = 8; /* less than 9 to 1 */
    endpoint_load(c.plan->set->entries.v[1].endpoint, 0)->active = 1;
    counts[0] = counts[1] = 0;
    for (unsigned i = 0; i < MANY; i++)
        counts[choose(&c, &(struct lb_request){0})]++;
    assert_in_range(counts[1], MANY / 100 - 50, MANY / 100 + 50);
    lb_plan_unref(c.plan);
}

static void test_warming_up(void **state)
{
    struct lb_config c = {.warm_ms = 1000, .warm_aggression = 1, .warm_min_percent = 10};
    (void)state;
    assert_int_equal(lb_warm_percent(&c, 0), 10);
    assert_int_equal(lb_warm_percent(&c, 50), 10);
    assert_int_equal(lb_warm_percent(&c, 500), 50);
    assert_int_equal(lb_warm_percent(&c, 1000), 100);
    c.warm_aggression = 2; /* the root */
    assert_int_equal(lb_warm_percent(&c, 250), 50);
    c = (struct lb_config){.warm_ms = 1000, .warm_aggression = 1};
    assert_int_equal(lb_warm_percent(&c, 0), 1);
}

static void count_warm(struct cluster *c, unsigned *counts)
{
    uint32_t cursors[8] = {0};
    counts[0] = counts[1] = 0;
    for (int i = 0; i < 1100; i++)
        counts[lb_choose(c->plan, cursors, &(struct lb_request){0})]++;
}

static void test_a_new_endpoint_warms_up(void **state)
{
    struct cluster *c;
    struct loop *l;
    struct err err = {0};
    unsigned counts[2];
    (void)state;
    time_set_manual(5000000);
    assert_ok(cluster_from(
        "{'name':'c','round_robin_lb_config':{'slow_start_config':{'slow_start_window':'10s'}},"
        "'load_assignment':{'cluster_name':'c','endpoints':[{'lb_endpoints':["
        "{'endpoint':{'address':{'socket_address':{'address':'10.0.0.1','port_value':1}}}},"
        "{'endpoint':{'address':{'socket_address':{'address':'10.0.0.1','port_value':2}}}}]}]}}",
        &c, &err));
    assert_ok(loop_new(&l, NULL));
    atomic_store(&c->plan->set->entries.v[1].endpoint->flags, ENDPOINT_FAILED_CHECK);
    cluster_start(c, l);
    time_set_manual(25000000);
    loop_turn(l, 0);
    atomic_store(&c->plan->set->entries.v[1].endpoint->flags, 0);
    cluster_replan_soon(c);
    loop_turn(l, 0);
    count_warm(c, counts);
    assert_int_equal(counts[1], 100); /* 100 : 10 */
    time_set_manual(30000000);
    loop_turn(l, 0); /* by the timer */
    loop_turn(l, 0);
    count_warm(c, counts);
    assert_in_range(counts[1], 366, 367); /* 100 : 50 */
    time_set_manual(35000000);
    loop_turn(l, 0);
    loop_turn(l, 0);
    count_warm(c, counts);
    assert_int_equal(counts[1], 550);
    assert_false(c->plan->warming);
    cluster_stop(c);
    cluster_unref(c);
    loop_free(l);
    time_set_manual(0);
}

static void test_a_hash_stays(void **state)
{
    struct chooser c;
    unsigned counts[4] = {0};
    (void)state;
    chooser_init(&c, "hhhu@0/h@1", &ring);
    for (uint64_t i = 0; i < MANY; i++) {
        struct lb_request q = {.hash = i * 0x9e3779b97f4a7c15, .has_hash = true};
        uint32_t first = choose(&c, &q);
        assert_int_equal(choose(&c, &q), first);
        assert_true(first < 3);
        counts[first]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(counts[i], MANY / 4, MANY / 2);
    lb_plan_unref(c.plan);
    chooser_init(&c, "huuu@0/h@1", &ring); /* 35 : 65 */
    counts[0] = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        struct lb_request q = {.hash = i * 0x9e3779b97f4a7c15, .has_hash = true};
        uint32_t first = choose(&c, &q);
        assert_int_equal(choose(&c, &q), first);
        counts[0] += first == 0;
    }
    assert_in_range(counts[0], MANY * 34 / 100, MANY * 36 / 100);
    lb_plan_unref(c.plan);
}

static void test_not_those_that_were_tried(void **state)
{
    static const struct lb_config *const all[] = {&round_robin, &least, &at_random, &ring};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct chooser c;
        chooser_init(&c, "hh", all[i]);
        const struct endpoint *tried[] = {c.plan->set->entries.v[0].endpoint,
                                          c.plan->set->entries.v[1].endpoint};
        struct lb_request q = {
            .tried = tried, .n_tried = 1, .tries_max = 200, .hash = 7, .has_hash = true};
        for (int k = 0; k < 100; k++)
            assert_int_equal(choose(&c, &q), 1);
        q.n_tried = 2; /* there is no other: one of them all the same */
        assert_in_range(choose(&c, &q), 0, 1);
        lb_plan_unref(c.plan);
    }
}

/* A session keeps its endpoint as long as that may be used, whatever the policy says. */
static void test_sessions_keep_their_endpoint(void **state)
{
    static const struct lb_config *const configs[] = {&round_robin, &least, &at_random, &ring};
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(configs); k++) {
        struct chooser c;
        chooser_init(&c, "hhh", configs[k]);
        struct endpoint_entry *kept = &c.plan->set->entries.v[1];
        struct lb_request q = {.prefers = true, .preferred = kept->endpoint->id};
        unsigned others = 0;
        for (unsigned i = 0; i < 20; i++)
            assert_int_equal(choose(&c, &q), 1);
        kept->endpoint->flags = ENDPOINT_FAILED_CHECK;
        assert_null(lb_preferred(c.plan, q.preferred));
        kept->endpoint->flags = 0;
        kept->status = ENDPOINT_DRAINING;
        assert_null(lb_preferred(c.plan, q.preferred));
        q.preferred++; /* nobody's */
        for (unsigned i = 0; i < 100; i++)
            others += choose(&c, &q) != 1;
        assert_true(others > 0);
        lb_plan_unref(c.plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_keep_their_endpoint),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_panic),
        cmocka_unit_test(test_no_panic_if_it_is_switched_off),
        cmocka_unit_test(test_degraded),
        cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_localities),
        cmocka_unit_test(test_flags_count_like_the_status),
        cmocka_unit_test(test_least_request),
        cmocka_unit_test(test_warming_up),
        cmocka_unit_test(test_a_new_endpoint_warms_up),
        cmocka_unit_test(test_a_hash_stays),
        cmocka_unit_test(test_not_those_that_were_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
