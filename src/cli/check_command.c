/* fairlead check: is this machine fit to run a lab and an agent? Each check has an id, says what it
 * found and what to do. It probes by doing (makes a namespace, sends a batch and takes it back),
 * never by versions; what it makes it removes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/time.h"
#include "cli/bug_report.h"
#include "cli/cli.h"
#include "nl/kube_proxy_rules.h"
#include "nl/nft_features.h"
#include "nl/nl_socket.h"
#include "nl/rtnl.h"

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

enum { UNSHARE_FAILED = 128 }; /* + errno */

/* Runs fn (which returns an errno) in a child with namespaces of its own, so that nothing of it
 * stays. */
static int in_namespace(int flags, int (*fn)(void), struct err *detail)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(flags) < 0 ? UNSHARE_FAILED + (errno & 63) : fn());
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return err_set(detail, -errno, NULL, "fork: %s", strerror(errno));
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    if (WIFEXITED(status) && code == 0)
        return 0;
    return err_set(detail, -ENOTSUP, NULL, "%s%s", code >= UNSHARE_FAILED ? "unshare: " : "",
                   code >= UNSHARE_FAILED ? strerror(code - UNSHARE_FAILED)
                   : code                 ? strerror(code)
                                          : "the probe was killed");
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

/* A chain of type nat in a table, in a namespace that ends with the child: the parts of nf_tables
 * that Services need, translation included. */
static void add_message(struct buf *b, struct nl_socket *s, uint16_t type, uint16_t flags,
                        const void *head, uint32_t *ret_seq, void (*attributes)(struct buf *b))
{
    *ret_seq = nl_socket_seq(s);
    size_t m = nlmsg_begin(b, type, flags, *ret_seq);
    nlmsg_fixed(b, head, sizeof(struct nfgenmsg));
    if (attributes)
        attributes(b);
    nlmsg_end(b, m);
}

static void table_attributes(struct buf *b)
{
    nla_add_cstr(b, NFTA_TABLE_NAME, "fairlead-check");
}

static void chain_attributes(struct buf *b)
{
    nla_add_cstr(b, NFTA_CHAIN_TABLE, "fairlead-check");
    nla_add_cstr(b, NFTA_CHAIN_NAME, "c");
    size_t hook = nla_nest_begin(b, NFTA_CHAIN_HOOK);
    nla_add_be32(b, NFTA_HOOK_HOOKNUM, 0);
    nla_add_be32(b, NFTA_HOOK_PRIORITY, (uint32_t)-100);
    nla_nest_end(b, hook);
    nla_add_cstr(b, NFTA_CHAIN_TYPE, "nat");
}

static int add_table(void)
{
    enum { NEW = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK };
    AUTO(nl_socket) struct nl_socket *s = NULL;
    AUTO_DONE(buf) struct buf b = {0};
    const struct nfgenmsg batch = {.nfgen_family = AF_UNSPEC,
                                   .version = NFNETLINK_V0,
                                   .res_id = __builtin_bswap16(NFNL_SUBSYS_NFTABLES)};
    const struct nfgenmsg inet = {.nfgen_family = AF_INET, .version = NFNETLINK_V0};
    uint32_t seq, last;
    int r = nl_socket_new(NETLINK_NETFILTER, &s, NULL);
    if (r < 0)
        return -r;
    add_message(&b, s, NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, &batch, &seq, NULL);
    add_message(&b, s, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, NEW & ~NLM_F_ACK, &inet, &seq,
                table_attributes);
    add_message(&b, s, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NEW, &inet, &last,
                chain_attributes);
    add_message(&b, s, NFNL_MSG_BATCH_END, NLM_F_REQUEST, &batch, &seq, NULL);
    return -nl_transact(s, buf_str(&b), last, NULL, NULL);
}

static enum verdict check_nftables(struct err *detail)
{
    return in_namespace(CLONE_NEWNET, add_table, detail) < 0 ? VERDICT_FAIL : VERDICT_OK;
}

/* The parts one by one; the child's words come back in shared memory. */
static char *parts_text;
enum { PARTS_TEXT_BYTES = 4096 };

static int probe_parts(void)
{
    AUTO_DONE(buf) struct buf lacks = {0};
    struct err err = {0};
    int r = nft_features_missing_text(true, &lacks, &err);
    snprintf(parts_text, PARTS_TEXT_BYTES, "%s", r < 0 ? err_text(&err) : buf_cstr(&lacks));
    return r ? ENOTSUP : 0;
}

static enum verdict check_parts(struct err *detail)
{
    parts_text =
        mmap(NULL, PARTS_TEXT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (parts_text == MAP_FAILED) {
        err_set(detail, -errno, NULL, "mmap: %s", strerror(errno));
        return VERDICT_FAIL;
    }
    int r = in_namespace(CLONE_NEWNET, probe_parts, detail);
    if (r < 0 && parts_text[0])
        err_set(detail, r, NULL, "this kernel lacks: %s", parts_text);
    munmap(parts_text, PARTS_TEXT_BYTES);
    return r < 0 ? VERDICT_FAIL : VERDICT_OK;
}

static int add_links(void)
{
    AUTO(nl_socket) struct nl_socket *s = NULL;
    struct err err = {0};
    AUTO_FD int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int r = nl_socket_new(NETLINK_ROUTE, &s, &err);
    if (r == 0)
        r = rtnl_bridge_add(s, "check0", &err);
    if (r == 0)
        r = rtnl_veth_add(s, "check1", "check2", here, &err);
    return -r;
}

static enum verdict check_links(struct err *detail)
{
    return in_namespace(CLONE_NEWNET, add_links, detail) < 0 ? VERDICT_FAIL : VERDICT_OK;
}

/* Beside ours they are harmless while their kube-proxy runs, and wrong soon after. */
static enum verdict check_kube_proxy(struct err *detail)
{
    AUTO_DONE(buf) struct buf found = {0};
    struct err err = {0};
    int r = kube_proxy_rules_find(&found, &err);
    if (r > 0)
        err_set(detail, -EEXIST, NULL, "a kube-proxy's Services are in this kernel: %s",
                buf_cstr(&found));
    else if (r < 0)
        err_set(detail, r, NULL, "cannot be told: %s", err_text(&err));
    return r ? VERDICT_WARN : VERDICT_OK;
}

/* The mount that a container begins with; a kernel of modules loads what it needs for it. */
static int mount_overlay(void)
{
    static const char *const directories[] = {"/tmp/upper", "/tmp/work", "/tmp/root"};
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/tmp", "tmpfs", 0, "size=64k") < 0)
        return errno;
    for (size_t i = 0; i < ARRAY_LEN(directories); i++)
        if (mkdir(directories[i], 0755) < 0)
            return errno;
    return mount("overlay", "/tmp/root", "overlay", MS_NODEV,
                 "lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work") < 0
               ? errno
               : 0;
}

static enum verdict check_overlay(struct err *detail)
{
    return in_namespace(CLONE_NEWNS, mount_overlay, detail) < 0 ? VERDICT_FAIL : VERDICT_OK;
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

/* Labs whose supervisor is gone: their namespaces stay until someone cleans up. */
static enum verdict check_leftovers(struct err *detail)
{
    const char *base = getenv("FAIRLEAD_STATE_DIR");
    AUTO_DONE(buf) struct buf names = {0};
    DIR *d = opendir("/run/netns");
    for (struct dirent *e; d && (e = readdir(d));) {
        struct str rest, lab;
        if (strncmp(e->d_name, "fl.", 3) != 0)
            continue;
        lab = str_cut(str_from(e->d_name + 3), '.', &rest);
        if (rest.p) /* a node or a pod: its lab is named by the shortest name */
            continue;
        AUTO_CHARS char *path = xasprintf(
            "%s/labs/" STR_FMT "/lock", str_empty(base) ? "/var/lib/fairlead" : base, STR_ARG(lab));
        AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0)
            buf_addf(&names, "%s" STR_FMT, names.n ? ", " : "", STR_ARG(lab));
    }
    if (d)
        closedir(d);
    if (!names.n)
        return VERDICT_OK;
    err_set(detail, -EEXIST, NULL, "left by labs that do not run: %s", buf_cstr(&names));
    return VERDICT_WARN;
}

static const struct check checks[] = {
    {"FL-HOST-001", "host", "runs as root", "sudo fairlead check", check_root},
    {"FL-HOST-002", "host", "kernel is 5.15 or newer", "run a newer kernel, or expect surprises",
     check_kernel},
    {"FL-HOST-003", "host", "open files per process", "ulimit -n 20000", check_files},
    {"FL-HOST-004", "host", "no Services of a kube-proxy",
     "where it runs and an agent is to take its place, or is about to: docs/install.md, moving in "
     "and out; where it has ended: kube-proxy --cleanup",
     check_kube_proxy},
    {"FL-KERN-001", "kernel", "network, mount, PID, IPC and UTS namespaces",
     "enable CONFIG_NAMESPACES and its parts; in a container, run it privileged", check_namespaces},
    {"FL-KERN-002", "kernel", "nf_tables", "modprobe nf_tables, or enable CONFIG_NF_TABLES",
     check_nftables},
    {"FL-KERN-003", "kernel", "overlay file system",
     "modprobe overlay, or enable CONFIG_OVERLAY_FS", check_overlay},
    {"FL-KERN-004", "kernel", "IPv6",
     "enable it for dual-stack Services; without it everything is IPv4", check_ipv6},
    {"FL-KERN-005", "kernel", "veth pairs and bridges",
     "modprobe veth bridge, or enable CONFIG_VETH and CONFIG_BRIDGE", check_links},
    {"FL-KERN-006", "kernel", "parts of nf_tables that Services and the mesh use",
     "load their modules, enable their options, or run a newer kernel", check_parts},
    {"FL-LAB-001", "lab", "no leftovers of labs", "fairlead lab down --name NAME", check_leftovers},
};

/* docs/check.md has a heading per id; its anchor is the id in lower case. */
static char *docs_anchor(const struct check *c)
{
    char *text = xasprintf("docs/check.md#%s", c->id);
    for (char *p = strchr(text, '#'); *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    return text;
}

static json_t *result_json(const struct check *c, enum verdict v, const struct err *detail,
                           double ms)
{
    static const char *const words[] = {"ok", "warning", "error"};
    AUTO_CHARS char *docs = docs_anchor(c);
    json_t *o =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:f}", "id", c->id, "category", c->category, "description",
                  c->what, "result", words[v], "docs", docs, "elapsedMs", ms);
    if (v != VERDICT_OK) {
        json_put_str(o, "error", err_text(detail));
        json_put_str(o, "hint", c->hint);
    }
    return o;
}

static void print_result(const struct check *c, enum verdict v, const struct err *detail, double ms)
{
    static const char *const words[] = {"ok  ", "WARN", "FAIL"};
    AUTO_CHARS char *docs = docs_anchor(c);
    printf("%s  %-11s  %-50s %6.1f ms\n", words[v], c->id, c->what, ms);
    if (v != VERDICT_OK)
        printf("      %s\n      hint: %s\n      docs: %s\n", err_text(detail), c->hint, docs);
}

/* Is the check's id or category among them? */
static bool is_named(const struct arg_list *names, const struct check *c)
{
    for (size_t i = 0; i < names->n; i++)
        if (streq(names->v[i], c->id) || streq(names->v[i], c->category))
            return true;
    return false;
}

static int check_names(const char *flag, const struct arg_list *names)
{
    const char *known[2 * ARRAY_LEN(checks)];
    for (size_t k = 0; k < ARRAY_LEN(checks); k++) {
        known[2 * k] = checks[k].category;
        known[2 * k + 1] = checks[k].id;
    }
    for (size_t i = 0; i < names->n; i++) {
        bool found = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            found = found || streq(names->v[i], known[k]);
        const char *near = args_nearest(names->v[i], known, ARRAY_LEN(known));
        AUTO_CHARS char *hint = near ? xasprintf("did you mean: --%s %s", flag, near)
                                     : xstrdup("host, kernel, lab, or an id such as FL-KERN-002");
        if (!found)
            return program_fail(EXIT_USAGE_ERROR, hint,
                                "--%s: \"%s\" is no category and no id of a check", flag,
                                names->v[i]);
    }
    return -1;
}

static json_t *whole_result(enum verdict worst, json_t *results)
{
    return json_pack("{s:s,s:s,s:b,s:O}", "apiVersion", "fairlead.dev/v1", "kind", "CheckResult",
                     "success", worst != VERDICT_FAIL, "checks", results);
}

static void print_json(enum verdict worst, json_t *results)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *all = whole_result(worst, results);
    json_write_indented(&b, all);
    printf(STR_FMT "\n", STR_ARG(buf_str(&b)));
}

static enum verdict run_checks(const struct arg_list *only, const struct arg_list *skip, bool json,
                               json_t *results)
{
    enum verdict worst = VERDICT_OK;
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        struct err detail = {0};
        uint64_t began = time_mono_us();
        if ((only->n && !is_named(only, &checks[i])) || is_named(skip, &checks[i]))
            continue;
        enum verdict v = checks[i].run(&detail);
        double ms = (double)(time_mono_us() - began) / 1000;
        worst = MAX(worst, v);
        json_array_append_new(results, result_json(&checks[i], v, &detail, ms));
        if (!json)
            print_result(&checks[i], v, &detail, ms);
    }
    return worst;
}

json_t *cli_check_all(void)
{
    static const struct arg_list none;
    AUTO_JSON json_t *results = json_array();
    enum verdict worst = run_checks(&none, &none, true, results);
    return whole_result(worst, results);
}

int cli_check(int argc, char **argv)
{
    const char *output = "table", *threshold = "error";
    AUTO_DONE(arg_list) struct arg_list only = {0};
    AUTO_DONE(arg_list) struct arg_list skip = {0};
    struct arg args[] = {
        {"output", 'o', ARG_STRING, &output, "FORM", "table or json", 0, 0, false},
        {"only", 0, ARG_STRINGS, &only, "WHAT", "a category (host, kernel, lab) or an id (repeat)",
         0, 0, false},
        {"skip", 0, ARG_STRINGS, &skip, "WHAT", "leave a category or an id out (repeat)", 0, 0,
         false},
        {"failure-threshold", 0, ARG_STRING, &threshold, "LEVEL",
         "warning or error: what exit code 2 begins at (default error)", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead check",
                              "is this machine fit for a lab and an agent",
                              "[flags]",
                              "  fairlead check\n  fairlead check --only kernel -o json\n"
                              "  fairlead check --skip FL-KERN-004\n",
                              args,
                              false};
    AUTO_JSON json_t *results = json_array();
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code < 0)
        code = check_names("only", &only);
    if (code < 0)
        code = check_names("skip", &skip);
    if (code >= 0)
        return code;
    bool json = streq(output, "json"), strict = streq(threshold, "warning");
    if (!json && !streq(output, "table"))
        return program_fail(EXIT_USAGE_ERROR, "fairlead check --help",
                            "--output: \"%s\" is neither table nor json", output);
    if (!strict && !streq(threshold, "error"))
        return program_fail(EXIT_USAGE_ERROR, "fairlead check --help",
                            "--failure-threshold: \"%s\" is neither warning nor error", threshold);
    enum verdict worst = run_checks(&only, &skip, json, results);
    if (json)
        print_json(worst, results);
    else
        printf("\n%s\n", worst == VERDICT_FAIL   ? "not fit: see above"
                         : worst == VERDICT_WARN ? "fit, with warnings"
                                                 : "fit");
    return worst >= (strict ? VERDICT_WARN : VERDICT_FAIL) ? EXIT_FINDINGS : EXIT_OK;
}
