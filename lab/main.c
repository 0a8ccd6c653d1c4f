/* fairlead-labd: the lab's daemons and verbs in one program. */
#include <stdio.h>

#include "base/program.h"
#include "lab/command.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"apiserver", apiserver_command, "the API server"},
    {"controllers", controllers_command, "the controllers"},
    {"node", node_command, "a node: runs pods"},
    {"dns", dns_command, "the cluster DNS"},
    {"supervise", supervise_command, "keeps a lab's processes running"},
    {"up", up_command, "starts a lab"},
    {"down", down_command, "stops a lab and removes everything it made"},
    {"status", status_command, "shows a lab"},
    {"exec", exec_command, "runs a command in a node's network namespace"},
    {"kubeconfig", kubeconfig_command, "prints the kubeconfig of a lab"},
    {"image", image_command, "says which command stands for an image"},
    {"connect", connect_command, "lets two labs reach one another"},
};

static void print_help(FILE *f)
{
    fprintf(f, "fairlead-labd: a Kubernetes-shaped cluster on one Linux machine\n\nUsage:\n  "
               "fairlead-labd COMMAND [flags]\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(f, "  %-12s %s\n", commands[i].name, commands[i].what);
    fprintf(f, "\nfairlead-labd COMMAND --help tells more.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE_ERROR;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (streq(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    if (streq(argv[1], "--help") || streq(argv[1], "-h")) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (streq(argv[1], "--version")) {
        printf("fairlead-labd %s\n", FAIRLEAD_VERSION);
        return EXIT_OK;
    }
    return program_fail(EXIT_USAGE_ERROR, "fairlead-labd --help",
                        "fairlead-labd: unknown command \"%s\"", argv[1]);
}
