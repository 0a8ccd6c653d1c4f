/* Row 44: how long changes of endpoints take, by the slices' annotations. */
#include "agent_world.h"

/* From what made endpoints change until the kernel has it, by the slice's annotation; what is older
 * than the agent is not its time. */
static void test_row_44_network_programming(void **state)
{
    struct world w;
    AUTO_DONE(buf) struct buf b = {0};
    char now[28];
    (void)state;
    world_begin(&w);
    put_service(&w, "a", "", CLUSTER_IP("10.96.0.1") "," PORT80);
    put_slice(&w, "a", "a-1", "", EP("10.244.0.1"));
    world_start(&w);
    assert_until(&w, stats(&w).synced);
    for (int i = 0; i < 2; i++) {
        time_format_rfc3339_micro(i ? time_real_us() - 2400000 : time_real_us() + 1, now);
        AUTO_CHARS char *slice = xasprintf(
            "{\"metadata\":{\"name\":\"a-1\",\"namespace\":\"ns\",\"labels\":{"
            "\"kubernetes.io/service-name\":\"a\"},\"annotations\":{"
            "\"endpoints.kubernetes.io/last-change-trigger-time\":\"%s\"}},\"addressType\":"
            "\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.244.0.%d\"]}],\"ports\":[{"
            "\"name\":\"p\",\"port\":8080}]}",
            now, i + 2);
        api_change(&w.api, SLICES, "a-1", slice);
        assert_frontends(&w, i ? LINE("10.96.0.1", "10.244.0.3") : LINE("10.96.0.1", "10.244.0.2"));
        assert_until(&w, stats(&w).endpoint_changes == 2u + (unsigned)i);
        assert_until(&w, stats(&w).programming->n[0] == 1);
    }
    assert_int_equal(ask(&w, true, "/metrics", &b), 200);
    assert_true(says(&b,
                     "\nkubeproxy_network_programming_duration_seconds_bucket{ip_family=\"IPv4\","
                     "le=\"300\"} 1\n"));
    world_end(&w);
}

static void test_programming_latency_buckets(void **state)
{
    static const struct {
        double s;
        const char *line;
    } cases[] = {{0.2, "le=\"0.25\"} 1\n"}, {0.4, "le=\"0.5\"} 1\n"}, {0.6, "le=\"1\"} 1\n"},
                 {58.5, "le=\"59\"} 1\n"},  {59.5, "le=\"60\"} 1\n"}, {62, "le=\"65\"} 1\n"},
                 {114, "le=\"115\"} 1\n"},  {116, "le=\"120\"} 1\n"}, {299, "le=\"300\"} 1\n"},
                 {301, "le=\"+Inf\"} 1\n"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct programming_latency p = {0};
        AUTO_DONE(buf) struct buf b = {0};
        programming_latency_note(&p, STR("ns/a"), 1, "1970-01-01T00:00:01Z");
        programming_latency_note(&p, STR("ns/b"), 1, "1970-01-01T00:00:01Z");
        programming_latency_note(&p, STR("ns/c"), 1, "no time");
        programming_latency_note(&p, STR("ns/d"), 1, NULL);
        programming_latency_forget(&p, STR("ns/b"));
        programming_latency_arrived(&p, 9000000);
        assert_int_equal(p.n[1], 0); /* not sent yet */
        programming_latency_sent(&p);
        programming_latency_arrived(&p, 1000000 + (int64_t)(cases[i].s * 1e6));
        programming_latency_arrived(&p, 9000000);
        programming_latency_format(&p, &b);
        AUTO_CHARS char *line = xasprintf("IPv6\",%s", cases[i].line);
        if (!says(&b, line) || p.n[1] != 1)
            fail_msg("no %s in %s", line, buf_cstr(&b));
        AUTO_CHARS char *none = xasprintf("IPv4\",%s", cases[i].line);
        assert_false(says(&b, none));
        programming_latency_done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_44_network_programming),
        cmocka_unit_test(test_programming_latency_buckets),
    };
    return RUN_TESTS(tests);
}
