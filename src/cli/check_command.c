/* fairlead check: is this machine fit to run a lab and an agent? Each check has an id, says what it
 * found and what to do. It probes by doing (makes a namespace, sends a batch and takes it back),
 * never by versions; what it makes it removes. */
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/time.h"
#include "cli/cli.h"
#include "nl/nl_socket.h"

enum verdict {
    VERDICT_OK,
    VERDICT_WARN,
    VERDICT_FAIL,
};

struct check {
    const char *id;
    const char *category;
    const char *what;
    const char *hint;
    enum verdict (*run)(struct err *detail);
};

static enum verdict check_root(struct err *detail)
{
    if (geteuid() == 0)
        return VERDICT_OK;
    err_set(detail, -EPERM, NULL, "running as uid %u", geteuid());
    return VERDICT_FAIL;
}

static enum verdict check_kernel(struct err *detail)
{
    struct utsname u;
    int major = 0, minor = 0;
    if (uname(&u) == 0 && sscanf(u.release, "%d.%d", &major, &minor) == 2 &&
        (major > 5 || (major == 5 && minor >= 15)))
        return VERDICT_OK;
    err_set(detail, -ENOTSUP, NULL, "kernel %s is older than 5.15, the oldest that is tested",
            u.release);
    return VERDICT_WARN;
}

/* Runs fn in a child with namespaces of its own, so that nothing of it stays. */
static int in_namespace(int flags, int (*fn)(void), struct err *detail)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(flags) < 0 ? 100 + (errno & 31) : fn());
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return err_set(detail, -errno, NULL, "fork: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return err_set(detail, -ENOTSUP, NULL, "exit status %d",
                   WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static int nothing(void)
{
    return 0;
}

static enum verdict check_namespaces(struct err *detail)
{
    return in_namespace(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
                        nothing, detail) < 0
               ? VERDICT_FAIL
               : VERDICT_OK;
}

/* A table, in a namespace that ends with the child. */
static int add_table(void)
{
    AUTO(nl_socket) struct nl_socket *s = NULL;
    AUTO_DONE(buf) struct buf b = {0};
    struct nfgenmsg batch = {.nfgen_family = AF_UNSPEC,
                             .version = NFNETLINK_V0,
                             .res_id = __builtin_bswap16(NFNL_SUBSYS_NFTABLES)};
    struct nfgenmsg inet = {.nfgen_family = AF_INET, .version = NFNETLINK_V0};
    if (nl_socket_new(NETLINK_NETFILTER, &s, NULL) < 0)
        return 2;
    size_t m = nlmsg_begin(&b, NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, nl_socket_seq(s));
    nlmsg_fixed(&b, &batch, sizeof(batch));
    nlmsg_end(&b, m);
    uint32_t seq = nl_socket_seq(s);
    m = nlmsg_begin(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE,
                    NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK, seq);
    nlmsg_fixed(&b, &inet, sizeof(inet));
    nla_add_cstr(&b, NFTA_TABLE_NAME, "fairlead-check");
    nlmsg_end(&b, m);
    m = nlmsg_begin(&b, NFNL_MSG_BATCH_END, NLM_F_REQUEST, nl_socket_seq(s));
    nlmsg_fixed(&b, &batch, sizeof(batch));
    nlmsg_end(&b, m);
    return nl_transact(s, buf_str(&b), seq, NULL) < 0 ? 3 : 0;
}

static enum verdict check_nftables(struct err *detail)
{
    return in_namespace(CLONE_NEWNET, add_table, detail) < 0 ? VERDICT_FAIL : VERDICT_OK;
}

static enum verdict check_overlay(struct err *detail)
{
    char line[256];
    bool found = false;
    FILE *f = fopen("/proc/filesystems", "re");
    while (f && fgets(line, sizeof(line), f))
        found = found || strstr(line, "\toverlay\n");
    if (f)
        fclose(f);
    if (found)
        return VERDICT_OK;
    err_set(detail, -ENOTSUP, NULL, "/proc/filesystems does not name overlay");
    return VERDICT_FAIL;
}

static enum verdict check_ipv6(struct err *detail)
{
    if (access("/proc/sys/net/ipv6", F_OK) == 0)
        return VERDICT_OK;
    err_set(detail, -ENOTSUP, NULL, "no /proc/sys/net/ipv6");
    return VERDICT_WARN;
}

static enum verdict check_files(struct err *detail)
{
    long limit = sysconf(_SC_OPEN_MAX);
    if (limit >= 4096)
        return VERDICT_OK;
    err_set(detail, -EMFILE, NULL, "a process may open %ld files", limit);
    return VERDICT_WARN;
}

static const struct check checks[] = {
    {"FL-HOST-001", "host", "runs as root", "sudo fairlead check", check_root},
    {"FL-HOST-002", "host", "kernel is 5.15 or newer", "run a newer kernel, or expect surprises",
     check_kernel},
    {"FL-HOST-003", "host", "open files per process", "ulimit -n 20000", check_files},
    {"FL-KERN-001", "kernel", "network, mount, PID, IPC and UTS namespaces",
     "enable CONFIG_NAMESPACES and its parts; in a container, run it privileged", check_namespaces},
    {"FL-KERN-002", "kernel", "nf_tables", "modprobe nf_tables, or enable CONFIG_NF_TABLES",
     check_nftables},
    {"FL-KERN-003", "kernel", "overlay file system",
     "modprobe overlay, or enable CONFIG_OVERLAY_FS", check_overlay},
    {"FL-KERN-004", "kernel", "IPv6",
     "enable it for dual-stack Services; without it everything is IPv4", check_ipv6},
};

static json_t *result_json(const struct check *c, enum verdict v, const struct err *detail,
                           double ms)
{
    static const char *const words[] = {"ok", "warning", "error"};
    json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:f}", "id", c->id, "category", c->category,
                          "description", c->what, "result", words[v], "elapsedMs", ms);
    if (v != VERDICT_OK) {
        json_put_str(o, "error", err_text(detail));
        json_put_str(o, "hint", c->hint);
    }
    return o;
}

int cli_check(int argc, char **argv)
{
    const char *output = "table", *only = NULL;
    struct arg args[] = {
        {"output", 'o', ARG_STRING, &output, "FORM", "table or json", 0, 0, false},
        {"only", 0, ARG_STRING, &only, "CATEGORY", "host or kernel", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead check",
                              "is this machine fit for a lab and an agent",
                              "[flags]",
                              NULL,
                              args,
                              false};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    AUTO_JSON json_t *results = json_array();
    enum verdict worst = VERDICT_OK;
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    bool json = streq(output, "json");
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        static const char *const words[] = {"ok  ", "WARN", "FAIL"};
        struct err detail = {0};
        uint64_t began = time_mono_us();
        if (only && !streq(only, checks[i].category))
            continue;
        enum verdict v = checks[i].run(&detail);
        double ms = (double)(time_mono_us() - began) / 1000;
        worst = MAX(worst, v);
        json_array_append_new(results, result_json(&checks[i], v, &detail, ms));
        if (json)
            continue;
        printf("%s  %-11s  %-50s %6.1f ms\n", words[v], checks[i].id, checks[i].what, ms);
        if (v != VERDICT_OK)
            printf("      %s\n      hint: %s\n", err_text(&detail), checks[i].hint);
    }
    if (json) {
        AUTO_DONE(buf) struct buf b = {0};
        AUTO_JSON json_t *all =
            json_pack("{s:s,s:s,s:b,s:O}", "apiVersion", "fairlead.dev/v1", "kind", "CheckResult",
                      "success", worst != VERDICT_FAIL, "checks", results);
        json_write_indented(&b, all);
        printf(STR_FMT "\n", STR_ARG(buf_str(&b)));
    } else {
        printf("\n%s\n", worst == VERDICT_FAIL   ? "not fit: see above"
                         : worst == VERDICT_WARN ? "fit, with warnings"
                                                 : "fit");
    }
    return worst == VERDICT_FAIL ? EXIT_FINDINGS : EXIT_OK;
}
