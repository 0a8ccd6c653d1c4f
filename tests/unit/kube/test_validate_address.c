/* Addresses and prefixes as the API takes them: which sentence belongs to which spelling. */
#include "kube/validate.h"
#include "test.h"

struct row {
    const char *text;
    const char *words; /* NULL: nothing is wrong */
};

static void check(const struct row *rows, size_t n, const char *(*detail)(struct str))
{
    for (size_t i = 0; i < n; i++) {
        const char *got = detail(str_from(rows[i].text));
        if (!rows[i].words != !got || (got && !strstr(got, rows[i].words)))
            fail_msg("\"%s\": %s", rows[i].text, got ? got : "nothing is wrong");
    }
}

static void test_legacy_ip(void **state)
{
    static const struct row rows[] = {
        {"10.1.2.3", NULL},
        {"2001:DB8::1", NULL},
        {"2001:db8:0:0:0:0:0:1", NULL},
        {"010.1.2.3", "leading 0s"},
        {"10.1.2.00", "leading 0s"},
        {"::ffff:10.1.2.3", "IPv4-mapped"},
        {"", "valid IP"},
        {"10.1.2", "valid IP"},
        {"10.1.2.256", "valid IP"},
        {"fe80::1%eth0", "valid IP"},
        {"0000000000000000000000000000000000000000000000000000000010.1.2.3", "valid IP"},
    };
    (void)state;
    check(rows, ARRAY_LEN(rows), legacy_ip_detail);
}

static void test_strict_ip(void **state)
{
    static const struct row rows[] = {
        {"2001:db8::1", NULL},
        {"2001:DB8::1", "canonical"},
        {"2001:db8:0:0:0:0:0:1", "canonical"},
        {"::ffff:10.1.2.3", "IPv4-mapped"},
        {"x", "valid IP"},
    };
    (void)state;
    check(rows, ARRAY_LEN(rows), strict_ip_detail);
}

static void test_prefix(void **state)
{
    static const struct row rows[] = {
        {"10.0.0.0/8", NULL},
        {"0.0.0.0/0", NULL},
        {"2001:db8::/32", NULL},
        {"10.0.0.1/8", "bits set"},
        {"2001:db8::1/32", "bits set"},
        {"10.0.0.0/08", "leading 0s"},
        {"010.0.0.0/8", "leading 0s"},
        {"2001:db8::/032", "leading 0s"},
        {"::ffff:10.0.0.0/104", "IPv4-mapped"},
        {"10.0.0.0/33", "valid CIDR"},
        {"10.0.0.0", "valid CIDR"},
        {"10.0.0.0/", "valid CIDR"},
        {"", "valid CIDR"},
        {"all/8", "valid CIDR"},
    };
    (void)state;
    check(rows, ARRAY_LEN(rows), legacy_prefix_detail);
}

static void test_endpoint(void **state)
{
    static const struct row rows[] = {
        {"10.1.2.3", NULL},
        {"224.0.1.1", NULL},
        {"0.0.0.0", "unspecified"},
        {"::", "unspecified"},
        {"127.1.2.3", "loopback"},
        {"::1", "loopback"},
        {"169.254.1.1", "link-local"},
        {"fe80::1", "link-local"},
        {"224.0.0.9", "multicast"},
        {"ff02::1", "multicast"},
        {"", "valid IP"},
    };
    (void)state;
    check(rows, ARRAY_LEN(rows), endpoint_ip_detail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_legacy_ip),
        cmocka_unit_test(test_strict_ip),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
