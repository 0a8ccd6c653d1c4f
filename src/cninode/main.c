/* fairlead-cni-node: on every node whose pods have no right to lead their own traffic to their
 * proxies. It gives the container runtime a plugin that does, and tells that plugin of pods. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/program.h"
#include "base/sandbox.h"
#include "cni/cni_config.h"
#include "cninode/node_answers.h"
#include "cninode/node_files.h"
#include "cninode/node_repair.h"

enum { LOOK_MS = 5000 };

static struct settings {
    const char *kubeconfig, *context, *node_name, *bin_dir, *conf_dir, *conf_name, *program;
    const char *socket, *daemon_set, *excluded;
    bool no_repair, no_seccomp, check, cleanup;
} given = {.bin_dir = "/opt/cni/bin",
           .conf_dir = "/etc/cni/net.d",
           .socket = CNI_SOCKET,
           .excluded = "kube-system,fairlead-system"};

struct parts {
    struct loop *loop;
    struct loop_timer *look;
    struct kube_client *client;
    struct event_recorder *events;
    struct node_answers *answers;
    struct node_repair *repair;
    struct node_files files;
    char *told; /* the last thing that was wrong */
};

/* Beside us. */
static char *plugin_path(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        return xstrdup("/" CNI_PLUGIN);
    self[n] = '\0';
    return xasprintf("%s/%s", dirname(self), CNI_PLUGIN);
}

static json_t *list_of(const char *text)
{
    json_t *list = json_array();
    struct str rest = str_from(text);
    while (rest.n) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        if (one.n)
            json_array_append_new(list, json_text(one));
    }
    return list;
}

/* What others change, or a network plugin that comes later, is seen at the next look. */
static void look(void *user)
{
    struct parts *p = user;
    struct err err = {0};
    bool changed;
    if (node_files_put(&p->files, &changed, &err) == 0) {
        free(TAKE(p->told));
    } else if (!p->told || !streq(p->told, err_text(&err))) {
        free(p->told);
        p->told = xstrdup(err_text(&err));
        log_warn("pods of the mesh cannot start on this node yet", kv_s("error", p->told));
    }
    loop_timer_start(p->look, LOOK_MS);
}

static void on_stop(int signo, void *user)
{
    (void)signo;
    loop_stop(user, 0);
}

/* When the DaemonSet is gone, or our rights are with it, nobody is to come after us. */
static bool is_for_good(struct parts *p)
{
    struct kube_reply r;
    struct str name, ns = str_cut(str_from(given.daemon_set), '/', &name);
    AUTO_CHARS char *path = xasprintf("/apis/apps/v1/namespaces/" STR_FMT "/daemonsets/" STR_FMT,
                                      STR_ARG(ns), STR_ARG(name));
    int code = kube_call_wait(p->client, "GET", path, NULL, NULL, &r, NULL);
    bool stays = code < 0 || r.status >= 500 ||
                 (r.status == 200 && !json_at_str(r.object, "metadata.deletionTimestamp"));
    kube_reply_done(&r);
    return !stays;
}

static int clean(const struct node_files *f)
{
    struct err err = {0};
    if (node_files_remove(f, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    log_info("the node's network is without our plugin");
    return EXIT_OK;
}

/* Whether a pod that starts now would be given its rules. */
static int check(struct parts *p)
{
    struct err err = {0};
    bool changed;
    p->files.dry = true;
    if (access(given.socket, F_OK) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s: %s", given.socket, strerror(errno));
    if (node_files_put(&p->files, &changed, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    if (changed)
        return program_fail(EXIT_FAILED, NULL, "the node's network is without our plugin");
    return EXIT_OK;
}

static int start(struct parts *p, struct err *reterr)
{
    AUTO(kube_config) struct kube_config *config = NULL;
    int r = kube_config_load(given.kubeconfig, given.context, &config, reterr);
    if (r == 0)
        r = kube_client_new(p->loop, config, "fairlead-cni-node", &p->client, reterr);
    if (r == 0)
        r = node_answers_new(p->client, given.socket, &p->answers, reterr);
    if (r < 0)
        return r;
    p->events = event_recorder_new(p->client, "fairlead.dev/cni", given.node_name);
    if (!given.no_repair)
        p->repair = node_repair_new(p->client, p->events, given.node_name);
    p->look = loop_timer_new(p->loop, look, p);
    look(p);
    return 0;
}

static int run(struct parts *p)
{
    struct err err = {0};
    int code;
    if (loop_new(&p->loop, &err) < 0 || start(p, &err) < 0) {
        code = program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    } else {
        loop_signal_add(p->loop, SIGTERM, on_stop, p->loop);
        loop_signal_add(p->loop, SIGINT, on_stop, p->loop);
        sandbox_start(given.no_seccomp, 0);
        code = loop_run(p->loop);
        if (code == 0 && given.daemon_set && is_for_good(p))
            code = clean(&p->files);
    }
    node_repair_free(p->repair);
    if (p->events)
        event_recorder_free(p->events);
    node_answers_free(p->answers);
    loop_timer_free(p->look);
    if (p->client)
        kube_client_free(p->client);
    if (p->loop) {
        loop_turn(p->loop, 0); /* what has ended in this turn is freed */
        loop_free(p->loop);
    }
    free(p->told);
    return code;
}

static struct arg args[] = {
    {"kubeconfig", 0, ARG_STRING, &given.kubeconfig, "FILE",
     "how to reach the API server (default: $KUBECONFIG, ~/.kube/config, the pod's account)", 0, 0,
     false},
    {"context", 0, ARG_STRING, &given.context, "NAME", "of it", 0, 0, false},
    {"node-name", 0, ARG_STRING, &given.node_name, "NAME", "of this node", 0, 0, false},
    {"cni-bin-dir", 0, ARG_STRING, &given.bin_dir, "DIR",
     "where the container runtime has its plugins (default /opt/cni/bin)", 0, 0, false},
    {"cni-conf-dir", 0, ARG_STRING, &given.conf_dir, "DIR",
     "where it has its networks (default /etc/cni/net.d)", 0, 0, false},
    {"cni-conf-name", 0, ARG_STRING, &given.conf_name, "FILE",
     "of the network there (default: the first by name, as the runtime takes it)", 0, 0, false},
    {"plugin", 0, ARG_STRING, &given.program, "FILE",
     "the plugin (default: fairlead-cni beside this program)", 0, 0, false},
    {"socket", 0, ARG_STRING, &given.socket, "FILE",
     "where the plugin asks, the same path on the node (default " CNI_SOCKET ")", 0, 0, false},
    {"exclude-namespaces", 0, ARG_STRING, &given.excluded, "NAMES",
     "whose pods are started without a question, so that those the network needs can be (default "
     "kube-system,fairlead-system)",
     0, 0, false},
    {"daemon-set", 0, ARG_STRING, &given.daemon_set, "NAMESPACE/NAME",
     "ours: when it is gone as we end, the node is left as it was (default: it stays)", 0, 0,
     false},
    {"no-repair", 0, ARG_BOOL, &given.no_repair, NULL,
     "pods that have started without rules stay as they are (default: who has a controller is "
     "deleted)",
     0, 0, false},
    {"check", 0, ARG_BOOL, &given.check, NULL,
     "only says whether this node is ready: exit code 0 or 1", 0, 0, false},
    {"cleanup", 0, ARG_BOOL, &given.cleanup, NULL,
     "takes the plugin out of the node's network, and ends", 0, 0, false},
    {"no-seccomp", 0, ARG_BOOL, &given.no_seccomp, NULL,
     "no filter of system calls: to look for faults", 0, 0, false},
    {.name = NULL}};

int main(int argc, char **argv)
{
    const struct program p = {
        .name = "fairlead-cni-node",
        .summary =
            "gives this node's container runtime the plugin that leads pods' traffic to their "
            "proxies",
        .usage = "--node-name NAME [flags]",
        .examples = "  fairlead-cni-node --node-name worker-1\n"
                    "  fairlead-cni-node --cleanup\n",
        .args = args};
    struct parts parts = {0};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    AUTO_CHARS char *program = given.program ? xstrdup(given.program) : plugin_path();
    AUTO_JSON json_t *excluded = list_of(given.excluded);
    parts.files = (struct node_files){.program = program,
                                      .bin_dir = given.bin_dir,
                                      .conf_dir = given.conf_dir,
                                      .conf_name = given.conf_name,
                                      .socket = given.socket,
                                      .excluded = excluded};
    if (given.cleanup)
        return clean(&parts.files);
    if (given.check)
        return check(&parts);
    if (!given.node_name)
        return program_fail(EXIT_USAGE_ERROR, "fairlead-cni-node --node-name $(hostname)",
                            "--node-name is missing");
    return run(&parts);
}
