/* Clusters of names, against a name server of the test's own on loopback. */
#include "proxy/dns.h"

#include <errno.h>
#include <stdio.h>

#include "base/time.h"
#include "cluster_test.h"
#include "dns_world.h"

static struct ip ip(const char *text)
{
    struct ip got;
    assert_ok(ip_parse(str_from(text), &got));
    return got;
}

static void expect_chosen(const struct dns_config *c, const char *now, const char *want)
{
    struct ip ips[] = {ip("10.0.0.2"), ip("::2"), ip("10.0.0.1"), ip("::1"), ip("10.0.0.2")};
    struct ip current = now ? ip(now) : (struct ip){0};
    char got[256] = "", text[IP_TEXT_BYTES];
    size_t n = dns_choose(c, ips, ARRAY_LEN(ips), now ? &current : NULL);
    for (size_t i = 0; i < n; i++)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? " " : "",
                 ip_format(&ips[i], text));
    assert_string_equal(got, want);
}

static void test_which_addresses(void **state)
{
    (void)state;
    expect_chosen(&(struct dns_config){.prefer = AF_INET}, NULL, "10.0.0.1 10.0.0.2");
    expect_chosen(&(struct dns_config){.prefer = AF_INET6}, NULL, "::1 ::2");
    expect_chosen(&(struct dns_config){.prefer = 0}, NULL, "10.0.0.1 10.0.0.2 ::1 ::2");
    expect_chosen(&(struct dns_config){.logical = true}, NULL, "10.0.0.2");
    expect_chosen(&(struct dns_config){.logical = true}, "::1", "::1"); /* in use */
    expect_chosen(&(struct dns_config){.logical = true}, "::3", "10.0.0.2");
    expect_chosen(&(struct dns_config){.logical = true, .prefer = AF_INET6}, NULL, "::2");
    assert_int_equal(dns_choose(&(struct dns_config){.logical = true}, NULL, 0, NULL), 0);
}

static void test_when_again(void **state)
{
    struct dns_config c = {.refresh_ms = 5000, .failure_ms = 100, .failure_max_ms = 1000};
    (void)state;
    assert_int_equal(dns_next_ms(&c, 0, 30, 0), 5000);
    c.respect_ttl = true;
    assert_int_equal(dns_next_ms(&c, 0, 30, 0), 30000);
    assert_int_equal(dns_next_ms(&c, 0, 0, 0), 5000);
    assert_int_equal(dns_next_ms(&c, 1, 0, 0), 100);
    assert_int_equal(dns_next_ms(&c, 3, 0, 0), 400);
    assert_int_equal(dns_next_ms(&c, 3, 0, 150), 250); /* drawn */
    assert_int_equal(dns_next_ms(&c, 50, 0, 0), 1000);
}

struct world {
    struct dns_world dns;
    struct cluster *cluster;
    bool ready;
};

static void on_ready(struct cluster *c, void *user)
{
    (void)c;
    ((struct world *)user)->ready = true;
}

#define NAME(name, more)                                                                           \
    "{'endpoint':{'address':{'socket_address':{'address':'" name "','port_value':80}}}" more "}"

static void world_init(struct world *w, const char *type, const char *endpoints)
{
    char text[2048];
    struct sockaddr_storage at;
    socklen_t n = sizeof(at);
    struct ip server;
    uint16_t port;
    struct loop *l;
    struct err err = {0};
    *w = (struct world){.ready = false};
    assert_ok(loop_new(&l, NULL));
    dns_world_up(&w->dns, l);
    w->dns.v4[0] = ip("192.0.2.1");
    w->dns.v6 = (struct ip){0};
    assert_int_equal(getsockname(w->dns.fd, (struct sockaddr *)&at, &n), 0);
    assert_ok(ip_from_sockaddr((struct sockaddr *)&at, &server, &port));
    snprintf(text, sizeof(text),
             "{'name':'c','type':'%s','dns_refresh_rate':'0.002s','dns_resolvers':[{'socket_"
             "address':{'address':'127.0.0.1','port_value':%u}}],'load_assignment':{'cluster_name':"
             "'c','endpoints':[%s]}}",
             type, port, endpoints);
    if (cluster_from(text, &w->cluster, &err) < 0)
        fail_msg("%s", err_text(&err));
    cluster_start(w->cluster, l);
    w->cluster->on_ready = on_ready;
    w->cluster->ready_user = w;
}

static void world_done(struct world *w)
{
    cluster_stop(w->cluster);
    assert_int_equal(atomic_load(&w->cluster->refs), 1);
    cluster_unref(w->cluster);
    dns_world_down(&w->dns);
    loop_turn(w->dns.loop, 0);
    loop_free(w->dns.loop);
}

/* The endpoints' texts, of all localities. */
static void expect(struct world *w, const char *want)
{
    char got[512];
    uint64_t begin = time_mono_us();
    do {
        got[0] = 0;
        loop_turn(w->dns.loop, 5);
        VEC_FOREACH (e, &w->cluster->plan->set->entries)
            snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ", e->endpoint->text);
    } while (!streq(got, want) && time_mono_us() - begin < 10000000);
    assert_string_equal(got, want);
}

static void test_strict(void **state)
{
    struct world w;
    (void)state;
    world_init(
        &w, "STRICT_DNS",
        "{'lb_endpoints':[" NAME("10.0.0.9", "") "," NAME(
            "api.test",
            ",'load_balancing_weight':3") "]},{'priority':1,'lb_endpoints':[" NAME("nosuch.test",
                                                                                   "") "]}");
    assert_false(w.cluster->ready);
    expect(&w, "10.0.0.9:80 192.0.2.1:80 ");
    const struct endpoint_entry *e = &w.cluster->plan->set->entries.v[1];
    assert_int_equal(e->weight, 3);
    assert_string_equal(e->hostname, "api.test");
    struct endpoint *kept = endpoint_ref(e->endpoint);
    w.dns.v4[1] = ip("192.0.2.0");
    expect(&w, "10.0.0.9:80 192.0.2.0:80 192.0.2.1:80 ");
    assert_true(w.ready); /* the one that is not there does not keep it from that */
    assert_ptr_equal(w.cluster->plan->set->entries.v[2].endpoint, kept);
    w.dns.v4[0] = w.dns.v4[1] = (struct ip){0};
    unsigned asked = w.dns.queries;
    while (w.dns.queries < asked + 10) /* nothing there: those of before stay */
        loop_turn(w.dns.loop, 5);
    expect(&w, "10.0.0.9:80 192.0.2.0:80 192.0.2.1:80 ");
    w.dns.v4[0] = ip("192.0.2.7");
    expect(&w, "10.0.0.9:80 192.0.2.7:80 ");
    assert_int_equal(atomic_load(&kept->refs), 1);
    endpoint_unref(kept);
    world_done(&w);
}

static void test_families(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "STRICT_DNS", "{'lb_endpoints':[" NAME("api.test", "") "]}");
    expect(&w, "192.0.2.1:80 ");
    w.dns.v6 = ip("2001:db8::1"); /* AUTO: only these, now that there are some */
    expect(&w, "[2001:db8::1]:80 ");
    world_done(&w);
    world_init(&w, "STRICT_DNS','dns_lookup_family':'V4_ONLY",
               "{'lb_endpoints':[" NAME("api.test", "") "]}");
    w.dns.v6 = ip("2001:db8::1");
    expect(&w, "192.0.2.1:80 ");
    world_done(&w);
}

static void test_logical(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "LOGICAL_DNS", "{'lb_endpoints':[" NAME("api.test", "") "]}");
    w.dns.v4[1] = ip("192.0.2.2");
    uint64_t begin = time_mono_us();
    while (!w.cluster->plan->set->entries.n && time_mono_us() - begin < 10000000)
        loop_turn(w.dns.loop, 5);
    assert_int_equal(w.cluster->plan->set->entries.n, 1);
    world_done(&w);
}

static void test_nobody_answers(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "STRICT_DNS", "{'lb_endpoints':[" NAME("api.test", "") "]}");
    w.dns.silent = true;
    for (int i = 0; i < 5; i++)
        loop_turn(w.dns.loop, 5);
    assert_true(w.cluster->plan->empty);
    assert_false(w.ready);
    world_done(&w); /* while it is being asked */
}

static void refuse(const char *text, const char *why)
{
    struct cluster *c;
    struct err err = {0};
    assert_int_equal(cluster_from(text, &c, &err), -EINVAL);
    assert_string_equal(err_text(&err), why);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    refuse(
        "{'name':'c','type':'LOGICAL_DNS','load_assignment':{'endpoints':[{'lb_endpoints':[" NAME(
            "a", "") "," NAME("b", "") "]}]}}",
        "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single "
        "lb_endpoint");
    refuse("{'name':'c','type':'STRICT_DNS','load_assignment':{'endpoints':[{'lb_endpoints':[" NAME(
               "a b", "") "]}]}}",
           "load_assignment.endpoints[0].lb_endpoints[0]: 'a b' is no host name");
    refuse("{'name':'c','type':'STRICT_DNS'}", "load_assignment: is required");
    refuse("{'name':'c','type':'STRICT_DNS','dns_resolvers':[{'socket_address':{'address':'x'}}]}",
           "dns_resolvers: one socket_address with an IP address");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_addresses), cmocka_unit_test(test_when_again),
        cmocka_unit_test(test_strict),          cmocka_unit_test(test_families),
        cmocka_unit_test(test_logical),         cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
