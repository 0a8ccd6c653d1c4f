/* fairlead: the command people type. Verbs of the lab are handed to fairlead-labd beside it. */
#include <errno.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/completion.h"

static const struct cli_command commands[] = {
    {"lab", NULL, "a cluster on this machine: up, down, status, exec, kubeconfig, image"},
    {"get", cli_get, "shows objects"},
    {"apply", cli_apply, "creates or changes objects from manifests"},
    {"delete", cli_delete, "deletes objects"},
    {"exec", cli_exec, "runs a command in a container"},
    {"attach", cli_attach, "joins a container's program"},
    {"logs", cli_logs, "prints the log of a container"},
    {"explain", cli_explain, "says which object decides about a request, and why"},
    {"describe", cli_describe, "says what holds for a pod or a Service in the mesh"},
    {"analyze", cli_analyze, "says what is wrong with Ingresses and the mesh's objects"},
    {"convert-ingress", cli_convert_ingress,
     "prints Ingresses as objects of Istio or the Gateway API"},
    {"migrate", cli_migrate, "says what it takes to move from ingress-nginx"},
    {"inject", cli_inject, "prints manifests with a proxy beside each pod"},
    {"proxy-status", cli_proxy_status, "says which proxies have what they were sent"},
    {"proxy-config", cli_proxy_config, "shows what a proxy has: listeners, routes, clusters, …"},
    {"edges", cli_edges, "says who calls whom, and whether that is over mutual TLS"},
    {"graph", cli_graph, "shows who calls whom as a graph: text, JSON, DOT"},
    {"top", cli_top, "shows the busiest workloads: success, rate, latency"},
    {"tap", cli_tap, "shows requests as they come"},
    {"trace", cli_trace, "shows the last traces, and of one the waterfall"},
    {"create-remote-secret", cli_create_remote_secret,
     "lets another cluster's control plane have this one in its mesh"},
    {"install", cli_install, "puts Fairlead into a cluster"},
    {"upgrade", cli_upgrade, "brings what is installed to this version, or to other values"},
    {"uninstall", cli_uninstall, "takes Fairlead out of a cluster"},
    {"check", cli_check, "is this machine fit"},
    {"bug-report", cli_bug_report, "makes an archive for who helps, without secrets"},
    {"version", cli_version, "prints versions"},
    {"completion", cli_completion, "prints a completion script for bash, zsh or fish"},
};

static const struct cli_command lab_verbs[] = {
    {"up", NULL, "starts a lab"},
    {"down", NULL, "stops a lab and removes everything it made"},
    {"status", NULL, "shows a lab, or which labs are up"},
    {"exec", NULL, "runs a command in a node's (or pod's) network namespace"},
    {"kubeconfig", NULL, "prints the kubeconfig of a lab"},
    {"image", NULL, "says which command stands for an image"},
    {"connect", NULL, "lets two labs reach one another"},
};

#define EXIT_CODES                                                                                 \
    "\nExit codes: 0 ok, 1 failed, 2 findings, 64 usage, 69 server unreachable, 124 timeout "      \
    "(docs/cli.md)\n"

static void print_help(FILE *f)
{
    fprintf(f, "fairlead: Kubernetes service networking in one small codebase\n\nUsage:\n  "
               "fairlead COMMAND [flags]\n\nExamples:\n"
               "  fairlead lab up\n  fairlead get pods -A\n  fairlead lab down\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(f, "  %-20s %s\n", commands[i].name, commands[i].what);
    fprintf(f, "\nfairlead COMMAND --help tells more.\n" EXIT_CODES);
}

static void print_lab_help(void)
{
    printf(
        "fairlead lab: a Kubernetes-shaped cluster on this machine\n\nUsage:\n  fairlead lab VERB "
        "[flags]\n\nExamples:\n  fairlead lab up\n"
        "  export KUBECONFIG=$(fairlead lab kubeconfig --path)\n  fairlead lab down\n\nVerbs:\n");
    for (size_t i = 0; i < ARRAY_LEN(lab_verbs); i++)
        printf("  %-10s %s\n", lab_verbs[i].name, lab_verbs[i].what);
    printf("\nfairlead lab VERB --help tells more.\n" EXIT_CODES);
}

static const struct cli_command *find(const struct cli_command *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (streq(table[i].name, name))
            return &table[i];
    return NULL;
}

static const char *nearest(const struct cli_command *table, size_t n, const char *word)
{
    const char *names[ARRAY_LEN(commands) + ARRAY_LEN(lab_verbs)];
    for (size_t i = 0; i < n; i++)
        names[i] = table[i].name;
    return args_nearest(word, names, n);
}

static bool asks_for_help(const char *word)
{
    return streq(word, "--help") || streq(word, "-h") || streq(word, "help");
}

static int run_lab(int argc, char **argv)
{
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (argc > 1 && asks_for_help(argv[1])) {
        print_lab_help();
        return EXIT_OK;
    }
    if (argc < 2 || !find(lab_verbs, ARRAY_LEN(lab_verbs), argv[1])) {
        const char *near = argc > 1 ? nearest(lab_verbs, ARRAY_LEN(lab_verbs), argv[1]) : NULL;
        AUTO_CHARS char *hint =
            near ? xasprintf("did you mean: fairlead lab %s", near)
                 : xstrdup("fairlead lab up, down, status, exec, kubeconfig, image or connect");
        return program_fail(EXIT_USAGE_ERROR, hint, "fairlead lab: %s%s%s",
                            argc > 1 ? "unknown verb \"" : "a verb is missing",
                            argc > 1 ? argv[1] : "", argc > 1 ? "\"" : "");
    }
    snprintf(slash ? slash + 1 : path, 32, "fairlead-labd");
    argv[0] = path;
    execv(path, argv);
    return program_fail(EXIT_FAILED, "it belongs beside the fairlead program", "%s: %s", path,
                        strerror(errno));
}

int main(int argc, char **argv)
{
    static const struct cli_commands all = {commands, ARRAY_LEN(commands), lab_verbs,
                                            ARRAY_LEN(lab_verbs), run_lab};
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE_ERROR;
    }
    const struct cli_command *c = find(commands, ARRAY_LEN(commands), argv[1]);
    if (c)
        return c->run ? c->run(argc - 1, argv + 1) : run_lab(argc - 1, argv + 1);
    if (streq(argv[1], "__complete"))
        return cli_complete(&all, argc - 2, argv + 2);
    if (asks_for_help(argv[1])) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (streq(argv[1], "--version")) {
        printf("fairlead %s\n", FAIRLEAD_VERSION);
        return EXIT_OK;
    }
    const char *near = nearest(commands, ARRAY_LEN(commands), argv[1]);
    AUTO_CHARS char *hint =
        near ? xasprintf("did you mean: fairlead %s", near) : xstrdup("fairlead --help");
    return program_fail(EXIT_USAGE_ERROR, hint, "unknown %s \"%s\"",
                        argv[1][0] == '-' ? "flag" : "command", argv[1]);
}
