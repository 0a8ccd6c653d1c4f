/* Who gets which address: the rules of pools and Services one by one, and what has to hold after
 * any number of changes. */
#include <stdio.h>

#include "json_text.h"

#include "base/map.h"
#include "base/vec.h"
#include "model/address_allocator.h"

/* What was said last of each Service, as text: "192.0.2.1,2001:db8::1 of POOL", "none"; and Events:
 * "Reason: message". */
struct told {
    struct address_allocator *a;
    struct map status, events; /* key -> text */
};

static void set(struct map *m, const char *key, char *text)
{
    free(map_put_cstr(m, key, text));
}

static void on_verdict(const struct address_verdict *v, void *user)
{
    struct told *t = user;
    AUTO_DONE(buf) struct buf b = {0};
    char text[IP_TEXT_BYTES];
    for (size_t i = 0; i < v->n_ips; i++)
        buf_addf(&b, "%s%s", i ? "," : "", ip_format(&v->ips[i], text));
    if (v->n_ips)
        buf_addf(&b, " of %s", v->pool);
    if (v->write)
        set(&t->status, v->service->key, xstrdup(v->n_ips ? buf_cstr(&b) : "none"));
    if (v->reason)
        set(&t->events, v->service->key,
            xasprintf("%s%s: %s", v->warning ? "! " : "", v->reason, v->message));
}

static void work(struct told *t)
{
    address_allocator_work(t->a, on_verdict, t);
}

static void clear(struct map *m)
{
    void *text;
    for (size_t at = 0; map_next(m, &at, NULL, &text);)
        free(text);
    map_done(m);
}

static int begin(void **state)
{
    struct told *t = NEW(struct told);
    t->a = address_allocator_new(NULL);
    *state = t;
    return 0;
}

static int end(void **state)
{
    struct told *t = *state;
    address_allocator_free(t->a);
    clear(&t->status);
    clear(&t->events);
    free(t);
    return 0;
}

/* age: the older is the smaller one. */
static void pool_aged(struct told *t, const char *name, int age, const char *spec)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'fairlead-system','name':'%s','creationTimestamp':"
                  "'2026-01-01T00:00:%02dZ'},'spec':{%s}}",
                  name, age, spec);
    AUTO_JSON json_t *j = json_of(text);
    address_allocator_put_pool(t->a, j);
}

static void pool(struct told *t, const char *name, const char *spec)
{
    pool_aged(t, name, 0, spec);
}

struct wish {
    const char *ips;         /* cluster IPs, as JSON; NULL: one of IPv4 */
    const char *annotations; /* as JSON, without braces */
    const char *spec, *labels, *status, *ns;
    const char *port;
    int age;
};

static json_t *service_json(const char *name, const struct wish *w)
{
    AUTO_CHARS char *text = xasprintf(
        "{'metadata':{'namespace':'%s','name':'%s','uid':'u-%s','creationTimestamp':"
        "'2026-01-01T00:00:%02dZ','annotations':{%s},'labels':{%s}},"
        "'spec':{'type':'LoadBalancer','clusterIPs':[%s],'ports':[{'port':%s}]%s%s},"
        "'status':{'loadBalancer':{'ingress':[%s]}}}",
        w->ns ? w->ns : "ns", name, name, w->age, w->annotations ? w->annotations : "",
        w->labels ? w->labels : "", w->ips ? w->ips : "'10.96.0.1'", w->port ? w->port : "80",
        w->spec ? "," : "", w->spec ? w->spec : "", w->status ? w->status : "");
    return json_of(text);
}

#define SERVICE(t, name, ...) service(t, name, &(const struct wish){__VA_ARGS__})
static void service(struct told *t, const char *name, const struct wish *w)
{
    AUTO_JSON json_t *j = service_json(name, w);
    address_allocator_put_service(t->a, j);
}

static void expect(struct told *t, const char *name, const char *status)
{
    AUTO_CHARS char *key = xasprintf("ns/%s", name);
    const char *got = map_find_cstr(&t->status, key);
    assert_string_equal(got ? got : "nothing", status);
}

static void expect_event(struct told *t, const char *name, const char *text)
{
    AUTO_CHARS char *key = xasprintf("ns/%s", name);
    const char *got = map_find_cstr(&t->events, key);
    assert_string_equal(got ? got : "nothing", text);
}

#define BOTH "'10.96.0.1','fd00::1'"
#define GIVEN(pool)                                                                                \
    "'metallb.io/ip-allocated-from-pool':'" pool "'" /* how a Service looks that has something */

static void test_ranges(void **state)
{
    struct told *t = *state;
    struct ip_range r;
    (void)t;
    assert_ok(ip_range_parse(STR("10.0.0.7/30"), &r));
    char a[IP_TEXT_BYTES], b[IP_TEXT_BYTES];
    assert_string_equal(ip_format(&r.first, a), "10.0.0.4");
    assert_string_equal(ip_format(&r.last, b), "10.0.0.7");
    assert_ok(ip_range_parse(STR("10.0.0.1 - 10.0.0.9"), &r));
    assert_ok(ip_range_parse(STR("2001:db8::/127"), &r));
    assert_string_equal(ip_format(&r.last, b), "2001:db8::1");
    const char *const bad[] = {"",
                               "10.0.0.0",
                               "10.0.0.0/33",
                               "10.0.0.9-10.0.0.1",
                               "10.0.0.1-",
                               "10.0.0.1-fd00::",
                               "010.0.0.0/24",
                               "10.0.0.0/24/3",
                               "fd00::/129",
                               "10.0.0.1-10.0.0.2-10.0.0.3"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(ip_range_parse(str_from(bad[i]), &r), -22);
}

static void test_sizes(void **state)
{
    const struct {
        const char *spec;
        uint64_t v4, v6;
    } rows[] = {
        {"'addresses':['10.0.0.0/24']", 256, 0},
        {"'addresses':['10.0.0.0/24'],'avoidBuggyIPs':true", 254, 0},
        {"'addresses':['10.0.0.255-10.0.2.0'],'avoidBuggyIPs':true", 254, 0},
        {"'addresses':['10.0.0.1-10.0.0.3','fd00::/120']", 3, 256},
        {"'addresses':['fd00::/64']", 0, (uint64_t)1 << 62},
        {"'addresses':['0.0.0.0/0']", (uint64_t)1 << 32, 0},
        {"'addresses':['fd00::ffff-fd00::1:0001']", 0, 3},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_CHARS char *text = xasprintf("{'metadata':{'name':'p'},'spec':{%s}}", rows[i].spec);
        AUTO_JSON json_t *j = json_of(text);
        struct address_pool *p = address_pool_decode(j);
        assert_int_equal(address_pool_size(p, AF_INET), rows[i].v4);
        assert_int_equal(address_pool_size(p, AF_INET6), rows[i].v6);
        address_pool_free(p);
    }
}

static void test_one_after_another(void **state)
{
    struct told *t = *state;
    pool(t, "p", "'addresses':['192.0.2.0/31','192.0.2.9-192.0.2.9']");
    SERVICE(t, "a", .age = 1);
    SERVICE(t, "b", .age = 2);
    SERVICE(t, "c", .age = 3);
    SERVICE(t, "d", .age = 4);
    work(t);
    expect(t, "a", "192.0.2.0 of p");
    expect_event(t, "a", "IPAllocated: Assigned IP [\"192.0.2.0\"]");
    expect(t, "b", "192.0.2.1 of p");
    expect(t, "c", "192.0.2.9 of p");
    expect(t, "d", "nothing");
    expect_event(t, "d",
                 "! AllocationFailed: Failed to allocate IP for \"ns/d\": no address of a "
                 "pool that is for it is free");
    /* One goes, and who waited has its address. */
    address_allocator_remove_service(t->a, STR("ns/b"));
    work(t);
    expect(t, "d", "192.0.2.1 of p");
}

static void test_avoided(void **state)
{
    struct told *t = *state;
    pool(t, "p", "'addresses':['192.0.2.254-192.0.3.1'],'avoidBuggyIPs':true");
    SERVICE(t, "a", .age = 1);
    SERVICE(t, "b", .age = 2);
    SERVICE(t, "c", .age = 3, .annotations = "'metallb.io/loadBalancerIPs':'192.0.2.255'");
    work(t);
    expect(t, "a", "192.0.2.254 of p");
    expect(t, "b", "192.0.3.1 of p");
    expect_event(t, "c",
                 "! AllocationFailed: Failed to allocate IP for \"ns/c\": no pool has "
                 "192.0.2.255");
}

static void test_what_status_says_stays(void **state)
{
    struct told *t = *state;
    pool(t, "p", "'addresses':['192.0.2.0/29'],'autoAssign':false");
    SERVICE(t, "old", .status = "{'ip':'192.0.2.5'}", .annotations = GIVEN("p"), .age = 9);
    SERVICE(t, "new", .age = 1);
    work(t);
    expect(t, "old", "nothing"); /* it is so */
    expect(t, "new", "nothing");
    expect_event(t, "new",
                 "! AllocationFailed: Failed to allocate IP for \"ns/new\": no address "
                 "of a pool that is for it is free"); /* autoAssign */
    /* Who says the same address and does not share: the older one keeps it. */
    SERVICE(t, "twin", .status = "{'ip':'192.0.2.5'}", .annotations = GIVEN("p"), .age = 8);
    address_allocator_forget(t->a);
    work(t);
    expect(t, "twin", "nothing");
    expect(t, "old", "none");
    expect_event(t, "old",
                 "! AllocationFailed: Failed to allocate IP for \"ns/old\": no address "
                 "of a pool that is for it is free; what it had is taken back: it is the "
                 "address of Service ns/twin, and this one has no annotation "
                 "metallb.io/allow-shared-ip");
}

static void test_pool_shrinks_and_goes(void **state)
{
    struct told *t = *state;
    pool(t, "p", "'addresses':['192.0.2.0/30']");
    SERVICE(t, "a", .age = 1);
    SERVICE(t, "b", .age = 2);
    work(t);
    expect(t, "b", "192.0.2.1 of p");
    pool(t, "p", "'addresses':['192.0.2.0/32','198.51.100.0/32']");
    work(t);
    expect(t, "a", "192.0.2.0 of p");
    expect(t, "b", "198.51.100.0 of p");
    expect_event(t, "b",
                 "IPAllocated: Assigned IP [\"198.51.100.0\"] in place of what it had: no "
                 "pool has it any more");
    SERVICE(t, "b", .age = 2, .status = "{'ip':'198.51.100.0'}", .annotations = GIVEN("p"));
    address_allocator_remove_pool(t->a, STR("fairlead-system/p"));
    work(t);
    expect(t, "b", "none");
    expect_event(t, "b",
                 "! AllocationFailed: Failed to allocate IP for \"ns/b\": there are no "
                 "IPAddressPools; what it had is taken back: no pool has it any more");
    /* The same addresses under another name: told, and kept. */
    pool(t, "q", "'addresses':['192.0.2.0/24']");
    SERVICE(t, "a", .age = 1, .status = "{'ip':'192.0.2.7'}", .annotations = GIVEN("p"));
    work(t);
    expect(t, "a", "192.0.2.7 of q");
}

static void test_somebody_elses(void **state)
{
    struct told *t = *state;
    pool(t, "p", "'addresses':['192.0.2.0/24']");
    SERVICE(t, "cloud", .status = "{'hostname':'x.test'}");
    SERVICE(t, "other", .status = "{'ip':'203.0.113.1'}");
    SERVICE(t, "class", .spec = "'loadBalancerClass':'x.test/y'");
    SERVICE(t, "adopted", .status = "{'ip':'192.0.2.3'}"); /* of a pool, by whomever */
    work(t);
    expect(t, "cloud", "nothing");
    expect(t, "other", "nothing");
    expect(t, "class", "nothing");
    expect(t, "adopted", "192.0.2.3 of p");
    struct told ours = {.a = address_allocator_new("x.test/y")};
    pool(&ours, "p", "'addresses':['192.0.2.0/24']");
    SERVICE(&ours, "class", .spec = "'loadBalancerClass':'x.test/y'");
    SERVICE(&ours, "none");
    work(&ours);
    expect(&ours, "class", "192.0.2.0 of p");
    expect(&ours, "none", "nothing");
    address_allocator_free(ours.a);
    clear(&ours.status);
    clear(&ours.events);
}

static void test_type_changes(void **state)
{
    struct told *t = *state;
    pool(t, "p", "'addresses':['192.0.2.0/32']");
    SERVICE(t, "a", .age = 1);
    SERVICE(t, "b", .age = 2);
    work(t);
    expect(t, "b", "nothing");
    AUTO_JSON json_t *j = service_json("a", &(const struct wish){.annotations = GIVEN("p")});
    json_put_str(j, "spec.type", "ClusterIP");
    address_allocator_put_service(t->a, j);
    work(t);
    expect(t, "a", "none"); /* the annotation goes */
    expect(t, "b", "192.0.2.0 of p");
}

static void test_wishes(void **state)
{
    struct told *t = *state;
    const struct {
        const char *name;
        struct wish w;
        const char *status, *event;
    } rows[] = {
        {"field", {.spec = "'loadBalancerIP':'192.0.2.7'"}, "192.0.2.7 of p", NULL},
        {"new",
         {.annotations = "'metallb.io/loadBalancerIPs':'192.0.2.8'"},
         "192.0.2.8 of p",
         NULL},
        {"old",
         {.annotations = "'metallb.universe.tf/loadBalancerIPs':'192.0.2.9'"},
         "192.0.2.9 of p",
         NULL},
        {"two",
         {.ips = BOTH, .annotations = "'metallb.io/loadBalancerIPs':'192.0.2.10, fd01::a'"},
         "192.0.2.10,fd01::a of p",
         NULL},
        {"pool",
         {.annotations = "'metallb.io/address-pool':'manual'"},
         "198.51.100.0 of manual",
         NULL},
        {"both",
         {.spec = "'loadBalancerIP':'192.0.2.1'",
          .annotations = "'metallb.io/loadBalancerIPs':'192.0.2.2'"},
         "nothing",
         "! LoadBalancerFailed: Failed to allocate IP for \"ns/both\": both "
         "metallb.io/loadBalancerIPs and spec.loadBalancerIP are given; leave one out"},
        {"bad",
         {.annotations = "'metallb.io/loadBalancerIPs':'x'"},
         "nothing",
         "! LoadBalancerFailed: Failed to allocate IP for \"ns/bad\": annotation "
         "metallb.io/loadBalancerIPs: \"x\" is no address"},
        {"same",
         {.annotations = "'metallb.io/loadBalancerIPs':'192.0.2.1,192.0.2.2'"},
         "nothing",
         "! LoadBalancerFailed: Failed to allocate IP for \"ns/same\": annotation "
         "metallb.io/loadBalancerIPs: at most one address of each family"},
        {"family",
         {.spec = "'loadBalancerIP':'fd01::9'"},
         "nothing",
         "! AllocationFailed: Failed to allocate IP for \"ns/family\": the addresses asked for "
         "(fd01::9) are not of the IP families of the Service"},
        {"mismatch",
         {.spec = "'loadBalancerIP':'192.0.2.20'",
          .annotations = "'metallb.io/address-pool':'manual'"},
         "nothing",
         "! AllocationFailed: Failed to allocate IP for \"ns/mismatch\": 192.0.2.20 is of pool p, "
         "and the Service asks for pool manual"},
        {"taken",
         {.spec = "'loadBalancerIP':'192.0.2.7'", .age = 9},
         "nothing",
         "! AllocationFailed: Failed to allocate IP for \"ns/taken\": it is the address of Service "
         "ns/field, and this one has no annotation metallb.io/allow-shared-ip"},
        {"unknown",
         {.annotations = "'metallb.io/address-pool':'nil'"},
         "nothing",
         "! AllocationFailed: Failed to allocate IP for \"ns/unknown\": there is no pool nil"},
        {"waits",
         {.ips = "'None'"},
         "nothing",
         "! AllocationFailed: Failed to allocate IP for \"ns/waits\": it has no cluster IP yet"},
    };
    pool(t, "p", "'addresses':['192.0.2.0/24','fd01::/64']");
    pool(t, "manual", "'addresses':['198.51.100.0/24'],'autoAssign':false");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        service(t, rows[i].name, &rows[i].w);
    work(t);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        expect(t, rows[i].name, rows[i].status);
        if (rows[i].event)
            expect_event(t, rows[i].name, rows[i].event);
    }
    /* A wish that changes is heeded, and so is a pool. */
    SERVICE(t, "field", .spec = "'loadBalancerIP':'192.0.2.70'");
    work(t);
    expect(t, "field", "192.0.2.70 of p");
    expect(t, "taken", "192.0.2.7 of p");
    SERVICE(t, "field", .annotations = "'metallb.io/address-pool':'manual'");
    work(t);
    expect(t, "field", "198.51.100.1 of manual");
}

static void test_families(void **state)
{
    struct told *t = *state;
    pool(t, "a4", "'addresses':['192.0.2.0/24']");
    pool(t, "b6", "'addresses':['fd01::/120']");
    SERVICE(t, "four");
    SERVICE(t, "six", .ips = "'fd00::1'");
    SERVICE(t, "two", .ips = BOTH, .spec = "'ipFamilyPolicy':'RequireDualStack'");
    SERVICE(t, "prefer", .ips = BOTH, .spec = "'ipFamilyPolicy':'PreferDualStack'", .age = 1);
    SERVICE(t, "prefer6", .age = 1, .ips = "'fd00::1','10.96.0.1'",
            .spec = "'ipFamilyPolicy':'PreferDualStack'");
    SERVICE(t, "poor", .spec = "'ipFamilyPolicy':'RequireDualStack'");
    work(t);
    expect(t, "four", "192.0.2.0 of a4");
    expect(t, "six", "fd01:: of b6");
    expect(t, "two", "nothing"); /* both are to be of one pool */
    expect(t, "prefer", "192.0.2.1 of a4");
    expect(t, "prefer6", "fd01::1 of b6");
    expect_event(t, "poor",
                 "! AllocationFailed: Failed to allocate IP for \"ns/poor\": "
                 "ipFamilyPolicy RequireDualStack, and not two cluster IPs");
    /* The pool gets the other family: who prefers two gets the second, and keeps the first. */
    pool(t, "a4", "'addresses':['192.0.2.0/24','fd02::/120']");
    work(t);
    expect(t, "prefer", "192.0.2.1,fd02:: of a4");
    expect(t, "two", "192.0.2.2,fd02::1 of a4");
    expect(t, "prefer6", "fd01::1 of b6");
    /* Two cluster IPs become one. */
    SERVICE(t, "two");
    work(t);
    expect(t, "two", "192.0.2.2 of a4");
}

#define SHARE(key) "'metallb.io/allow-shared-ip':'" key "'"

static void test_sharing(void **state)
{
    struct told *t = *state;
    pool(t, "p", "'addresses':['192.0.2.0/30']");
    SERVICE(t, "a", .age = 1, .annotations = SHARE("k"), .port = "80");
    SERVICE(t, "b", .age = 2, .annotations = SHARE("k"), .port = "443");
    SERVICE(t, "c", .age = 3, .annotations = SHARE("k"), .port = "80");
    SERVICE(t, "d", .age = 4, .annotations = SHARE("k"), .port = "81",
            .spec = "'externalTrafficPolicy':'Local','selector':{'app':'d'}");
    SERVICE(t, "e", .age = 5, .annotations = SHARE("k"), .port = "82",
            .spec = "'externalTrafficPolicy':'Local','selector':{'app':'d'}");
    SERVICE(t, "f", .age = 6, .annotations = SHARE("other"), .port = "83");
    SERVICE(t, "g", .age = 7,
            .annotations = SHARE("other") ",'metallb.io/loadBalancerIPs':'192.0.2.0'",
            .port = "84");
    work(t);
    expect(t, "a", "192.0.2.0 of p");
    expect(t, "b", "192.0.2.0 of p");
    expect(t, "c", "192.0.2.1 of p"); /* the port is a's */
    expect(t, "d", "192.0.2.2 of p"); /* another policy */
    expect(t, "e", "192.0.2.2 of p");
    expect(t, "f", "192.0.2.3 of p");
    expect_event(t, "g",
                 "! AllocationFailed: Failed to allocate IP for \"ns/g\": it is the "
                 "address of Service ns/a, which says something else in "
                 "metallb.io/allow-shared-ip");
    uint64_t in_use[2];
    const struct address_pool *p;
    size_t at = 0;
    address_allocator_count(t->a);
    assert_true(address_allocator_next_pool(t->a, &at, &p, in_use));
    assert_int_equal(in_use[0], 4); /* each once */
    /* A port that becomes another's: who is younger moves, if it can. */
    address_allocator_remove_service(t->a, STR("ns/f"));
    SERVICE(t, "b", .age = 2, .annotations = SHARE("k"), .port = "80");
    work(t);
    expect(t, "b", "192.0.2.3 of p");
    /* One says the word in its old form, and may share by it. */
    address_allocator_remove_service(t->a, STR("ns/g"));
    SERVICE(t, "h", .age = 9, .port = "85",
            .annotations = "'metallb.universe.tf/allow-shared-ip':'k',"
                           "'metallb.io/loadBalancerIPs':'192.0.2.0'");
    work(t);
    expect(t, "h", "192.0.2.0 of p");
}

static void test_whom_pools_are_for(void **state)
{
    struct told *t = *state;
    AUTO_JSON json_t *ns = json_of("{'metadata':{'name':'ns','labels':{'tier':'gold'}}}");
    pool(t, "all", "'addresses':['10.0.0.0/24']");
    pool(t, "later",
         "'addresses':['10.0.1.0/24'],'serviceAllocation':{'priority':20,"
         "'namespaces':['ns']}");
    pool(t, "first",
         "'addresses':['10.0.2.0/32'],'serviceAllocation':{'priority':10,"
         "'namespaces':['ns']}");
    pool(t, "last", "'addresses':['10.0.3.0/24'],'serviceAllocation':{'namespaces':['ns']}");
    pool(t, "web",
         "'addresses':['10.0.4.0/24'],'serviceAllocation':{'priority':1,"
         "'serviceSelectors':[{'matchLabels':{'app':'web'}},"
         "{'matchExpressions':[{'key':'app','operator':'In','values':['x']}]}]}");
    pool(t, "gold",
         "'addresses':['10.0.5.0/24'],'serviceAllocation':{'priority':2,"
         "'namespaceSelectors':[{'matchLabels':{'tier':'gold'}}],"
         "'serviceSelectors':[{'matchLabels':{'app':'bank'}}]}");
    SERVICE(t, "a", .age = 1);
    SERVICE(t, "b", .age = 2);
    SERVICE(t, "w", .labels = "'app':'web'");
    SERVICE(t, "x", .labels = "'app':'x'");
    SERVICE(t, "bank", .labels = "'app':'bank'", .age = 3);
    SERVICE(t, "thief", .annotations = "'metallb.io/address-pool':'web'");
    SERVICE(t, "far", .ns = "elsewhere");
    work(t);
    expect(t, "a", "10.0.2.0 of first");
    expect(t, "b", "10.0.1.0 of later");
    expect(t, "w", "10.0.4.0 of web");
    expect(t, "x", "10.0.4.1 of web");
    expect(t, "bank", "10.0.1.1 of later"); /* its namespace has no labels yet */
    expect_event(t, "thief",
                 "! AllocationFailed: Failed to allocate IP for \"ns/thief\": pool web "
                 "is not for this Service (spec.serviceAllocation)");
    assert_string_equal(map_find_cstr(&t->status, "elsewhere/far"), "10.0.0.0 of all");
    /* The namespace gets its label: what somebody has stays, who comes gets the better one. */
    address_allocator_put_namespace(t->a, ns);
    SERVICE(t, "bank2", .labels = "'app':'bank'");
    work(t);
    expect(t, "bank", "10.0.1.1 of later");
    expect(t, "bank2", "10.0.5.0 of gold");
    /* And loses it: what it does not allow any more is taken back. */
    AUTO_JSON json_t *bare = json_of("{'metadata':{'name':'ns'}}");
    address_allocator_put_namespace(t->a, bare);
    work(t);
    expect(t, "bank2", "10.0.1.2 of later");
}

static void expect_findings(struct told *t, const char *name, const char *expected)
{
    const struct address_pool *p;
    uint64_t in_use[2];
    for (size_t at = 0; address_allocator_next_pool(t->a, &at, &p, in_use);)
        if (streq(p->name, name)) {
            AUTO_DONE(buf) struct buf b = {0};
            findings_format(&p->findings, &b);
            assert_string_equal(buf_cstr(&b), expected);
            assert_int_equal(p->refused, *expected != '\0');
            return;
        }
    fail();
}

static void test_pools_that_are_refused(void **state)
{
    struct told *t = *state;
    pool_aged(t, "z-old", 1, "'addresses':['10.0.0.0/28','10.0.1.0/28']");
    pool_aged(t, "a-new", 2, "'addresses':['10.0.2.0/28','10.0.1.8-10.0.1.20']");
    pool_aged(t, "own", 3, "'addresses':['10.0.3.0/28','10.0.3.4/32']");
    pool_aged(t, "beside", 4, "'addresses':['10.0.2.0/29']"); /* a refused one keeps nobody away */
    pool_aged(t, "bad", 5,
              "'addresses':['10.0.9.0/28','x'],'serviceAllocation':{"
              "'serviceSelectors':[{'matchExpressions':[{'key':'a','operator':'Is'}]}]}");
    pool_aged(t, "none", 6, "'addresses':[]");
    SERVICE(t, "had", .status = "{'ip':'10.0.2.12'}", .annotations = GIVEN("a-new"));
    SERVICE(t, "wants", .annotations = "'metallb.io/address-pool':'a-new'");
    work(t);
    expect_findings(t, "z-old", "");
    expect_findings(t, "a-new",
                    "error InvalidAddressPool fairlead-system/a-new spec.addresses[1]: "
                    "10.0.1.8 to 10.0.1.20 overlaps with pool fairlead-system/z-old\n");
    expect_findings(t, "own",
                    "error InvalidAddressPool fairlead-system/own spec.addresses[1]: "
                    "10.0.3.4 to 10.0.3.4 overlaps with another one of "
                    "fairlead-system/own\n");
    expect_findings(t, "beside", "");
    expect_findings(
        t, "bad",
        "error InvalidAddressPool fairlead-system/bad spec.addresses[1]: \"x\" is neither a prefix "
        "nor a range\n"
        "error InvalidAddressPool fairlead-system/bad "
        "spec.serviceAllocation.serviceSelectors[0]: \"Is\" is not a valid label selector "
        "operator\n");
    expect_findings(t, "none",
                    "error InvalidAddressPool fairlead-system/none spec.addresses: no "
                    "addresses\n");
    expect(t, "had", "nothing"); /* what was given of it stays */
    expect_event(t, "wants",
                 "! AllocationFailed: Failed to allocate IP for \"ns/wants\": pool "
                 "a-new has errors; its Events say which");
    pool_aged(t, "a-new", 2, "'addresses':['10.0.2.8/29']");
    work(t);
    expect_findings(t, "a-new", "");
    expect(t, "wants", "10.0.2.8 of a-new");
    address_allocator_remove_pool(t->a, STR("fairlead-system/z-old"));
    pool_aged(t, "a-new", 2, "'addresses':['10.0.2.8/29','10.0.1.8-10.0.1.20']");
    work(t);
    expect_findings(t, "a-new", "");
}

/* ---- what holds after any changes ---- */

enum { SERVICES = 40, STEPS = 4000 };

/* A world of its own: what the API server would hold. */
struct world {
    struct told *t;
    uint64_t seed;
    json_t *services[SERVICES]; /* NULL: not there */
};

static unsigned dice(struct world *w, unsigned n)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(w->seed >> 33) % n;
}

/* As the API server takes it. */
static void on_written(const struct address_verdict *v, void *user)
{
    struct world *w = user;
    if (!v->write)
        return;
    for (size_t i = 0; i < SERVICES; i++) {
        json_t *s = w->services[i];
        if (!s || !streq(json_at_str(s, "metadata.name"), v->service->name))
            continue;
        json_t *ingress = json_array();
        char text[IP_TEXT_BYTES];
        for (size_t k = 0; k < v->n_ips; k++)
            json_array_append_new(ingress, json_pack("{s:s}", "ip", ip_format(&v->ips[k], text)));
        json_put(s, "status.loadBalancer.ingress", ingress);
        json_t *annotations = json_at(s, "metadata.annotations");
        json_object_del(annotations, POOL_ANNOTATION);
        if (v->pool)
            json_object_set_new(annotations, POOL_ANNOTATION, json_string(v->pool));
    }
}

static void change_service(struct world *w)
{
    unsigned n = dice(w, SERVICES);
    char name[16];
    snprintf(name, sizeof(name), "s%u", n);
    AUTO_CHARS char *key = xasprintf("ns/%s", name);
    if (w->services[n] && dice(w, 3) == 0) {
        json_decref(w->services[n]);
        w->services[n] = NULL;
        address_allocator_remove_service(w->t->a, str_from(key));
        return;
    }
    static const char *const shares[] = {NULL, NULL, SHARE("k"), SHARE("k")};
    static const char *const ports[] = {"80", "81", "82"};
    static const char *const ips[] = {NULL, BOTH, "'fd00::1'"};
    json_t *now = service_json(
        name, &(const struct wish){.annotations = shares[dice(w, 4)],
                                   .port = ports[dice(w, 3)],
                                   .ips = ips[dice(w, 3)],
                                   .labels = dice(w, 2) ? "'app':'web'" : NULL,
                                   .spec = dice(w, 2) ? "'ipFamilyPolicy':'PreferDualStack'" : NULL,
                                   .age = (int)dice(w, 60)});
    if (w->services[n]) { /* status is not the user's to change */
        json_t *status = json_at(w->services[n], "status.loadBalancer.ingress");
        const char *pool =
            json_key_str(json_at(w->services[n], "metadata.annotations"), POOL_ANNOTATION);
        json_put(now, "status.loadBalancer.ingress", json_incref(status));
        if (pool)
            json_object_set_new(json_at(now, "metadata.annotations"), POOL_ANNOTATION,
                                json_string(pool));
        json_decref(w->services[n]);
    }
    w->services[n] = now;
    address_allocator_put_service(w->t->a, now);
}

static void change_pool(struct world *w)
{
    static const char *const specs[] = {
        "'addresses':['192.0.2.0/29','fd01::/125']",
        "'addresses':['192.0.2.0/28']",
        "'addresses':['192.0.2.4-192.0.2.9','fd01::/126'],'avoidBuggyIPs':true",
        ("'addresses':['198.51.100.0/30'],'serviceAllocation':{'serviceSelectors':[{'matchLabels':"
         "{'app':'web'}}]}"),
        "'addresses':['198.51.100.2/31'],'autoAssign':false",
        "'addresses':['nonsense']"};
    char name[8];
    snprintf(name, sizeof(name), "p%u", dice(w, 3));
    AUTO_CHARS char *key = xasprintf("fairlead-system/%s", name);
    if (dice(w, 6) == 0)
        address_allocator_remove_pool(w->t->a, str_from(key));
    else
        pool_aged(w->t, name, name[1] - '0', specs[dice(w, ARRAY_LEN(specs))]);
}

static void put_all(struct world *w)
{
    for (size_t i = 0; i < SERVICES; i++)
        if (w->services[i])
            address_allocator_put_service(w->t->a, w->services[i]);
}

static void check(struct world *w)
{
    struct balanced_service *all[SERVICES] = {0};
    for (size_t i = 0; i < SERVICES; i++)
        all[i] = w->services[i] ? balanced_service_decode(w->services[i], NULL) : NULL;
    for (size_t i = 0; i < SERVICES; i++) {
        const struct balanced_service *s = all[i];
        for (size_t k = 0; s && k < s->n_has; k++) {
            const struct address_pool *p;
            uint64_t in_use[2];
            bool found = false;
            for (size_t at = 0; address_allocator_next_pool(w->t->a, &at, &p, in_use);)
                found = found ||
                        (streq(p->name, s->annotated_pool) && address_pool_has(p, &s->has[k]) &&
                         address_pool_is_for(p, s->ns, NULL, s->labels));
            assert_true(found); /* it is of the pool that it says, which is for it */
            assert_true(s->families[s->has[k].family == AF_INET6]);
            for (size_t other = 0; other < i; other++)
                for (size_t o = 0; all[other] && o < all[other]->n_has; o++)
                    if (ip_eq(&s->has[k], &all[other]->has[o]))
                        assert_true(balanced_services_share(s, all[other], NULL));
        }
    }
    for (size_t i = 0; i < SERVICES; i++)
        balanced_service_free(all[i]);
}

static void nobody_moves(const struct address_verdict *v, void *user)
{
    (void)user;
    char text[IP_TEXT_BYTES], had[IP_TEXT_BYTES];
    if (v->write)
        fail_msg("%s with %zu, %s, would have %zu, %s of %s (%s)", v->service->key,
                 v->service->n_has, ip_format(&v->service->has[0], had), v->n_ips,
                 ip_format(&v->ips[0], text), v->pool, v->message);
}

static void test_any_changes(void **state)
{
    struct world w = {.t = *state, .seed = 12};
    size_t had = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        if (dice(&w, 12) == 0)
            change_pool(&w);
        else
            change_service(&w);
        address_allocator_work(w.t->a, on_written, &w);
        put_all(&w); /* as the watch tells it */
        address_allocator_work(w.t->a, nobody_moves, NULL);
        check(&w);
        for (size_t i = 0; i < SERVICES; i++)
            had += w.services[i] &&
                   json_array_size(json_at(w.services[i], "status.loadBalancer.ingress"));
        if (step % 50 == 0) { /* another leader, who knows what status says */
            address_allocator_forget(w.t->a);
            address_allocator_work(w.t->a, nobody_moves, NULL);
        }
    }
    assert_true(had > STEPS); /* it is about something */
    for (size_t i = 0; i < SERVICES; i++)
        json_decref(w.services[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ranges),
        TEST(test_sizes),
        TEST(test_one_after_another),
        TEST(test_avoided),
        TEST(test_what_status_says_stays),
        TEST(test_pool_shrinks_and_goes),
        TEST(test_somebody_elses),
        TEST(test_type_changes),
        TEST(test_wishes),
        TEST(test_families),
        TEST(test_sharing),
        TEST(test_whom_pools_are_for),
        TEST(test_pools_that_are_refused),
        TEST(test_any_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
