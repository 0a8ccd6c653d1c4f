/* Row 40: against a tree of files that stands for /proc and /sys. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/conntrack_settings.h"
#include "test.h"

#define HEAD "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

static char root[64];

static char *path_of(const char *name)
{
    return xasprintf("%s/%s%s", root,
                     streq(name, "hashsize") ? "sys/module/nf_conntrack/parameters/"
                                             : "proc/sys/net/netfilter/nf_conntrack_",
                     name);
}

static void put(const char *name, const char *text)
{
    AUTO_CHARS char *path = path_of(name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static long got(const char *name)
{
    AUTO_CHARS char *path = path_of(name);
    long v = -1;
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld", &v), 1);
    fclose(f);
    return v;
}

static int up(void **state)
{
    static const char *const dirs[] = {"",
                                       "/proc",
                                       "/proc/sys",
                                       "/proc/sys/net",
                                       "/proc/sys/net/netfilter",
                                       "/sys",
                                       "/sys/module",
                                       "/sys/module/nf_conntrack",
                                       "/sys/module/nf_conntrack/parameters"};
    (void)state;
    strcpy(root, "/tmp/fairlead-conntrack-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    for (size_t i = 1; i < ARRAY_LEN(dirs); i++) {
        AUTO_CHARS char *dir = xasprintf("%s%s", root, dirs[i]);
        if (mkdir(dir, 0755) < 0)
            return -1;
    }
    put("max", "65536\n");
    put("hashsize", "16384\n");
    put("tcp_timeout_established", "432000\n");
    put("tcp_timeout_close_wait", "60\n");
    put("tcp_be_liberal", "0\n");
    put("udp_timeout", "30\n");
    put("udp_timeout_stream", "120\n");
    return 0;
}

static int down(void **state)
{
    (void)state;
    AUTO_CHARS char *command = xasprintf("rm -r %s", root);
    return system(command);
}

static unsigned apply(const char *yaml, unsigned cpus)
{
    struct proxy_config c;
    AUTO_CHARS char *text = xasprintf(HEAD "%s\n", yaml);
    proxy_config_init(&c, "");
    assert_ok(proxy_config_read(&c, str_from(text), NULL));
    assert_ok(proxy_config_check(&c));
    unsigned failed = conntrack_settings_apply(&c, root, cpus);
    proxy_config_done(&c);
    return failed;
}

static void test_row_40_defaults(void **state)
{
    (void)state;
    assert_int_equal(apply("", 2), 0); /* the floor */
    assert_int_equal(got("max"), 131072);
    assert_int_equal(got("hashsize"), 131072 / 4);
    assert_int_equal(got("tcp_timeout_established"), 86400);
    assert_int_equal(got("tcp_timeout_close_wait"), 3600);
    assert_int_equal(got("tcp_be_liberal"), 0);
    assert_int_equal(got("udp_timeout"), 30);
    assert_int_equal(got("udp_timeout_stream"), 120);
    assert_int_equal(apply("", 8), 0);
    assert_int_equal(got("max"), 8 * 32768);
    assert_int_equal(apply("", 1), 0); /* never lowered */
    assert_int_equal(got("max"), 8 * 32768);
    assert_int_equal(apply("", 100), 0); /* capped */
    assert_int_equal(got("max"), 1048576);
    assert_int_equal(got("hashsize"), 1048576 / 4);
}

static void test_row_40_what_is_asked_for(void **state)
{
    (void)state;
    assert_int_equal(apply("conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, "
                           "tcpCloseWaitTimeout: 1m30s, tcpBeLiberal: true, udpTimeout: 45s, "
                           "udpStreamTimeout: 4m}",
                           64),
                     0);
    assert_int_equal(got("max"), 65536);
    assert_int_equal(got("hashsize"), 16384);
    assert_int_equal(got("tcp_timeout_established"), 432000);
    assert_int_equal(got("tcp_timeout_close_wait"), 90);
    assert_int_equal(got("tcp_be_liberal"), 1);
    assert_int_equal(got("udp_timeout"), 45);
    assert_int_equal(got("udp_timeout_stream"), 240);
    assert_int_equal(apply("", 1), 0); /* once liberal it stays: as kube-proxy's */
    assert_int_equal(got("tcp_be_liberal"), 1);
}

/* What is not there, and what may not be written, does not keep the rest from being set; the hash
 * size is not touched where the maximum is not ours. */
static void test_row_40_what_cannot_be_set(void **state)
{
    (void)state;
    AUTO_CHARS char *max = path_of("max"), *established = path_of("tcp_timeout_established");
    assert_int_equal(unlink(max), 0);
    assert_int_equal(unlink(established), 0);
    assert_int_equal(mkdir(established, 0755), 0); /* cannot be written by anybody */
    assert_int_equal(apply("", 2), 2);
    assert_int_equal(got("hashsize"), 16384);
    assert_int_equal(got("tcp_timeout_close_wait"), 3600);
    assert_int_equal(rmdir(established), 0);
    put("tcp_timeout_established", "1\n");
    put("max", "9999999\n"); /* enough; of a namespace that may not write it, say */
    put("hashsize", "16384\n");
    assert_int_equal(apply("", 2), 0);
    assert_int_equal(got("max"), 9999999);
    assert_int_equal(got("hashsize"), 32768);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_row_40_defaults, up, down),
        cmocka_unit_test_setup_teardown(test_row_40_what_is_asked_for, up, down),
        cmocka_unit_test_setup_teardown(test_row_40_what_cannot_be_set, up, down),
    };
    return RUN_TESTS(tests);
}
