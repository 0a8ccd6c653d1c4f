/* fairlead lab down, status, exec, kubeconfig: the short verbs. down removes everything the lab
 * made and says what. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/program.h"
#include "base/time.h"
#include "kube/client.h"
#include "lab/command.h"
#include "lab/lab_record.h"
#include "nl/netns.h"

enum { STOP_WAIT_MS = 4000 };

/* ---- down ---- */

/* Ends the supervisor: politely, then not. The lock tells its pid; a pidfd makes sure it is the
 * same process. */
static void stop_supervisor(struct state_dir *d)
{
    int holder = 0;
    if (!state_dir_exists(d) || state_dir_lock(d, &holder, NULL) == 0 || holder <= 0)
        return;
    AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, holder, 0);
    if (pidfd < 0)
        return;
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
    if (poll(&p, 1, STOP_WAIT_MS) == 1)
        return;
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    (void)poll(&p, 1, STOP_WAIT_MS);
}

int down_command(int argc, char **argv)
{
    const char *name = "lab";
    bool quiet = false;
    struct arg args[] = {
        {"name", 0, ARG_STRING, &name, "NAME", "the lab's name (default lab)", 0, 0, false},
        {"quiet", 'q', ARG_BOOL, &quiet, NULL, "print nothing", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead lab down",
                              "stops a lab and removes everything it made",
                              "[flags]",
                              "  fairlead lab down\n  fairlead lab down --name demo\n",
                              args,
                              false};
    struct err err = {0};
    struct state_dir d;
    struct fabric_removed removed = {0};
    uint64_t began = time_mono_ms();
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    if (geteuid() != 0)
        return program_fail(EXIT_FAILED, "sudo fairlead lab down", "removing a lab needs root");
    if (!str_is_dns1123_label(str_from(name)))
        return program_fail(EXIT_USAGE_ERROR, NULL, "--name: \"%s\" is not a lab's name", name);
    state_dir_of(name, &d);
    bool existed = state_dir_exists(&d);
    stop_supervisor(&d);
    int r = fabric_down(name, &removed, &err);
    if (r == 0)
        r = state_dir_remove(&d, &err);
    if (r < 0)
        code = program_fail(EXIT_FAILED, "run it again; what is left is named above", "lab %s: %s",
                            name, err_text(&err));
    else if (!existed && !removed.names.n && !quiet)
        printf("lab %s: nothing to remove\n", name);
    else if (!quiet && (existed || removed.names.n)) {
        VEC_FOREACH (n, &removed.names)
            printf("removed %s\n", *n);
        printf("removed %s\nlab %s is gone in %.2f s\n", d.path, name,
               (double)(time_mono_ms() - began) / 1000);
    }
    fabric_removed_done(&removed);
    state_dir_done(&d);
    return code < 0 ? EXIT_OK : code;
}

/* ---- status ---- */

static int print_nodes(const struct state_dir *d)
{
    AUTO_CHARS char *path = state_dir_file(d, "kubeconfig");
    struct err err = {0};
    AUTO(kube_config) struct kube_config *config = NULL;
    AUTO(loop) struct loop *loop = NULL;
    struct kube_client *client = NULL;
    struct kube_reply reply = {0};
    json_t *item, *c;
    size_t i, k;
    if (kube_config_load(path, NULL, &config, &err) < 0 || loop_new(&loop, &err) < 0 ||
        kube_client_new(loop, config, "fairlead-lab", &client, &err) < 0 ||
        kube_call_wait(client, "GET", "/api/v1/nodes", NULL, NULL, &reply, &err) < 0) {
        kube_client_free(client);
        return program_fail(EXIT_UNREACHABLE, NULL, "API server: %s", err_text(&err));
    }
    printf("api server  %s\nkubeconfig  %s\n", config->server, path);
    json_array_foreach(json_at(reply.object, "items"), i, item)
    {
        const char *ready = "Unknown";
        json_array_foreach(json_at(item, "status.conditions"), k,
                           c) if (streq(json_key_str(c, "type"), "Ready")) ready =
            streq(json_key_str(c, "status"), "True") ? "Ready" : "NotReady";
        printf("node        %s %s", json_at_str(item, "metadata.name"), ready);
        json_array_foreach(json_at(item, "status.addresses"), k,
                           c) if (!streq(json_key_str(c, "type"), "Hostname"))
            printf(" %s=%s", json_key_str(c, "type"), json_key_str(c, "address"));
        printf("\n");
    }
    kube_reply_done(&reply);
    kube_client_free(client);
    loop_turn(loop, 0);
    return EXIT_OK;
}

static void print_lab(const char *lab, void *user)
{
    (void)user;
    printf("%s\n", lab);
}

int status_command(int argc, char **argv)
{
    const char *name = NULL;
    struct arg args[] = {
        {"name", 0, ARG_STRING, &name, "NAME", "the lab's name (default: list all, show \"lab\")",
         0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead lab status",
                              "shows a lab, or which labs are up",
                              "[flags]",
                              "  fairlead lab status\n  fairlead lab status --name demo\n",
                              args,
                              false};
    struct err err = {0};
    struct state_dir d;
    int holder = 0, code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    if (!name) {
        struct state_dir fallback;
        state_dir_of("lab", &fallback);
        bool have = state_dir_exists(&fallback);
        state_dir_done(&fallback);
        if (!have)
            return fabric_each(print_lab, NULL) < 0 ? EXIT_FAILED : EXIT_OK;
        name = "lab";
    }
    state_dir_of(name, &d);
    if (!state_dir_exists(&d)) {
        state_dir_done(&d);
        return program_fail(EXIT_FAILED, "fairlead lab up", "there is no lab %s", name);
    }
    if (state_dir_lock(&d, &holder, &err) == 0) {
        state_dir_done(&d);
        return program_fail(EXIT_FAILED,
                            "fairlead lab up starts it again, fairlead lab down removes it",
                            "lab %s is not running", name);
    }
    printf("lab         %s (supervisor pid %d)\n", name, holder);
    code = print_nodes(&d);
    state_dir_done(&d);
    return code;
}

/* ---- exec ---- */

int exec_command(int argc, char **argv)
{
    const char *name = "lab";
    struct arg args[] = {
        {"name", 0, ARG_STRING, &name, "NAME", "the lab's name (default lab)", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead lab exec",
                              "runs a command in a node's (or pod's) network namespace",
                              "NODE[/NAMESPACE/POD] [--] COMMAND…",
                              "  fairlead lab exec node-1 -- nft list table ip fairlead\n  "
                              "fairlead lab exec node-1/default/web -- ip addr\n",
                              args,
                              true};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    struct err err = {0};
    char netns[FABRIC_NAME_BYTES];
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    size_t at = rest.n > 1 && streq(rest.v[1], "--") ? 2 : 1;
    if (rest.n <= at)
        return program_fail(EXIT_USAGE_ERROR, "fairlead lab exec --help",
                            "give a node and a command");
    struct str pod, ns, node = str_cut(str_from(rest.v[0]), '/', &pod);
    AUTO_CHARS char *node_name = str_dup(node);
    if (pod.p) {
        ns = str_cut(pod, '/', &pod);
        AUTO_CHARS char *ns_name = str_dup(ns);
        AUTO_CHARS char *pod_name = str_dup(pod.p ? pod : STR(""));
        fabric_pod_netns(name, node_name, ns_name, pod_name, netns);
    } else if (streq(node_name, "fabric")) {
        fabric_netns(name, netns);
    } else {
        fabric_node_netns(name, node_name, netns);
    }
    AUTO_FD int fd = netns_open(netns, &err);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return program_fail(EXIT_FAILED, "fairlead lab status shows the nodes", "%s: %s", netns,
                            fd < 0 ? err_text(&err) : strerror(errno));
    vec_push(&rest, NULL);
    execvp(rest.v[at], (char *const *)(uintptr_t)(rest.v + at));
    return program_fail(127, NULL, "%s: %s", rest.v[at], strerror(errno));
}

/* ---- kubeconfig ---- */

int kubeconfig_command(int argc, char **argv)
{
    const char *name = "lab";
    bool path_only = false;
    struct arg args[] = {
        {"name", 0, ARG_STRING, &name, "NAME", "the lab's name (default lab)", 0, 0, false},
        {"path", 0, ARG_BOOL, &path_only, NULL, "print the file's name, not its contents", 0, 0,
         false},
        {.name = NULL},
    };
    const struct program p = {"fairlead lab kubeconfig",
                              "prints the kubeconfig of a lab",
                              "[flags]",
                              "  export KUBECONFIG=$(fairlead lab kubeconfig --path)\n"
                              "  fairlead lab kubeconfig --name demo > demo.kubeconfig\n",
                              args,
                              false};
    struct err err = {0};
    struct state_dir d;
    AUTO_DONE(buf) struct buf text = {0};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    state_dir_of(name, &d);
    AUTO_CHARS char *path = state_dir_file(&d, "kubeconfig");
    int r = state_dir_read(&d, "kubeconfig", &text, &err);
    state_dir_done(&d);
    if (r < 0)
        return program_fail(EXIT_FAILED, "fairlead lab up", "lab %s: %s", name, err_text(&err));
    if (path_only)
        printf("%s\n", path);
    else
        fwrite(text.p, 1, text.n, stdout);
    return EXIT_OK;
}
