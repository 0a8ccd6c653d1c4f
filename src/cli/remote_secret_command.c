/* fairlead create-remote-secret: what another cluster's control plane needs to know to have this
 * one in its mesh, as a Secret for there: the address of the API server, and a token of an account
 * that may look at Services and pods and at nothing else. It has an end, which is told. */
#include <stdio.h>

#include "base/time.h"
#include "cli/cli.h"
#include "codec/base64.h"
#include "codec/json.h"

#define ACCOUNT "fairlead-reader"

struct remote_secret_args {
    struct cli_session session;
    const char *name, *server;
    uint64_t lifetime_ms;
};

/* -1: goes on. */
static int ask_token(struct remote_secret_args *a, char **ret_token, char **ret_ends)
{
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/serviceaccounts/" ACCOUNT "/token",
                                      a->session.namespace_),
                    *body = xasprintf("{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":"
                                      "\"TokenRequest\",\"spec\":{\"expirationSeconds\":%llu}}",
                                      (unsigned long long)(a->lifetime_ms / 1000));
    struct cli_answer answer;
    struct err err = {0};
    AUTO_JSON json_t *j = NULL;
    int code = -1;
    if (cli_request(&a->session, "POST", path, NULL, NULL, str_from(body), &answer, &err) < 0)
        return cli_unreachable(&a->session, &err);
    if (answer.status == 404)
        code = program_fail(EXIT_FAILED, "install the mesh there: docs/install.md",
                            "there is no service account " ACCOUNT " in namespace %s",
                            a->session.namespace_);
    else if (answer.status >= 300)
        code = cli_server_error(&answer);
    else if (json_parse(buf_str(&answer.body), 0, NULL, &j, NULL) < 0 ||
             !json_at_str(j, "status.token"))
        code = program_fail(EXIT_FAILED, NULL, "the server gave no token");
    if (code < 0) {
        const char *ends = json_at_str(j, "status.expirationTimestamp");
        *ret_token = xstrdup(json_at_str(j, "status.token"));
        *ret_ends = xstrdup(ends ? ends : "");
    }
    if (answer.body.n)
        explicit_bzero(answer.body.p, answer.body.n);
    buf_done(&answer.body);
    return code;
}

static void print_secret(const struct remote_secret_args *a, const char *token, const char *ends)
{
    const struct kube_config *c = a->session.config;
    AUTO_DONE(buf) struct buf ca = {0};
    if (c->ca_pem)
        base64_encode(str_from(c->ca_pem), &ca);
    printf("# The token ends at %s: make a new one before, in the same way.\n"
           "apiVersion: v1\n"
           "kind: Secret\n"
           "metadata:\n"
           "  name: istio-remote-secret-%s\n"
           "  namespace: %s\n"
           "  labels: {istio/multiCluster: \"true\"}\n"
           "  annotations: {networking.istio.io/cluster: \"%s\"}\n"
           "stringData:\n"
           "  %s: |\n"
           "    apiVersion: v1\n"
           "    kind: Config\n"
           "    current-context: remote\n"
           "    contexts: [{name: remote, context: {cluster: remote, user: reader}}]\n"
           "    clusters:\n"
           "    - name: remote\n"
           "      cluster:\n"
           "        server: %s\n",
           ends, a->name, a->session.namespace_, a->name, a->name,
           a->server ? a->server : c->server);
    if (ca.n)
        printf("        certificate-authority-data: " STR_FMT "\n", STR_ARG(buf_str(&ca)));
    if (c->tls_server_name && !a->server)
        printf("        tls-server-name: %s\n", c->tls_server_name);
    printf("    users: [{name: reader, user: {token: %s}}]\n", token);
}

static int run(struct remote_secret_args *a)
{
    AUTO_CHARS char *token = NULL, *ends = NULL;
    if (!a->name || !str_is_dns1123_subdomain(str_from(a->name)))
        return program_fail(EXIT_USAGE_ERROR, "give --name=west",
                            "--name: what this cluster is called in the mesh, of a-z, 0-9, '-' "
                            "and '.'");
    if (a->server && !str_starts(str_from(a->server), STR("https://")))
        return program_fail(EXIT_USAGE_ERROR, "give --server=https://HOST:PORT",
                            "--server: \"%s\" is no https:// URL", a->server);
    int code = cli_session_open(&a->session);
    code = code < 0 ? ask_token(a, &token, &ends) : code;
    if (code >= 0)
        return code;
    print_secret(a, token, ends);
    explicit_bzero(token, strlen(token));
    return EXIT_OK;
}

int cli_create_remote_secret(int argc, char **argv)
{
    struct remote_secret_args a = {.session = {.namespace_ = "fairlead-system"},
                                   .lifetime_ms = (uint64_t)365 * 24 * 3600 * 1000};
    struct arg args[] = {
        {"name", 0, ARG_STRING, &a.name, "NAME", "what this cluster is called in the mesh", 0, 0,
         false},
        {"server", 0, ARG_STRING, &a.server, "URL",
         "where others reach its API server (default: as the kubeconfig says)", 0, 0, false},
        {"lifetime", 0, ARG_DURATION, &a.lifetime_ms, "D",
         "of the token; the server may give less (default 8760h)", 0, 0, false},
        CLI_SESSION_ARGS(&a.session),
        {.name = NULL},
    };
    const struct program p = {
        "fairlead create-remote-secret",
        "prints the Secret by which another cluster's control plane knows this one",
        "--name NAME [flags]",
        "  fairlead create-remote-secret --name west --context west | kubectl --context east apply "
        "-f -\n"
        "  fairlead create-remote-secret --name west --server https://api.west.example:6443\n",
        args,
        false};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code < 0)
        code = run(&a);
    if (a.session.client)
        cli_session_close(&a.session);
    return code;
}
