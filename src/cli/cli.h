#pragma once
/* The commands of `fairlead`: each takes the arguments after its name and returns an exit code of
 * docs/cli.md. */

#include "base/program.h"
#include "kube/discovery.h"
#include "net/http_client.h"

int cli_get(int argc, char **argv);
int cli_apply(int argc, char **argv);
int cli_delete(int argc, char **argv);
int cli_logs(int argc, char **argv);
int cli_exec(int argc, char **argv);
int cli_attach(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_describe(int argc, char **argv);
int cli_analyze(int argc, char **argv);
int cli_convert_ingress(int argc, char **argv);
int cli_migrate(int argc, char **argv);
int cli_inject(int argc, char **argv);
int cli_proxy_status(int argc, char **argv);
int cli_proxy_config(int argc, char **argv);
int cli_edges(int argc, char **argv);
int cli_graph(int argc, char **argv);
int cli_top(int argc, char **argv);
int cli_tap(int argc, char **argv);
int cli_trace(int argc, char **argv);
int cli_create_remote_secret(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_bug_report(int argc, char **argv);
int cli_install(int argc, char **argv);
int cli_upgrade(int argc, char **argv);
int cli_uninstall(int argc, char **argv);
int cli_version(int argc, char **argv);

/* The connection every command about a cluster starts with. */
struct cli_session {
    struct loop *loop;
    struct kube_config *config;
    struct kube_client *client;
    const char *kubeconfig;
    const char *context;
    const char *namespace_; /* -n, or the context's once opened */
    /* How the control plane is asked: cli/view_token.h. */
    const char *viewer;
    char *view_field, *view_problem;
    uint64_t view_until_ms;
};
/* The three flags; two more entries must follow in the caller's table. */
#define CLI_SESSION_ARGS(s)                                                                        \
    {"kubeconfig", 0, ARG_STRING, &(s)->kubeconfig, "FILE", "kubeconfig to use", 0, 0, false},     \
        {"context", 0, ARG_STRING, &(s)->context, "NAME", "context of it", 0, 0, false},           \
    {                                                                                              \
        "namespace", 'n', ARG_STRING, &(s)->namespace_, "NS", "namespace", 0, 0, false             \
    }

/* Opens; on failure prints the error and returns its exit code, else -1. */
int cli_session_open(struct cli_session *s);
void cli_session_close(struct cli_session *s);
void cli_session_forget_view(struct cli_session *s); /* the token, and why there is none */

/* A request that is not plain JSON in, JSON out. Waits for the whole answer. */
struct cli_answer {
    int status;
    struct buf body;
};
int cli_request(struct cli_session *s, const char *method, const char *target, const char *accept,
                const char *content_type, struct str body, struct cli_answer *ret,
                struct err *reterr) NODISCARD;
/* The same, with fields of the caller's. */
enum { CLI_REQUEST_MS = 30000 };
int cli_request_whole(struct cli_session *s, const struct http_request *r, struct cli_answer *ret,
                      struct err *reterr) NODISCARD;
/* Prints the Status of a failed answer ("Error from server (NotFound): …") and returns the exit
 * code. */
int cli_server_error(const struct cli_answer *a);
int cli_unreachable(const struct cli_session *s, const struct err *err);
