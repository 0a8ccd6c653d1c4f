/* Addresses of hosts that have none: nobody's twice, and as they were when the table is made anew.
 */
#include "json_text.h"

#include "model/entry_addresses.h"

/* Puts an entry; status: of its addresses. */
static void put(struct entry_addresses *t, const char *name, const char *hosts, const char *more,
                const char *status)
{
    AUTO_CHARS char *text =
        xasprintf("{'metadata':{'namespace':'ns','name':'%s'},'spec':{'hosts':[%s],"
                  "'ports':[{'number':80,'name':'http','protocol':'HTTP'}],%s},"
                  "'status':{'addresses':[%s]}}",
                  name, hosts, more, status);
    AUTO_JSON json_t *j = json_of(text);
    struct service_entry *e = service_entry_decode(j);
    assert_non_null(e);
    entry_addresses_put(t, e);
    service_entry_free(e);
}

#define STATIC "'resolution':'STATIC','endpoints':[{'address':'10.0.0.1'}]"

static char *want(struct entry_addresses *t, const char *name)
{
    AUTO_CHARS char *key = xasprintf("ns/%s", name);
    AUTO_JSON json_t *list = entry_addresses_want(t, str_from(key));
    AUTO_DONE(buf) struct buf b = {0};
    if (list)
        json_write(&b, list);
    return xstrdup(buf_cstr(&b));
}

static void expect(struct entry_addresses *t, const char *name, const char *expected)
{
    AUTO_CHARS char *got = want(t, name);
    assert_string_equal(got, expected);
}

static void test_who_gets_one(void **state)
{
    struct entry_addresses *t = entry_addresses_new();
    (void)state;
    put(t, "none", "'a.test'", "'resolution':'NONE'", "");
    put(t, "own", "'a.test'", "'addresses':['10.0.0.9']," STATIC, "");
    put(t, "wild", "'a.test','*.b.test'", STATIC, "");
    expect(t, "none", "");
    expect(t, "own", "");
    expect(t, "wild", "");
    expect(t, "nobody", "");
    put(t, "x", "'a.test','b.test'", STATIC, "");
    AUTO_CHARS char *first = want(t, "x"), *second = want(t, "x");
    assert_non_null(strstr(first, "{\"host\":\"a.test\",\"value\":\"240.240."));
    assert_non_null(strstr(first, "{\"host\":\"b.test\",\"value\":\"240.240."));
    assert_string_equal(first, second); /* until the object says it */
    entry_addresses_free(t);
}

static void test_what_it_has_stays(void **state)
{
    struct entry_addresses *t = entry_addresses_new();
    (void)state;
    put(t, "x", "'a.test'", STATIC, "{'host':'a.test','value':'240.240.1.2'}");
    expect(t, "x", "");
    /* A host more: the other one keeps its own. */
    put(t, "x", "'a.test','b.test'", STATIC, "{'host':'a.test','value':'240.240.1.2'}");
    AUTO_CHARS char *both = want(t, "x");
    assert_non_null(strstr(both, "{\"host\":\"a.test\",\"value\":\"240.240.1.2\"}"));
    /* Two say one: the later one gets another. */
    put(t, "y", "'c.test'", STATIC, "{'host':'c.test','value':'240.240.1.2'}");
    AUTO_CHARS char *other = want(t, "y");
    assert_non_null(strstr(other, "240.240."));
    assert_null(strstr(other, "240.240.1.2\""));
    /* It goes, and what it had is free. */
    entry_addresses_remove(t, STR("ns/x"));
    put(t, "z", "'d.test'", STATIC, "{'host':'d.test','value':'240.240.1.2'}");
    expect(t, "z", "");
    /* What is none of ours is given another. */
    put(t, "z", "'d.test'", STATIC, "{'host':'d.test','value':'10.0.0.1'}");
    AUTO_CHARS char *ours = want(t, "z");
    assert_non_null(strstr(ours, "240.240."));
    entry_addresses_free(t);
}

static void test_each_has_its_own(void **state)
{
    struct entry_addresses *t = entry_addresses_new();
    struct map seen = {0};
    (void)state;
    for (unsigned i = 0; i < 3000; i++) { /* some hundred fall on another's */
        char name[16];
        AUTO_CHARS char *host = xasprintf("'h%u.test'", i);
        snprintf(name, sizeof(name), "e%u", i);
        put(t, name, host, STATIC, "");
        AUTO_CHARS char *text = want(t, name);
        const char *value = strstr(text, "240.240.");
        assert_non_null(value);
        assert_null(map_put_cstr(&seen, value, t));
    }
    map_done(&seen);
    entry_addresses_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_gets_one),
        cmocka_unit_test(test_what_it_has_stays),
        cmocka_unit_test(test_each_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
