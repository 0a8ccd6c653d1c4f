/* fairlead uninstall: out again, in the other order: webhooks first, so that no pod is refused;
 * then agents clean up their nodes, then the rest. Says what is left, and why. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "cli/install.h"

#define CLEANUP   "--cleanup-and-wait"
#define ROOT_CERT "fairlead-ca-root-cert"
#define NAMESPACE "/api/v1/namespaces/" CHART_NAMESPACE

enum { TIMEOUT_MS = 5 * 60 * 1000, PAUSE_MS = 300 };

struct uninstall {
    struct install in;
    bool crds, namespace_too, keep_rules;
    json_t *objects;
    size_t definitions_left;
};

static bool goes(const struct uninstall *u, const json_t *o)
{
    enum chart_step step = chart_step_of(o);
    if (step == CHART_NAMESPACES)
        return false; /* by itself, at the end */
    return step == CHART_DEFINITIONS ? u->crds || !chart_keeps(o) : !chart_keeps(o);
}

static int look(struct uninstall *u)
{
    struct err err = {0};
    AUTO_JSON json_t *ns = install_get(&u->in, "/api/v1/namespaces/" CHART_NAMESPACE);
    int code = install_find_release(&u->in);
    if (code >= 0)
        return code;
    u->in.namespace_exists = ns != NULL;
    if (!u->in.last.version)
        return program_fail(EXIT_FAILED, "helm list -A knows others",
                            "there is no release " CHART_RELEASE " in " CHART_NAMESPACE);
    if (chart_parse_manifest(str_from(u->in.last.manifest), &u->objects, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "the record of the release: %s", err_text(&err));
    return -1;
}

/* What is there of it, as a plan. */
static void plan(struct uninstall *u)
{
    for (size_t i = json_array_size(u->objects); i-- > 0;) {
        json_t *o = json_array_get(u->objects, i);
        AUTO_CHARS char *path = install_path(&u->in, o);
        AUTO_JSON json_t *live = path ? install_get(&u->in, path) : NULL;
        if (!live || chart_step_of(o) == CHART_NAMESPACES)
            continue;
        bool out = goes(u, o) && install_is_ours(live);
        struct install_change *c = vec_add(&u->in.plan);
        c->verb = out ? INSTALL_GOES : INSTALL_STAYS;
        c->object = json_incref(o);
        c->what = install_name(o);
        c->path = TAKE(path);
        u->definitions_left += !out && chart_step_of(o) == CHART_DEFINITIONS;
    }
}

/* ---- nodes ---- */

/* The agents' own program cleans up: it is told to by its arguments, on every node at once, and
 * says by its readiness that it is done. This needs no right that they have not. */
static int clean_nodes(struct uninstall *u, const struct install_change *c)
{
    static const enum chart_step agents = CHART_AGENTS;
    struct kube_reply reply;
    AUTO_JSON json_t *live = install_get(&u->in, c->path);
    json_t *container = json_array_get(json_at(live, "spec.template.spec.containers"), 0);
    json_t *args = json_object_get(container, "args");
    AUTO_JSON json_t *flag = json_string(CLEANUP);
    if (!json_is_array(args))
        return -1;
    if (!json_array_has(args, flag))
        json_array_append(args, flag);
    AUTO_JSON json_t *patch = json_pack(
        "{s:{s:{s:s,s:{s:s,s:i}},s:{s:{s:[{s:s,s:O}]}}}}", "spec", "updateStrategy", "type",
        "RollingUpdate", "rollingUpdate", "maxUnavailable", "100%", "maxSurge", 0, "template",
        "spec", "containers", "name", json_key_str(container, "name"), "args", args);
    int code = install_call(&u->in, "PATCH", c->path, "application/strategic-merge-patch+json",
                            patch, &reply);
    if (code)
        return code;
    code = reply.status < 300 ? -1 : install_refused(c->what, &reply);
    kube_reply_done(&reply);
    if (code >= 0 || !u->in.wait)
        return code;
    fputs("agents clean up their nodes\n", stderr);
    u->in.late_hint =
        "try again, or --keep-rules goes on without: what nodes have of it then stays";
    return install_wait(&u->in, u->objects, &agents);
}

/* ---- objects ---- */

static int drop(struct uninstall *u, const struct install_change *c)
{
    struct kube_reply reply;
    AUTO_JSON json_t *how = json_pack("{s:s,s:s,s:s}", "apiVersion", "v1", "kind", "DeleteOptions",
                                      "propagationPolicy", "Background");
    int code = install_call(&u->in, "DELETE", c->path, NULL, how, &reply);
    if (code)
        return code;
    code = reply.status < 300 || reply.status == 404 ? -1 : install_refused(c->what, &reply);
    kube_reply_done(&reply);
    return code;
}

/* Pods of what had some: until the last has ended, its rights and settings stay. */
static int wait_for_pods(struct uninstall *u)
{
    static const char path[] = "/api/v1/namespaces/" CHART_NAMESPACE
                               "/pods?labelSelector=app%20in%20(fairlead-agent,fairlead-control,"
                               "fairlead-gateway)";
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    size_t told = 0;
    while (u->in.wait) {
        AUTO_JSON json_t *pods = install_get(&u->in, path);
        size_t n = json_array_size(json_at(pods, "items"));
        if (!n)
            break;
        if (n != told)
            fprintf(stderr, "waiting for %zu pod%s to end\n", n, n == 1 ? "" : "s");
        told = n;
        if (time_mono_ms() - u->in.began_ms >= u->in.timeout_ms)
            return program_fail(EXIT_TIMEOUT, "fairlead get pods -n " CHART_NAMESPACE,
                                "%zu pods have not ended", n);
        (void)nanosleep(&pause, NULL);
    }
    return -1;
}

/* Those of steps from `first` down to `last`. */
static int drop_steps(struct uninstall *u, enum chart_step first, enum chart_step last)
{
    int code = -1;
    VEC_FOREACH (c, &u->in.plan) {
        enum chart_step step = chart_step_of(c->object);
        if (code < 0 && c->verb == INSTALL_GOES && step <= first && step >= last)
            code = drop(u, c);
    }
    return code;
}

static int take_out(struct uninstall *u)
{
    int code = drop_steps(u, CHART_WEBHOOKS, CHART_WEBHOOKS);
    VEC_FOREACH (c, &u->in.plan)
        if (code < 0 && !u->keep_rules && c->verb == INSTALL_GOES &&
            chart_step_of(c->object) == CHART_AGENTS)
            code = clean_nodes(u, c);
    code = code < 0 ? drop_steps(u, CHART_GATEWAYS, CHART_CONTROL) : code;
    code = code < 0 ? wait_for_pods(u) : code;
    return code < 0 ? drop_steps(u, CHART_SETTINGS, CHART_DEFINITIONS) : code;
}

/* ---- what is left ---- */

static json_t *root_certs(struct uninstall *u)
{
    AUTO_JSON json_t *list =
        install_get(&u->in, "/api/v1/configmaps?fieldSelector=metadata.name%3D" ROOT_CERT);
    json_t *items = json_at(list, "items"), *found = json_array(), *m;
    size_t i;
    json_array_foreach(items, i, m)
    {
        const char *ns = json_at_str(m, "metadata.namespace");
        if (ns && !streq(ns, CHART_NAMESPACE))
            json_array_append_new(found, json_string(ns));
    }
    return found;
}

static int drop_path(struct uninstall *u, const char *path)
{
    struct kube_reply reply;
    int code = install_call(&u->in, "DELETE", path, NULL, NULL, &reply);
    if (code)
        return code;
    code = reply.status < 300 || reply.status == 404 ? -1 : install_refused(path, &reply);
    kube_reply_done(&reply);
    return code;
}

static int drop_namespace(struct uninstall *u)
{
    AUTO_JSON json_t *spaces = root_certs(u);
    json_t *ns;
    size_t i;
    int code = drop_path(u, NAMESPACE);
    json_array_foreach(spaces, i, ns)
    {
        AUTO_CHARS char *path =
            xasprintf("/api/v1/namespaces/%s/configmaps/" ROOT_CERT, json_string_value(ns));
        code = code < 0 ? drop_path(u, path) : code;
    }
    return code;
}

static int wait_for_namespace(struct uninstall *u)
{
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    for (bool told = false; u->in.wait; told = true) {
        AUTO_JSON json_t *ns = install_get(&u->in, NAMESPACE);
        if (!ns)
            break;
        if (!told)
            fputs("waiting for the namespace " CHART_NAMESPACE " to end\n", stderr);
        if (time_mono_ms() - u->in.began_ms >= u->in.timeout_ms)
            return program_fail(EXIT_TIMEOUT, "something in it has finalizers",
                                "the namespace " CHART_NAMESPACE " has not ended");
        (void)nanosleep(&pause, NULL);
    }
    return -1;
}

static void say_what_is_left(struct uninstall *u)
{
    AUTO_JSON json_t *proxies =
        install_get(&u->in, "/api/v1/pods?labelSelector=security.istio.io/tlsMode%3Distio");
    AUTO_JSON json_t *spaces = root_certs(u);
    size_t pods = json_array_size(json_at(proxies, "items"));
    if (u->definitions_left)
        printf("left: %zu definitions of kinds, and all objects of them: they are yours (--crds "
               "takes them out)\n",
               u->definitions_left);
    AUTO_JSON json_t *root = install_get(&u->in, NAMESPACE "/secrets/fairlead-ca");
    if (!u->namespace_too) {
        printf("left: the namespace " CHART_NAMESPACE "%s (--namespace-too)\n",
               root ? " with the mesh's root (Secret fairlead-ca), which a new installation goes "
                      "on with"
                    : "");
        if (json_array_size(spaces))
            printf("left: ConfigMaps " ROOT_CERT " in %zu namespaces: proxies trust by them "
                   "(--namespace-too)\n",
                   json_array_size(spaces));
    }
    if (pods)
        printf("left: proxies beside %zu pod%s, until these are made anew\n", pods,
               pods == 1 ? "" : "s");
    VEC_FOREACH (c, &u->in.plan)
        if ((u->keep_rules || !u->in.wait) && chart_step_of(c->object) == CHART_AGENTS)
            puts(u->keep_rules ? "left: the agents' rules on every node: traffic goes on by them, "
                                 "and changes no more (fairlead-agent --cleanup)"
                               : "left, it may be: the agents' rules on nodes that were not waited "
                                 "for (fairlead-agent --cleanup)");
}

static int run(struct uninstall *u)
{
    struct install *in = &u->in;
    in->session.namespace_ = CHART_NAMESPACE;
    int code = cli_session_open(&in->session);
    code = code < 0 ? look(u) : code;
    if (code >= 0)
        return code;
    plan(u);
    install_print_plan(in);
    if (u->namespace_too)
        puts("- goes     namespace/" CHART_NAMESPACE ", with all that is in it");
    if (in->dry_run)
        return EXIT_OK;
    if ((code = install_confirm(in, "Take this out?")) >= 0)
        return code;
    in->began_ms = time_mono_ms();
    code = take_out(u);
    code = code < 0 ? install_forget(in) : code;
    if (code < 0 && u->namespace_too)
        code = drop_namespace(u);
    if (code < 0 && u->namespace_too)
        code = wait_for_namespace(u);
    if (code >= 0)
        return code;
    say_what_is_left(u);
    return EXIT_OK;
}

int cli_uninstall(int argc, char **argv)
{
    struct uninstall u = {.in = {.wait = true, .timeout_ms = TIMEOUT_MS}};
    struct arg args[] = {
        {"crds", 0, ARG_BOOL, &u.crds, NULL, "definitions of kinds, too, and all objects of them",
         0, 0, false},
        {"namespace-too", 0, ARG_BOOL, &u.namespace_too, NULL,
         "the namespace with the mesh's root, and what other namespaces know of it", 0, 0, false},
        {"keep-rules", 0, ARG_BOOL, &u.keep_rules, NULL,
         "nodes keep their rules: traffic goes on until something else carries Services", 0, 0,
         false},
        {"dry-run", 0, ARG_BOOL, &u.in.dry_run, NULL, "shows, and changes nothing", 0, 0, false},
        {"yes", 0, ARG_BOOL, &u.in.yes, NULL, "does not ask", 0, 0, false},
        {"wait", 0, ARG_BOOL, &u.in.wait, NULL,
         "until nodes are clean and pods have ended (default true)", 0, 0, false},
        {"timeout", 0, ARG_DURATION, &u.in.timeout_ms, "D", "how long (default 5m)", 0, 0, false},
        {"kubeconfig", 0, ARG_STRING, &u.in.session.kubeconfig, "FILE", "kubeconfig to use", 0, 0,
         false},
        {"context", 0, ARG_STRING, &u.in.session.context, "NAME", "context of it", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead uninstall",
                              "takes Fairlead out of a cluster, rules of nodes included",
                              "[flags]",
                              "  fairlead uninstall --dry-run\n"
                              "  fairlead uninstall --yes\n"
                              "  fairlead uninstall --crds --namespace-too\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, NULL, NULL);
    code = code < 0 ? run(&u) : code;
    json_decref(u.objects);
    install_done(&u.in);
    return code;
}
