/* fairlead lab up: makes or starts a lab, waits until it is ready, says what it did and how to go
 * on.
 *
 * Writes the record, starts the supervisor in a session of its own, applies the system manifests
 * and the user's files through the API like any client, and waits for nodes and pods. What it
 * prints: one line per step with the time since the start. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/program.h"
#include "base/time.h"
#include "kube/client.h"
#include "kube/manifest.h"
#include "lab/command.h"
#include "lab/image.h"
#include "lab/lab_apply.h"
#include "lab/lab_record.h"
#include "lab/object_reading.h"

enum {
    NODES_DEFAULT = 2,
    POLL_MS = 5,
};

struct up_options {
    const char *name;
    int64_t nodes;
    struct arg_list files;
    struct arg_list images;
    struct arg_list labels; /* NODE:k=v,k=v */
    bool ephemeral;
    bool ingress;
    bool mesh; /* with what ingress has */
    bool cni;
    bool no_wait;
    uint64_t timeout_ms;
    const char *service_cidrs;
    const char *node_ports;
};

struct up {
    const struct up_options *o;
    struct state_dir dir;
    struct lab_record record;
    uint64_t began_ms;
    pid_t supervisor;
    struct loop *loop;
    struct kube_config *config;
    struct kube_client *client;
    json_t *objects;  /* of the user's files */
    const char *hint; /* what to do if the step under way fails; NULL = look at the logs */
};

static void say(const struct up *u, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct up *u, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    printf("%-58s %6llu ms\n", text, (unsigned long long)(time_mono_ms() - u->began_ms));
    fflush(stdout);
}

/* ---- the record ---- */

static const char *labels_for(const struct up_options *o, const char *node)
{
    for (size_t i = 0; i < o->labels.n; i++) {
        struct str labels, who = str_cut(str_from(o->labels.v[i]), ':', &labels);
        if (labels.p && str_is(who, node))
            return labels.p;
    }
    return "";
}

static void add_nodes(struct up *u)
{
    for (int64_t i = 1; i <= u->o->nodes; i++) {
        char name[32];
        snprintf(name, sizeof(name), "node-%lld", (long long)i);
        const char *labels = labels_for(u->o, name);
        char *text =
            *labels
                ? xstrdup(labels)
                : xasprintf("topology.kubernetes.io/region=lab,topology.kubernetes.io/zone=zone-%c",
                            (char)('a' + (i - 1) % 3));
        vec_push(&u->record.nodes, (struct lab_node){xstrdup(name), text});
    }
}

static int make_record(struct up *u, struct err *reterr)
{
    struct lab_record old = {0};
    bool have = lab_record_read(&u->dir, &old, NULL) == 0;
    u->record.name = xstrdup(u->o->name);
    u->record.ephemeral = u->o->ephemeral;
    u->record.service_cidrs = xstrdup(u->o->service_cidrs);
    u->record.node_ports = xstrdup(u->o->node_ports);
    for (size_t i = 0; i < u->o->images.n; i++)
        vec_push(&u->record.images, xstrdup(u->o->images.v[i]));
    add_nodes(u);
    int r = fabric_plan(u->o->name, have ? &old.plan : NULL, &u->record.plan, reterr);
    u->record.plan.nodes = (unsigned)u->o->nodes;
    lab_record_done(&old);
    return r < 0 ? r : lab_record_write(&u->dir, &u->record, reterr);
}

/* ---- the supervisor ---- */

static int spawn_supervisor(struct up *u, struct err *reterr)
{
    AUTO_CHARS char *log = state_dir_file(&u->dir, "logs/supervisor.log");
    AUTO_FD int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "%s: %s", log, strerror(errno));
    state_dir_done(&u->dir); /* the lock goes to the supervisor */
    state_dir_of(u->o->name, &u->dir);
    u->supervisor = fork();
    if (u->supervisor < 0)
        return err_set(reterr, -errno, NULL, "fork: %s", strerror(errno));
    if (u->supervisor > 0)
        return 0;
    setsid();
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || chdir("/") < 0)
        _exit(126);
    execl("/proc/self/exe", "fairlead-labd", "supervise", "--name", u->o->name, (char *)NULL);
    _exit(127);
}

/* Did the supervisor end before its time? Then its last log line says why. */
static int check_supervisor(struct up *u, struct err *reterr)
{
    AUTO_DONE(buf) struct buf log = {0};
    int status;
    if (waitpid(u->supervisor, &status, WNOHANG) != u->supervisor)
        return 0;
    IGNORE_RESULT(
        state_dir_read(&u->dir, "logs/supervisor.log", &log, NULL)); /* then nothing is quoted */
    struct str text = buf_str(&log);
    while (text.n && text.p[text.n - 1] == '\n')
        text.n--;
    const char *last = text.n ? memrchr(text.p, '\n', text.n) : NULL;
    if (last)
        text = str_of(last + 1, text.n - (size_t)(last + 1 - text.p));
    return err_set(reterr, -ECHILD, NULL, "the lab's supervisor ended: " STR_FMT, STR_ARG(text));
}

/* ---- waiting ---- */

static int wait_a_moment(struct up *u, struct err *reterr)
{
    if (time_mono_ms() - u->began_ms > u->o->timeout_ms)
        return err_set(reterr, -ETIMEDOUT, NULL, "not ready after %llu s",
                       (unsigned long long)u->o->timeout_ms / 1000);
    int r = check_supervisor(u, reterr);
    if (r < 0)
        return r;
    uint64_t until = time_mono_ms() + POLL_MS;
    do
        loop_turn(u->loop, POLL_MS);
    while (time_mono_ms() < until);
    return 0;
}

static int wait_for_api(struct up *u, struct err *reterr)
{
    AUTO_CHARS char *path = state_dir_file(&u->dir, "kubeconfig");
    AUTO_CHARS char *mark = state_dir_file(&u->dir, LAB_BUILT_MARK);
    int r = 0;
    while (r == 0 && (access(mark, R_OK) < 0 || access(path, R_OK) < 0 ||
                      kube_config_load(path, NULL, &u->config, NULL) < 0))
        r = wait_a_moment(u, reterr);
    if (r == 0)
        r = kube_client_new(u->loop, u->config, "fairlead-lab/" FAIRLEAD_VERSION, &u->client,
                            reterr);
    while (r == 0) {
        struct kube_reply reply;
        r = kube_call_wait(u->client, "GET", "/readyz", NULL, NULL, &reply, NULL);
        int status = reply.status;
        kube_reply_done(&reply);
        if (r == 0 && status == 200)
            return 0;
        r = wait_a_moment(u, reterr);
    }
    return r;
}

/* A pod that has done its work needs not be ready. */
static bool is_settled(const json_t *item)
{
    return streq(json_at_str(item, "status.phase"), "Succeeded") ||
           condition_is_true(item, "Ready");
}

static bool all_ready(const json_t *list, size_t least)
{
    json_t *item;
    size_t i, n = 0;
    json_array_foreach(json_at(list, "items"), i, item)
    {
        if (!is_settled(item))
            return false;
        n += !streq(json_at_str(item, "status.phase"), "Succeeded");
    }
    return n >= least;
}

/* The first container that says what it waits for, or how the pod is. */
static void tell_pod(const json_t *pod, struct err *reterr)
{
    static const char *const lists[] = {"status.initContainerStatuses", "status.containerStatuses"};
    const char *reason = NULL, *message = NULL, *phase = json_at_str(pod, "status.phase");
    const struct err before = *reterr;
    json_t *c;
    size_t i;
    for (size_t l = 0; l < ARRAY_LEN(lists) && !message; l++)
        json_array_foreach(json_at(pod, lists[l]), i, c)
        {
            if (message || !json_at_str(c, "state.waiting.reason"))
                continue;
            reason = json_at_str(c, "state.waiting.reason");
            message = json_at_str(c, "state.waiting.message");
        }
    (void)err_set(reterr, -ETIMEDOUT, NULL, "%s: pod %s/%s: %s%s%s", before.msg,
                  json_at_str(pod, "metadata.namespace"), json_at_str(pod, "metadata.name"),
                  reason  ? reason
                  : phase ? phase
                          : "Pending",
                  message ? ": " : "", message ? message : "");
}

/* Adds whom it was waited for. */
static void tell_unready(struct up *u, struct err *reterr)
{
    struct kube_reply reply = {0};
    json_t *pod;
    size_t i;
    if (u->client &&
        kube_call_wait(u->client, "GET", "/api/v1/pods", NULL, NULL, &reply, NULL) == 0)
        json_array_foreach(json_at(reply.object, "items"), i, pod)
        {
            if (is_settled(pod))
                continue;
            u->hint = "the lab is up; fairlead get events tells more, --no-wait does not wait";
            tell_pod(pod, reterr);
            break;
        }
    kube_reply_done(&reply);
}

/* Waits until everything at path is Ready; *ret_n is how many there are. */
static int wait_ready(struct up *u, const char *path, size_t least, size_t *ret_n,
                      struct err *reterr)
{
    int r = 0;
    while (r == 0) {
        struct kube_reply reply;
        r = kube_call_wait(u->client, "GET", path, NULL, NULL, &reply, reterr);
        bool ready = r == 0 && reply.status == 200 && all_ready(reply.object, least);
        *ret_n = json_array_size(json_at(reply.object, "items"));
        kube_reply_done(&reply);
        if (ready)
            return 0;
        if (r == 0)
            r = wait_a_moment(u, reterr);
    }
    return r;
}

/* Deployments of the user's files make pods a moment later: ready means every Deployment has what
 * it wants. */
static int wait_deployments(struct up *u, struct err *reterr)
{
    int r = 0;
    while (r == 0) {
        struct kube_reply reply;
        bool done = true;
        json_t *d;
        size_t i;
        r = kube_call_wait(u->client, "GET", "/apis/apps/v1/deployments", NULL, NULL, &reply,
                           reterr);
        json_array_foreach(json_at(reply.object, "items"), i, d) done =
            done &&
            json_at_int(d, "status.observedGeneration", 0) >=
                json_at_int(d, "metadata.generation", 1) &&
            json_at_int(d, "status.availableReplicas", 0) >= json_at_int(d, "spec.replicas", 1);
        kube_reply_done(&reply);
        if (r == 0 && done)
            return 0;
        if (r == 0)
            r = wait_a_moment(u, reterr);
    }
    return r;
}

/* Until pods can be created where they are to have proxies: the control plane is ready once the API
 * server knows its webhook. */
static int wait_webhook(struct up *u, struct err *reterr)
{
    int r = 0;
    while (r == 0) {
        struct kube_reply reply;
        r = kube_call_wait(u->client, "GET",
                           "/api/v1/namespaces/fairlead-system/endpoints/fairlead-control", NULL,
                           NULL, &reply, reterr);
        const json_t *subset = json_array_get(json_at(reply.object, "subsets"), 0);
        bool there = r == 0 && json_array_size(json_object_get(subset, "addresses")) > 0;
        kube_reply_done(&reply);
        if (there)
            return 0;
        if (r == 0)
            r = wait_a_moment(u, reterr);
    }
    return r;
}

static int wait_all(struct up *u, struct err *reterr)
{
    size_t nodes, pods;
    int r = wait_ready(u, "/api/v1/nodes", u->record.nodes.n, &nodes, reterr);
    if (r < 0)
        return r;
    say(u, "%zu %s ready", nodes, nodes == 1 ? "node is" : "nodes are");
    r = wait_deployments(u, reterr);
    if (r == 0)
        r = wait_ready(u, "/api/v1/pods", 0, &pods, reterr);
    if (r < 0)
        return r;
    say(u, "%zu %s ready", pods, pods == 1 ? "pod is" : "pods are");
    return 0;
}

static int delete_now(struct up *u, const char *path, struct err *reterr)
{
    AUTO_JSON json_t *options = json_pack("{s:s,s:s,s:i}", "kind", "DeleteOptions", "apiVersion",
                                          "v1", "gracePeriodSeconds", 0);
    struct kube_reply reply = {0};
    int r = kube_call_wait(u->client, "DELETE", path, NULL, options, &reply, reterr);
    kube_reply_done(&reply);
    return r;
}

/* The Node, then what was bound to it: nobody is there to end it. */
static int forget_node(struct up *u, const char *name, struct err *reterr)
{
    AUTO_CHARS char *node = xasprintf("/api/v1/nodes/%s", name);
    AUTO_CHARS char *pods = xasprintf("/api/v1/pods?fieldSelector=spec.nodeName%%3D%s", name);
    struct kube_reply reply = {0};
    json_t *pod;
    size_t i;
    int r = delete_now(u, node, reterr);
    if (r == 0)
        r = kube_call_wait(u->client, "GET", pods, NULL, NULL, &reply, reterr);
    json_array_foreach(json_at(reply.object, "items"), i, pod)
    {
        AUTO_CHARS char *path =
            xasprintf("/api/v1/namespaces/%s/pods/%s", json_at_str(pod, "metadata.namespace"),
                      json_at_str(pod, "metadata.name"));
        r = r < 0 ? r : delete_now(u, path, reterr);
    }
    kube_reply_done(&reply);
    return r;
}

/* Nodes of an earlier life of this lab that it has no more: their pods start on those it has. Nodes
 * that somebody else made are none of ours. */
static int forget_nodes(struct up *u, struct err *reterr)
{
    struct kube_reply reply = {0};
    json_t *node;
    size_t i;
    int r = kube_call_wait(u->client, "GET", "/api/v1/nodes", NULL, NULL, &reply, reterr);
    json_array_foreach(json_at(reply.object, "items"), i, node)
    {
        const char *name = json_at_str(node, "metadata.name"),
                   *runtime = json_at_str(node, "status.nodeInfo.containerRuntimeVersion");
        bool known = !runtime || !str_starts(str_from(runtime), STR("fairlead://"));
        VEC_FOREACH (n, &u->record.nodes)
            known = known || streq(n->name, name);
        r = known || r < 0 ? r : forget_node(u, name, reterr);
    }
    kube_reply_done(&reply);
    return r;
}

/* ---- the command ---- */

static void print_ending(struct up *u)
{
    AUTO_CHARS char *path = state_dir_file(&u->dir, "kubeconfig");
    char netns[FABRIC_NAME_BYTES];
    double seconds = (double)(time_mono_ms() - u->began_ms) / 1000;
    printf("\nlab %s is ready in %.2f s: %zu nodes\n\n", u->o->name, seconds, u->record.nodes.n);
    printf("  export KUBECONFIG=%s\n  kubectl get pods -A\n", path);
    printf("  ip netns exec %s nft list table ip fairlead\n",
           fabric_node_netns(u->o->name, u->record.nodes.v[0].name, netns));
    printf("  fairlead lab down%s%s\n", streq(u->o->name, "lab") ? "" : " --name ",
           streq(u->o->name, "lab") ? "" : u->o->name);
}

static int run(struct up *u, struct err *reterr)
{
    char cidr[PREFIX_TEXT_BYTES];
    int r = 0;
    u->objects = json_array();
    u->hint = "nothing was started; mend the file and try again";
    for (size_t i = 0; r == 0 && i < u->o->files.n; i++)
        r = manifest_read(u->o->files.v[i], u->objects, reterr);
    if (r < 0)
        return r;
    u->hint = NULL;
    r = state_dir_make(&u->dir, reterr);
    if (r == 0)
        r = state_dir_lock(&u->dir, NULL, reterr);
    if (r < 0)
        return r;
    AUTO_CHARS char *mark = state_dir_file(&u->dir, LAB_BUILT_MARK);
    unlink(mark); /* of an earlier run */
    r = make_record(u, reterr);
    if (r == 0)
        r = spawn_supervisor(u, reterr);
    if (r < 0)
        return r;
    say(u, "lab %s on %s", u->o->name, prefix_format(&u->record.plan.v4, cidr));
    r = wait_for_api(u, reterr);
    if (r < 0)
        return r;
    say(u, "API server answers at %s", u->config->server);
    r = forget_nodes(u, reterr);
    if (r == 0)
        r = lab_apply_system(u->client, u->record.service_cidrs, reterr);
    if (r == 0 && u->o->mesh)
        r = lab_apply_mesh(u->client, u->o->cni, reterr);
    else if (r == 0 && u->o->ingress)
        r = lab_apply_ingress(u->client, reterr);
    if (r < 0)
        return r;
    if (u->o->mesh && json_array_size(u->objects))
        r = wait_webhook(u, reterr);
    if (r < 0)
        return r;
    u->hint =
        "nothing of the files was applied, the lab is up; mend them and: fairlead apply -f FILE";
    r = lab_apply(u->client, u->objects, reterr);
    if (r < 0)
        return r;
    u->hint = NULL;
    r = u->o->no_wait ? 0 : wait_all(u, reterr);
    if (r == -ETIMEDOUT)
        tell_unready(u, reterr);
    return r;
}

/* Everything that can be wrong before anything is made. */
static int check_values(const struct up_options *o, struct err *reterr)
{
    struct image_table images = {0};
    int r = 0;
    for (size_t i = 0; i < o->images.n && r == 0; i++)
        r = image_table_add(&images, o->images.v[i], reterr);
    image_table_done(&images);
    for (size_t i = 0; i < o->labels.n && r == 0; i++) {
        struct str labels, number, who = str_cut(str_from(o->labels.v[i]), ':', &labels);
        uint64_t n = 0;
        (void)str_cut(who, '-', &number);
        if (!labels.n || !json_is_utf8(labels) || !str_starts(who, STR("node-")) ||
            str_to_u64(number, &n) < 0 || n < 1 || n > (uint64_t)o->nodes)
            r = err_set(reterr, -EINVAL, NULL,
                        "--node-labels: \"%s\" is not NODE:KEY=VALUE of node-1 to node-%lld",
                        o->labels.v[i], (long long)o->nodes);
    }
    for (struct str rest = str_from(o->service_cidrs), part; rest.p && r == 0;) {
        struct prefix p;
        part = str_cut(rest, ',', &rest);
        if (prefix_parse(part, &p) < 0 || prefix_size(&p) < 16)
            r = err_set(reterr, -EINVAL, NULL,
                        "--service-cidr: \"" STR_FMT "\" is not a network of 16 addresses or more",
                        STR_ARG(part));
    }
    uint64_t from = 0, to = 0;
    struct str last, first = str_cut(str_from(o->node_ports), '-', &last);
    if (r == 0 && (str_to_u64(first, &from) < 0 || str_to_u64(last, &to) < 0 || from < 1 ||
                   to > 65535 || from > to))
        r = err_set(reterr, -EINVAL, NULL,
                    "--node-port-range: \"%s\" is not two ports such as 30000-32767",
                    o->node_ports);
    return r;
}

static int check_options(const struct up_options *o)
{
    struct err err = {0};
    if (!str_is_dns1123_label(str_from(o->name)) || strlen(o->name) > 40)
        return program_fail(EXIT_USAGE_ERROR, "fairlead lab up --name demo",
                            "--name: \"%s\" is not a name of at most 40 of a-z, 0-9 and '-'",
                            o->name);
    if (check_values(o, &err) < 0)
        return program_fail(EXIT_USAGE_ERROR, "fairlead lab up --help", "%s", err_text(&err));
    if (o->cni && !o->mesh)
        return program_fail(EXIT_USAGE_ERROR, "fairlead lab up --mesh --cni",
                            "--cni has no effect without --mesh");
    if (geteuid() != 0)
        return program_fail(EXIT_FAILED, "sudo fairlead lab up",
                            "a lab needs root: it makes network namespaces");
    return -1;
}

static int fail(const struct up *u, int r, const struct err *err)
{
    AUTO_CHARS char *logs = xasprintf(
        "fairlead check tells what this machine lacks; the logs are in %s/logs", u->dir.path);
    return program_fail(r == -ETIMEDOUT ? EXIT_TIMEOUT : EXIT_FAILED,
                        r == -EBUSY ? "fairlead lab down, or another --name"
                        : u->hint   ? u->hint
                                    : logs,
                        "lab %s: %s", u->o->name, err_text(err));
}

static void up_options_done(struct up_options *o)
{
    arg_list_done(&o->files);
    arg_list_done(&o->images);
    arg_list_done(&o->labels);
}

int up_command(int argc, char **argv)
{
    AUTO_DONE(up_options)
    struct up_options o = {.name = "lab",
                           .nodes = NODES_DEFAULT,
                           .timeout_ms = 60000,
                           .service_cidrs = "10.96.0.0/16,fd00:10:96::/112",
                           .node_ports = "30000-32767"};
    struct arg args[] = {
        {"name", 0, ARG_STRING, &o.name, "NAME", "the lab's name (default lab)", 0, 0, false},
        {"nodes", 0, ARG_INT, &o.nodes, "N", "number of nodes (default 2)", 1, FABRIC_NODES_MAX,
         false},
        {"filename", 'f', ARG_STRINGS, &o.files, "FILE", "manifests to apply (repeat)", 0, 0,
         false},
        {"image", 0, ARG_STRINGS, &o.images, "NAME=CMD", "run CMD for an image (repeat)", 0, 0,
         false},
        {"node-labels", 0, ARG_STRINGS, &o.labels, "NODE:K=V,…",
         "labels of a node, such as its zone (repeat)", 0, 0, false},
        {"ephemeral", 0, ARG_BOOL, &o.ephemeral, NULL, "keep the objects in memory only", 0, 0,
         false},
        {"ingress", 0, ARG_BOOL, &o.ingress, NULL,
         "with gateways that serve Ingress, and their control plane", 0, 0, false},
        {"mesh", 0, ARG_BOOL, &o.mesh, NULL,
         "the same, and proxies beside pods where namespaces ask for them", 0, 0, false},
        {"cni", 0, ARG_BOOL, &o.cni, NULL,
         "with --mesh: nodes lead pods' traffic to their proxies, not the pods themselves", 0, 0,
         false},
        {"no-wait", 0, ARG_BOOL, &o.no_wait, NULL, "do not wait for nodes and pods", 0, 0, false},
        {"timeout", 0, ARG_DURATION, &o.timeout_ms, "D", "how long to wait (default 60s)", 0, 0,
         false},
        {"service-cidr", 0, ARG_STRING, &o.service_cidrs, "CIDR,…",
         "ClusterIPs (default 10.96.0.0/16,fd00:10:96::/112)", 0, 0, false},
        {"node-port-range", 0, ARG_STRING, &o.node_ports, "A-B", "node ports (default 30000-32767)",
         0, 0, false},
        {.name = NULL},
    };
    const struct program p = {
        "fairlead lab up",
        "starts a Kubernetes-shaped cluster on this machine",
        "[flags]",
        "  fairlead lab up\n  fairlead lab up --name demo --nodes 3 -f manifests/\n"
        "  fairlead lab up --ingress\n  fairlead lab up --mesh\n"
        "  fairlead lab up --image 'shop/web:1.2=fairlead-echo --http 80'\n",
        args,
        false};
    struct err err = {0};
    struct up u = {.o = &o, .began_ms = time_mono_ms(), .dir.lock_fd = -1};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code < 0)
        code = check_options(&o);
    if (code >= 0)
        return code;
    state_dir_of(o.name, &u.dir);
    if (loop_new(&u.loop, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    int r = run(&u, &err);
    if (r == 0)
        print_ending(&u);
    else
        code = fail(&u, r, &err);
    kube_client_free(u.client);
    kube_config_free(u.config);
    loop_turn(u.loop, 0);
    loop_free(u.loop);
    lab_record_done(&u.record);
    json_decref(u.objects);
    state_dir_done(&u.dir);
    return r == 0 ? EXIT_OK : code;
}
