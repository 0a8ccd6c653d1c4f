/* fairlead version: ours and the server's. */
#include <stdio.h>

#include "cli/cli.h"

int cli_version(int argc, char **argv)
{
    struct cli_session s = {0};
    bool client_only = false;
    const char *output = "text";
    struct arg args[] = {
        CLI_SESSION_ARGS(&s),
        {"client", 0, ARG_BOOL, &client_only, NULL, "do not ask the server", 0, 0, false},
        {"output", 'o', ARG_STRING, &output, "FORM", "text or json", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead version",
                              "prints the versions of this program and of the server",
                              "[flags]",
                              "  fairlead version\n  fairlead version -o json\n",
                              args,
                              false};
    struct kube_reply reply = {0};
    struct err err = {0};
    const char *server = NULL;
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    code = client_only || kube_config_load(s.kubeconfig, s.context, &s.config, &err) < 0 ? 0 : -1;
    if (code < 0 && (code = cli_session_open(&s)) < 0 &&
        kube_call_wait(s.client, "GET", "/version", NULL, NULL, &reply, &err) == 0)
        server = json_key_str(reply.object, "gitVersion");
    if (streq(output, "json"))
        printf("{\"apiVersion\":\"fairlead.dev/"
               "v1\",\"kind\":\"Version\",\"client\":\"%s\",\"server\":\"%s\"}\n",
               FAIRLEAD_VERSION, server ? server : "");
    else
        printf("client: %s\nserver: %s\n", FAIRLEAD_VERSION,
               server        ? server
               : client_only ? "not asked"
                             : "not reachable");
    kube_reply_done(&reply);
    if (s.client)
        cli_session_close(&s);
    return EXIT_OK;
}
