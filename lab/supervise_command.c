/* fairlead-labd supervise: builds the fabric and keeps the lab's processes running.
 *
 * Owns the lock of the state directory (whoever holds it is the lab), the namespaces while it runs,
 * and one child per daemon: the API server in the fabric's namespace, the controllers beside it,
 * and a node and an agent in each node's namespace. Children die with it (PR_SET_PDEATHSIG); one
 * that ends is started again with back-off. On SIGTERM: nodes first, then the rest; the namespaces
 * are removed by `down` or by the next start. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/program.h"
#include "base/time.h"
#include "lab/certificates.h"
#include "lab/command.h"
#include "lab/lab_record.h"
#include "net/conn.h"
#include "nl/netns.h"

enum {
    RESTART_MIN_MS = 100,
    RESTART_MAX_MS = 5000,
    STABLE_MS = 10000,
    API_POLL_MS = 3,
    STOP_TIMEOUT_MS = 3000,
};

struct supervisor;

struct child {
    struct supervisor *supervisor;
    char *name;  /* of the log file and in messages */
    char *netns; /* where it lives */
    char *program;
    VEC(char *) argv;
    pid_t pid; /* 0 = not running */
    uint64_t started_ms;
    uint64_t backoff_ms;
    struct loop_timer *timer;
    bool is_node;
};

struct supervisor {
    struct loop *loop;
    struct state_dir dir;
    struct lab_record record;
    VEC(struct child *) children;
    struct loop_timer *api_poll;
    struct loop_timer *stop_timer;
    size_t started; /* children before this one are started */
    bool stopping;
};

/* ---- children ---- */

static void child_start(void *user);

/* In the child, between fork and exec: async-signal-safe calls only but for error text. */
static void child_exec(const struct child *c, int log_fd, int netns_fd)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == 1)
        _exit(1); /* the supervisor died in between */
    if (netns_fd >= 0 && setns(netns_fd, 0) < 0)
        _exit(126);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
        _exit(126);
    execv(c->program, c->argv.v);
    dprintf(2, "exec %s: %s\n", c->program, strerror(errno));
    _exit(127);
}

static void supervisor_check_stopped(struct supervisor *s)
{
    if (!s->stopping)
        return;
    bool nodes_left = false, any_left = false;
    VEC_FOREACH (c, &s->children) {
        any_left = any_left || (*c)->pid;
        nodes_left = nodes_left || ((*c)->pid && (*c)->is_node);
    }
    if (!any_left)
        loop_stop(s->loop, 0);
    else if (!nodes_left)
        VEC_FOREACH (c, &s->children)
            if ((*c)->pid)
                kill((*c)->pid, SIGTERM);
}

static void on_child_exit(pid_t pid, int status, void *user)
{
    struct child *c = user;
    struct supervisor *s = c->supervisor;
    bool stable = time_mono_ms() - c->started_ms > STABLE_MS;
    (void)pid;
    c->pid = 0;
    if (s->stopping) {
        supervisor_check_stopped(s);
        return;
    }
    c->backoff_ms = stable || !c->backoff_ms ? RESTART_MIN_MS
                                             : MIN(c->backoff_ms * 2, (uint64_t)RESTART_MAX_MS);
    log_warn("process ended, starting it again", kv_s("process", c->name),
             kv_i("status", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status)),
             kv_i("after_ms", (int64_t)c->backoff_ms));
    loop_timer_start(c->timer, c->backoff_ms);
}

static void child_start(void *user)
{
    struct child *c = user;
    struct supervisor *s = c->supervisor;
    AUTO_CHARS char *log_name = xasprintf("%s/logs/%s.log", s->dir.path, c->name);
    struct err err = {0};
    AUTO_FD int log_fd = open(log_name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    AUTO_FD int netns_fd = netns_open(c->netns, &err);
    if (log_fd < 0 || netns_fd < 0) {
        log_error("cannot start", kv_s("process", c->name),
                  kv_s("err", log_fd < 0 ? strerror(errno) : err_text(&err)));
        loop_timer_start(c->timer, RESTART_MAX_MS);
        return;
    }
    c->started_ms = time_mono_ms();
    c->pid = fork();
    if (c->pid == 0)
        child_exec(c, log_fd, netns_fd);
    if (c->pid < 0 || loop_child_add(s->loop, c->pid, on_child_exit, c) < 0) {
        log_error("cannot fork", kv_s("process", c->name), kv_s("err", strerror(errno)));
        c->pid = 0;
        loop_timer_start(c->timer, RESTART_MAX_MS);
    }
}

static struct child *child_new(struct supervisor *s, const char *name, const char *netns,
                               const char *program)
{
    struct child *c = NEW(struct child);
    c->supervisor = s;
    c->name = xstrdup(name);
    c->netns = xstrdup(netns);
    c->program = xstrdup(program);
    c->timer = loop_timer_new(s->loop, child_start, c);
    vec_push(&s->children, c);
    return c;
}

static void child_arg(struct child *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void child_arg(struct child *c, const char *fmt, ...)
{
    AUTO_DONE(buf) struct buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&b, fmt, ap);
    va_end(ap);
    vec_push(&c->argv, buf_take_cstr(&b));
}

static void child_free(struct child *c)
{
    free(c->name);
    free(c->netns);
    free(c->program);
    VEC_FOREACH (a, &c->argv)
        free(*a);
    vec_done(&c->argv);
    loop_timer_free(c->timer);
    free(c);
}

/* ---- the table of processes ---- */

static const char *own_program(const char *name, char ret[512])
{
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (!name || !slash)
        snprintf(ret, 512, "%s", self);
    else
        snprintf(ret, 512, "%.*s/%s", (int)(slash - self), self, name);
    return ret;
}

static const char *ip_text(const struct supervisor *s, enum fabric_role role, unsigned index,
                           int family, char ret[IP_TEXT_BYTES])
{
    struct ip ip = fabric_ip(&s->record.plan, role, index, family);
    return ip_format(&ip, ret);
}

static void add_apiserver(struct supervisor *s)
{
    char netns[FABRIC_NAME_BYTES], self[512], ip[IP_TEXT_BYTES];
    struct child *c =
        child_new(s, "apiserver", fabric_netns(s->record.name, netns), own_program(NULL, self));
    const char *dir = s->dir.path;
    child_arg(c, "fairlead-labd");
    child_arg(c, "apiserver");
    child_arg(c, "--bind-address=%s", ip_text(s, FABRIC_API, 0, AF_INET, ip));
    child_arg(c, "--port=%d", LAB_API_PORT);
    if (s->record.ephemeral)
        child_arg(c, "--ephemeral");
    else
        child_arg(c, "--data-dir=%s", dir);
    child_arg(c, "--tls-cert-file=%s/pki/apiserver.crt", dir);
    child_arg(c, "--tls-private-key-file=%s/pki/apiserver.key", dir);
    child_arg(c, "--client-ca-file=%s/pki/ca.crt", dir);
    child_arg(c, "--token-file=%s/pki/tokens", dir);
    child_arg(c, "--service-account-key-file=%s/pki/sa.key", dir);
    child_arg(c, "--kubelet-client-certificate=%s/pki/kubelet-client.crt", dir);
    child_arg(c, "--kubelet-client-key=%s/pki/kubelet-client.key", dir);
    child_arg(c, "--service-cluster-ip-range=%s", s->record.service_cidrs);
    child_arg(c, "--service-node-port-range=%s", s->record.node_ports);
    vec_push(&c->argv, NULL);
}

static void add_controllers(struct supervisor *s)
{
    char netns[FABRIC_NAME_BYTES], self[512], first[IP_TEXT_BYTES], last[IP_TEXT_BYTES];
    struct child *c =
        child_new(s, "controllers", fabric_netns(s->record.name, netns), own_program(NULL, self));
    child_arg(c, "fairlead-labd");
    child_arg(c, "controllers");
    child_arg(c, "--kubeconfig=%s/controllers.kubeconfig", s->dir.path);
    child_arg(c, "--load-balancer-pool=%s-%s", ip_text(s, FABRIC_POOL_START, 0, AF_INET, first),
              ip_text(s, FABRIC_POOL_END, 0, AF_INET, last));
    if (s->record.plan.v6.ip.family)
        child_arg(c, "--load-balancer-pool-v6=%s-%s",
                  ip_text(s, FABRIC_POOL_START, 0, AF_INET6, first),
                  ip_text(s, FABRIC_POOL_END, 0, AF_INET6, last));
    vec_push(&c->argv, NULL);
}

static void add_both(const struct supervisor *s, struct child *c, const char *flag,
                     enum fabric_role role, unsigned index)
{
    char v4[IP_TEXT_BYTES], v6[IP_TEXT_BYTES];
    ip_text(s, role, index, AF_INET6, v6);
    child_arg(c, "--%s=%s%s%s", flag, ip_text(s, role, index, AF_INET, v4), *v6 ? "," : "", v6);
}

static void add_node(struct supervisor *s, unsigned index)
{
    char netns[FABRIC_NAME_BYTES], self[512], v4[PREFIX_TEXT_BYTES], v6[PREFIX_TEXT_BYTES],
        ip[IP_TEXT_BYTES];
    const struct lab_node *n = &s->record.nodes.v[index];
    struct prefix pods_v4 = fabric_pod_cidr(index, AF_INET),
                  pods_v6 = fabric_pod_cidr(index, AF_INET6);
    struct child *c = child_new(s, n->name, fabric_node_netns(s->record.name, n->name, netns),
                                own_program(NULL, self));
    struct prefix services;
    struct ip dns = {0};
    c->is_node = true;
    child_arg(c, "fairlead-labd");
    child_arg(c, "node");
    child_arg(c, "--kubeconfig=%s/%s.kubeconfig", s->dir.path, n->name);
    child_arg(c, "--node-name=%s", n->name);
    child_arg(c, "--lab=%s", s->record.name);
    child_arg(c, "--state-dir=%s/nodes/%s", s->dir.path, n->name);
    child_arg(c, "--pod-cidr=%s%s%s", prefix_format(&pods_v4, v4),
              s->record.plan.v6.ip.family ? "," : "",
              s->record.plan.v6.ip.family ? prefix_format(&pods_v6, v6) : "");
    add_both(s, c, "internal-ip", FABRIC_INTERNAL, index);
    add_both(s, c, "external-ip", FABRIC_EXTERNAL, index);
    add_both(s, c, "reserved-ip", FABRIC_API, 0);
    add_both(s, c, "reserved-ip", FABRIC_HOST, 0);
    if (*n->labels)
        child_arg(c, "--labels=%s", n->labels);
    VEC_FOREACH (image, &s->record.images)
        child_arg(c, "--image=%s", *image);
    child_arg(c, "--image-dir=%s", s->dir.path);
    struct str v6_cidr;
    if (prefix_parse(str_cut(str_from(s->record.service_cidrs), ',', &v6_cidr), &services) == 0 &&
        prefix_nth(&services, 10, &dns) == 0)
        child_arg(c, "--cluster-dns=%s", ip_format(&dns, ip));
    child_arg(c, "--kubelet-cert=%s/pki/%s.crt", s->dir.path, n->name);
    child_arg(c, "--kubelet-key=%s/pki/%s.key", s->dir.path, n->name);
    child_arg(c, "--client-ca=%s/pki/ca.crt", s->dir.path);
    vec_push(&c->argv, NULL);
}

static void add_agent(struct supervisor *s, unsigned index)
{
    char netns[FABRIC_NAME_BYTES], agent[512], v4[PREFIX_TEXT_BYTES], v6[PREFIX_TEXT_BYTES];
    const char *node = s->record.nodes.v[index].name;
    AUTO_CHARS char *name = xasprintf("%s-agent", node);
    struct child *c = child_new(s, name, fabric_node_netns(s->record.name, node, netns),
                                own_program("fairlead-agent", agent));
    struct prefix pods_v4 = fabric_cluster_cidr(AF_INET), pods_v6 = fabric_cluster_cidr(AF_INET6);
    child_arg(c, "fairlead-agent");
    child_arg(c, "--kubeconfig=%s/%s.kubeconfig", s->dir.path, node);
    child_arg(c, "--node-name=%s", node);
    child_arg(c, "--cluster-cidr=%s,%s", prefix_format(&pods_v4, v4), prefix_format(&pods_v6, v6));
    child_arg(c, "--external-ips");
    vec_push(&c->argv, NULL);
}

/* ---- start and stop ---- */

/* The API server first: everything else would only wait for it with its own back-off. */
static void on_api_poll(void *user)
{
    struct supervisor *s = user;
    struct ip ip = fabric_ip(&s->record.plan, FABRIC_API, 0, AF_INET);
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(&ip, LAB_API_PORT, &sa);
    AUTO_FD int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, len) < 0) {
        loop_timer_start(s->api_poll, API_POLL_MS);
        return;
    }
    for (; s->started < s->children.n; s->started++)
        child_start(s->children.v[s->started]);
}

static void on_stop_timeout(void *user)
{
    struct supervisor *s = user;
    VEC_FOREACH (c, &s->children)
        if ((*c)->pid)
            kill((*c)->pid, SIGKILL);
    loop_stop(s->loop, 0);
}

static void on_stop(int signo, void *user)
{
    struct supervisor *s = user;
    (void)signo;
    if (s->stopping)
        return;
    s->stopping = true;
    log_info("stopping");
    loop_timer_stop(s->api_poll);
    VEC_FOREACH (c, &s->children) {
        loop_timer_stop((*c)->timer);
        if ((*c)->pid && (*c)->is_node)
            kill((*c)->pid, SIGTERM);
    }
    loop_timer_start(s->stop_timer, STOP_TIMEOUT_MS);
    supervisor_check_stopped(s);
}

static int build(struct supervisor *s, struct err *reterr)
{
    struct ip ips[4];
    char api[IP_TEXT_BYTES];
    AUTO_CHARS char *server =
        xasprintf("https://%s:%d", ip_text(s, FABRIC_API, 0, AF_INET, api), LAB_API_PORT);
    struct prefix services;
    struct str rest;
    size_t n = 0;
    ips[n++] = fabric_ip(&s->record.plan, FABRIC_API, 0, AF_INET);
    if (s->record.plan.v6.ip.family)
        ips[n++] = fabric_ip(&s->record.plan, FABRIC_API, 0, AF_INET6);
    if (prefix_parse(str_cut(str_from(s->record.service_cidrs), ',', &rest), &services) < 0 ||
        prefix_nth(&services, 1, &ips[n++]) < 0)
        return err_set(reterr, -EINVAL, NULL, "service range %s cannot be used",
                       s->record.service_cidrs);
    struct certificates_options o = {
        .lab = s->record.name, .server = server, .api_ips = ips, .n_api_ips = n};
    int r = certificates_make(&s->dir, &o, reterr);
    for (unsigned i = 0; r == 0 && i < s->record.nodes.n; i++) {
        struct ip node_ips[2] = {fabric_ip(&s->record.plan, FABRIC_INTERNAL, i, AF_INET),
                                 fabric_ip(&s->record.plan, FABRIC_INTERNAL, i, AF_INET6)};
        r = certificates_make_node(&s->dir, &o, s->record.nodes.v[i].name, node_ips,
                                   node_ips[1].family ? 2 : 1, reterr);
    }
    if (r == 0)
        r = fabric_down(s->record.name, NULL, reterr); /* what a killed run left */
    if (r == 0)
        r = fabric_up(&s->record.plan, reterr);
    for (unsigned i = 0; r == 0 && i < s->record.nodes.n; i++)
        r = fabric_node_up(&s->record.plan, i, s->record.nodes.v[i].name, reterr);
    return r;
}

static void start(struct supervisor *s)
{
    add_apiserver(s);
    add_controllers(s);
    for (unsigned i = 0; i < s->record.nodes.n; i++) {
        add_node(s, i);
        add_agent(s, i);
    }
    child_start(s->children.v[0]);
    s->started = 1;
    loop_timer_start(s->api_poll, API_POLL_MS);
}

static void supervisor_done(struct supervisor *s)
{
    VEC_FOREACH (c, &s->children)
        child_free(*c);
    vec_done(&s->children);
    loop_timer_free(s->api_poll);
    loop_timer_free(s->stop_timer);
    lab_record_done(&s->record);
    state_dir_done(&s->dir);
    loop_free(s->loop);
}

int supervise_command(int argc, char **argv)
{
    const char *name = NULL;
    struct arg args[] = {
        {"name", 0, ARG_STRING, &name, "NAME", "the lab", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead-labd supervise",
                              "runs the processes of a lab (started by lab up)",
                              "--name NAME",
                              NULL,
                              args,
                              false};
    struct err err = {0};
    struct supervisor s = {.dir.lock_fd = -1};
    int holder, code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    if (!name)
        return program_fail(EXIT_USAGE_ERROR, NULL, "--name is required");
    state_dir_of(name, &s.dir);
    if (state_dir_lock(&s.dir, &holder, &err) < 0 || lab_record_read(&s.dir, &s.record, &err) < 0 ||
        loop_new(&s.loop, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "lab %s: %s", name, err_text(&err));
    s.api_poll = loop_timer_new(s.loop, on_api_poll, &s);
    s.stop_timer = loop_timer_new(s.loop, on_stop_timeout, &s);
    loop_signal_add(s.loop, SIGTERM, on_stop, &s);
    loop_signal_add(s.loop, SIGINT, on_stop, &s);
    if (build(&s, &err) < 0) {
        log_error("cannot build the lab", kv_s("lab", name), kv_s("err", err_text(&err)));
        supervisor_done(&s);
        return EXIT_FAILED;
    }
    if (state_dir_write(&s.dir, LAB_BUILT_MARK, STR("built\n"), &err) < 0)
        log_warn("cannot write the mark", kv_s("err", err_text(&err)));
    log_info("lab is built", kv_s("lab", name), kv_i("nodes", (int64_t)s.record.nodes.n));
    start(&s);
    code = loop_run(s.loop);
    supervisor_done(&s);
    return code;
}
