/* fairlead: the command people type. Verbs of the lab are handed to fairlead-labd beside it. */
#include <errno.h>
#include <stdio.h>

#include "cli/cli.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"lab", NULL, "a cluster on this machine: up, down, status, exec, kubeconfig"},
    {"get", cli_get, "shows objects"},
    {"apply", cli_apply, "creates or changes objects from manifests"},
    {"delete", cli_delete, "deletes objects"},
    {"exec", cli_exec, "runs a command in a container"},
    {"attach", cli_attach, "joins a container's program"},
    {"logs", cli_logs, "prints the log of a container"},
    {"check", cli_check, "is this machine fit"},
    {"version", cli_version, "prints versions"},
};

static void print_help(FILE *f)
{
    fprintf(f, "fairlead: Kubernetes service networking in one small codebase\n\nUsage:\n  "
               "fairlead COMMAND [flags]\n\nExamples:\n"
               "  fairlead lab up\n  fairlead get pods -A\n  fairlead lab down\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].what);
    fprintf(f, "\nfairlead COMMAND --help tells more. Exit codes: docs/cli.md\n");
}

static int run_lab(int argc, char **argv)
{
    static const char *const verbs[] = {"up", "down", "status", "exec", "kubeconfig"};
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    bool known = argc > 1 && argv[1][0] == '-';
    for (size_t i = 0; i < ARRAY_LEN(verbs) && argc > 1; i++)
        known = known || streq(argv[1], verbs[i]);
    if (argc < 2 || !known) {
        const char *near = argc > 1 ? args_nearest(argv[1], verbs, ARRAY_LEN(verbs)) : NULL;
        AUTO_CHARS char *hint = near ? xasprintf("did you mean: fairlead lab %s", near)
                                     : xstrdup("fairlead lab up, down, status, exec or kubeconfig");
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
    const char *names[ARRAY_LEN(commands)];
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE_ERROR;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        names[i] = commands[i].name;
        if (streq(argv[1], commands[i].name))
            return commands[i].run ? commands[i].run(argc - 1, argv + 1)
                                   : run_lab(argc - 1, argv + 1);
    }
    if (streq(argv[1], "--help") || streq(argv[1], "-h") || streq(argv[1], "help")) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (streq(argv[1], "--version")) {
        printf("fairlead %s\n", FAIRLEAD_VERSION);
        return EXIT_OK;
    }
    const char *near = args_nearest(argv[1], names, ARRAY_LEN(names));
    AUTO_CHARS char *hint =
        near ? xasprintf("did you mean: fairlead %s", near) : xstrdup("fairlead --help");
    return program_fail(EXIT_USAGE_ERROR, hint, "unknown command \"%s\"", argv[1]);
}
