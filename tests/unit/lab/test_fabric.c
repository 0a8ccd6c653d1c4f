/* The lab's network: address plan, names, and (as root) namespaces going up and down. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/fabric.h"
#include "nl/netns.h"
#include "test.h"

static void test_names(void **state)
{
    (void)state;
    char link[FABRIC_LINK_BYTES], name[FABRIC_NAME_BYTES];
    assert_string_equal(fabric_host_link("demo", link), "fl-demo");
    assert_string_equal(fabric_host_link("abcdefghijkl", link), "fl-abcdefghijkl");
    fabric_host_link("abcdefghijklm", link);
    assert_int_equal(strlen(link), 15);
    assert_string_equal(fabric_pod_netns("a", "n1", "default", "web-0", name),
                        "fl.a.n1.default.web-0");
    char pod[254];
    memset(pod, 'p', 253);
    pod[253] = 0;
    fabric_pod_netns("a", "n1", "default", pod, name);
    assert_int_equal(strlen(name), 255);
}

static void test_plan(void **state)
{
    (void)state;
    struct fabric_plan p, again, other;
    struct err err = {0};
    if (fabric_plan("test-plan", NULL, &p, &err) < 0)
        skip();
    assert_int_equal(fabric_plan("test-plan", NULL, &again, &err), 0);
    assert_int_equal(fabric_plan("test-plan-2", NULL, &other, &err), 0);
    assert_true(ip_eq(&p.v4.ip, &again.v4.ip));
    assert_false(ip_eq(&p.v4.ip, &other.v4.ip));
    assert_int_equal(p.v4.ip.bytes[0], 198);
    assert_true(p.v4.ip.bytes[1] == 18 || p.v4.ip.bytes[1] == 19);
    struct ip ip = fabric_ip(&p, FABRIC_EXTERNAL, 3, AF_INET);
    assert_int_equal(ip.bytes[3], 103);
    p.nodes = 2;
    AUTO_JSON json_t *j = fabric_plan_to_json(&p);
    assert_int_equal(fabric_plan_from_json(j, &again, &err), 0);
    assert_true(ip_eq(&p.v6.ip, &again.v6.ip) && again.nodes == 2);
    json_put_str(j, "v4", "1.2.3.4/33");
    assert_int_equal(fabric_plan_from_json(j, &again, &err), -EINVAL);
    assert_int_equal(fabric_plan("No_Label", NULL, &p, &err), -EINVAL);
    char text[PREFIX_TEXT_BYTES];
    struct prefix cidr = fabric_pod_cidr(17, AF_INET6);
    assert_string_equal(prefix_format(&cidr, text), "fd00:10:244:11::/64");
    cidr = fabric_pod_cidr(17, AF_INET);
    assert_string_equal(prefix_format(&cidr, text), "10.244.17.0/24");
}

static void test_up_down(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    char lab[32];
    snprintf(lab, sizeof(lab), "t%d", (int)getpid());
    struct fabric_plan p;
    struct err err = {0};
    assert_int_equal(fabric_plan(lab, NULL, &p, &err), 0);
    p.nodes = 2;
    if (fabric_up(&p, &err) < 0) {
        print_message("%s\n", err_text(&err));
        assert_int_equal(fabric_down(lab, NULL, NULL), 0);
        skip();
    }
    assert_int_equal(fabric_up(&p, &err), -EEXIST);
    int up = fabric_node_up(&p, 0, "n0", &err);
    if (up == 0)
        up = fabric_node_up(&p, 1, "n1", &err);
    char path[300], name[FABRIC_NAME_BYTES];
    snprintf(path, sizeof(path), NETNS_DIR "/%s", fabric_node_netns(lab, "n0", name));
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (netns_enter(path, &err) == 0)
            pause();
        _exit(1);
    }
    while (waitpid(child, NULL, WNOHANG) == 0) {
        char link[64];
        struct stat st;
        snprintf(link, sizeof(link), "/proc/%d/ns/net", (int)child);
        if (stat(link, &st) == 0 && st.st_ino == netns_inode(name))
            break;
    }
    struct fabric_removed removed = {0};
    int down = fabric_down(lab, &removed, &err);
    int status = 0;
    waitpid(child, &status, 0);
    assert_int_equal(up, 0);
    assert_int_equal(down, 0);
    assert_int_equal(removed.names.n, 4); /* three namespaces and the link */
    assert_int_equal(removed.processes, 1);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(access(path, F_OK), -1);
    fabric_removed_done(&removed);
    assert_int_equal(fabric_down(lab, NULL, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_up_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
