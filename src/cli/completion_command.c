/* fairlead completion, and the hidden __complete behind the scripts it prints.
 *
 * The scripts are short because they know nothing: every candidate comes from here, out of the same
 * tables that parse the command line. Objects come from the server, if it answers soon. */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/completion.h"

enum { COMPLETE_SECONDS = 2 };

static const char bash_script[] = "# source <(fairlead completion bash)\n"
                                  "_fairlead() {\n"
                                  "    local cur=${COMP_WORDS[COMP_CWORD]} IFS=$'\\n'\n"
                                  "    local words=(\"${COMP_WORDS[@]:1:COMP_CWORD}\")\n"
                                  "    COMPREPLY=($(compgen -W \"$(fairlead __complete "
                                  "\"${words[@]}\" 2>/dev/null | cut -f1)\" -- "
                                  "\"$cur\"))\n"
                                  "}\n"
                                  "complete -o default -F _fairlead fairlead\n";

static const char zsh_script[] =
    "#compdef fairlead\n"
    "# source <(fairlead completion zsh)\n"
    "_fairlead() {\n"
    "    local -a candidates\n"
    "    candidates=(${(f)\"$(fairlead __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null | "
    "sed 's/:/\\\\:/g; s/\\t/:/')\"})\n"
    "    if (( $#candidates )); then _describe fairlead candidates; else _files; fi\n"
    "}\n"
    "(( $+functions[compdef] )) && compdef _fairlead fairlead\n";

static const char fish_script[] = "# fairlead completion fish | source\n"
                                  "function __fairlead_complete\n"
                                  "    set -l words (commandline -opc) (commandline -ct)\n"
                                  "    fairlead __complete $words[2..-1] 2>/dev/null\n"
                                  "end\n"
                                  "complete -c fairlead -a '(__fairlead_complete)'\n";

int cli_completion(int argc, char **argv)
{
    static const struct {
        const char *shell;
        const char *script;
    } scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    struct arg args[] = {{.name = NULL}};
    const struct program p = {"fairlead completion",
                              "prints a script that completes commands, flags and objects",
                              "bash | zsh | fish",
                              "  source <(fairlead completion bash)\n"
                              "  fairlead completion zsh > \"${fpath[1]}/_fairlead\"\n"
                              "  fairlead completion fish | source\n",
                              args,
                              false};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    for (size_t i = 0; i < ARRAY_LEN(scripts) && rest.n == 1; i++)
        if (streq(rest.v[0], scripts[i].shell)) {
            fputs(scripts[i].script, stdout);
            return EXIT_OK;
        }
    return program_fail(EXIT_USAGE_ERROR, "fairlead completion bash",
                        "fairlead completion: name one of bash, zsh, fish");
}

/* ---- candidates ---- */

static void print_table(const struct cli_command *table, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%s\t%s\n", table[i].name, table[i].what);
}

static void print_words(const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%s\n", words[i]);
}

/* -n NS, -n=NS or --namespace NS before the last word; NULL = none. */
static const char *flag_value(int argc, char **argv, const char *letter, const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i + 1 < argc; i++) {
        if ((streq(argv[i], letter) || streq(argv[i], name)) && i + 2 < argc)
            return argv[i + 1];
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
    }
    return NULL;
}

static void print_names(struct cli_session *s, const char *type, const char *ns, bool with_type)
{
    struct kube_resource r;
    struct kube_reply reply = {0};
    json_t *item;
    size_t i;
    if (kube_resource_find(s->client, type, &r, NULL) < 0)
        return;
    AUTO_CHARS char *path = kube_resource_path(&r, ns ? ns : s->namespace_, NULL);
    int code = kube_call_wait(s->client, "GET", path, NULL, NULL, &reply, NULL);
    json_array_foreach(json_at(code == 0 ? reply.object : NULL, "items"), i, item)
    {
        const char *name = json_at_str(item, "metadata.name");
        if (name)
            printf("%s%s%s\n", with_type ? type : "", with_type ? "/" : "", name);
    }
    kube_reply_done(&reply);
}

static void print_types(struct cli_session *s)
{
    static const char *const roots[] = {"/api/v1", "/apis/apps/v1", "/apis/discovery.k8s.io/v1"};
    json_t *item;
    size_t k;
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        struct kube_reply reply = {0};
        int code = kube_call_wait(s->client, "GET", roots[i], NULL, NULL, &reply, NULL);
        json_array_foreach(json_at(code == 0 ? reply.object : NULL, "resources"), k, item)
        {
            const char *name = json_key_str(item, "name");
            if (name && !strchr(name, '/'))
                printf("%s\n", name);
        }
        kube_reply_done(&reply);
    }
}

/* A kubeconfig that is not there, a server that does not answer: no candidates. */
static bool session_open(struct cli_session *s, int argc, char **argv)
{
    s->kubeconfig = flag_value(argc, argv, "--kubeconfig", "--kubeconfig");
    s->context = flag_value(argc, argv, "--context", "--context");
    (void)alarm(COMPLETE_SECONDS);
    return kube_config_load(s->kubeconfig, s->context, &s->config, NULL) == 0 &&
           loop_new(&s->loop, NULL) == 0 &&
           kube_client_new(s->loop, s->config, "fairlead/" FAIRLEAD_VERSION, &s->client, NULL) ==
               0 &&
           (s->namespace_ = s->config->namespace_);
}

static void print_labs(void)
{
    const char *base = getenv("FAIRLEAD_STATE_DIR");
    AUTO_CHARS char *path = xasprintf("%s/labs", str_empty(base) ? "/var/lib/fairlead" : base);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            printf("%s\n", e->d_name);
    if (d)
        closedir(d);
}

static void print_output_forms(const char *command)
{
    static const struct {
        const char *command; /* NULL: every other one */
        const char *forms[6];
    } rows[] = {{"get", {"table", "wide", "json", "yaml", "name", "jsonpath="}},
                {"analyze", {"text", "json", "yaml"}},
                {"convert-ingress", {"yaml", "json"}},
                {"inject", {"yaml", "json"}},
                {"migrate", {"text", "json", "yaml"}},
                {"proxy-status", {"table", "json", "yaml"}},
                {"proxy-config", {"table", "json", "yaml"}},
                {"edges", {"table", "wide", "json", "yaml"}},
                {"graph", {"text", "json", "dot"}},
                {"top", {"table", "json", "yaml"}},
                {"tap", {"text", "json"}},
                {"trace", {"text", "json", "yaml"}},
                {NULL, {"table", "json"}}};
    size_t i = 0, n = 0;
    while (rows[i].command && !streq(rows[i].command, command))
        i++;
    while (n < ARRAY_LEN(rows[i].forms) && rows[i].forms[n])
        n++;
    print_words(rows[i].forms, n);
}

/* Words of a fixed set that a command begins with. True: answered. */
static bool complete_first(const char *command)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};
    static const char *const configs[] = {"listeners", "routes",    "clusters", "endpoints",
                                          "secrets",   "bootstrap", "log"};
    if (streq(command, "migrate"))
        print_words((const char *const[]){"ingress-nginx"}, 1);
    else if (streq(command, "completion"))
        print_words(shells, ARRAY_LEN(shells));
    else if (streq(command, "proxy-config"))
        print_words(configs, ARRAY_LEN(configs));
    else
        return false;
    return true;
}

/* Commands that take no object of the cluster. */
static bool takes_object(const char *command)
{
    static const char *const without[] = {
        "check",   "version", "apply", "analyze", "completion", "explain", "convert-ingress",
        "migrate", "inject",  "edges", "graph",   "top",        "trace"};
    for (size_t i = 0; i < ARRAY_LEN(without); i++)
        if (streq(command, without[i]))
            return false;
    return true;
}

/* The last word is the value of the flag before it. True: answered. */
static bool complete_value(const char *command, const char *flag, int argc, char **argv)
{
    static const char *const what[] = {"host", "kernel", "lab"};
    static const char *const levels[] = {"info", "warning", "error"};
    struct cli_session s = {0};
    bool known = true;
    if (streq(flag, "-o") || streq(flag, "--output"))
        print_output_forms(command);
    else if (str_ends(str_from(flag), STR("-threshold")))
        print_words(levels, ARRAY_LEN(levels));
    else if (streq(flag, "--only") || streq(flag, "--skip"))
        print_words(what, ARRAY_LEN(what));
    else if (streq(command, "lab") && streq(flag, "--name"))
        print_labs();
    else if (streq(flag, "-n") || streq(flag, "--namespace")) {
        if (session_open(&s, argc, argv))
            print_names(&s, "namespaces", NULL, false);
        cli_session_close(&s);
    } else
        known = streq(flag, "-f") || streq(flag, "--filename") || streq(flag, "--kubeconfig");
    return known;
}

/* An object of the cluster. first: the command's first word, NULL = the last word is that. */
static void complete_object(const char *command, const char *first, int argc, char **argv)
{
    struct cli_session s = {0};
    const char *last = argv[argc - 1], *ns = flag_value(argc, argv, "-n", "--namespace");
    struct str rest, type = str_cut(str_from(last), '/', &rest);
    AUTO_CHARS char *word = str_dup(type);
    bool typed = streq(command, "get") || streq(command, "delete");
    if (session_open(&s, argc, argv)) {
        if (!typed && !first)
            print_names(&s, "pods", ns, false);
        else if (typed && rest.p)
            print_names(&s, word, ns, true);
        else if (typed && first && !strchr(first, '/'))
            print_names(&s, first, ns, false);
        else if (typed && !first)
            print_types(&s);
    }
    cli_session_close(&s);
}

int cli_complete(const struct cli_commands *all, int argc, char **argv)
{
    const struct cli_command *c = NULL;
    char *flags[] = {NULL, (char *)(uintptr_t)PROGRAM_LIST_FLAGS, NULL};
    if (argc <= 1) {
        print_table(all->commands, all->n_commands);
        return EXIT_OK;
    }
    for (size_t i = 0; i < all->n_commands; i++)
        if (streq(all->commands[i].name, argv[0]))
            c = &all->commands[i];
    const char *last = argv[argc - 1], *before = argv[argc - 2], *first = NULL;
    bool lab = c && !c->run;
    if (!c)
        return EXIT_OK;
    if (lab && argc == 2) {
        print_table(all->lab_verbs, all->n_lab_verbs);
        return EXIT_OK;
    }
    for (int i = 1; i + 1 < argc; i++) {
        if (streq(argv[i], "--")) /* a command of the container */
            return EXIT_OK;
        if (argv[i][0] != '-' && argv[i - 1][0] != '-' && !first)
            first = argv[i];
    }
    if (last[0] == '-' && lab) {
        char *words[] = {argv[0], argv[1], flags[1], NULL};
        return all->run_lab(3, words);
    }
    if (last[0] == '-') {
        flags[0] = argv[0];
        return c->run(2, flags);
    }
    if (before[0] == '-' && complete_value(argv[0], before, argc, argv))
        return EXIT_OK;
    if (!first && complete_first(argv[0]))
        return EXIT_OK;
    if (!lab && takes_object(argv[0]))
        complete_object(argv[0], streq(argv[0], "proxy-config") ? NULL : first, argc, argv);
    return EXIT_OK;
}
