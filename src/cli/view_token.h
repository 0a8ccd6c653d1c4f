#pragma once
/* How commands say to the control plane who asks: as a service account that may look, by a token
 * that the API server makes for that alone. So whatever the kubeconfig has (a certificate, a token,
 * a plugin) is shown to the API server and to nobody else; who may make such a token (create
 * serviceaccounts/token), the API server says. It passes requests on without their
 * `authorization`: the token goes in a field of its own. */

#include "cli/cli.h"

#define VIEW_ACCOUNT      "fairlead-viewer" /* in the control plane's namespace */
#define VIEW_TOKEN_HEADER "Fairlead-Authorization"

#define VIEW_ARGS(s)                                                                               \
    {                                                                                              \
        "viewer", 0, ARG_STRING, &(s)->viewer, "NAMESPACE/NAME",                                   \
            "the service account to look as (default " VIEW_ACCOUNT                                \
            " of the control plane's namespace)",                                                  \
            0, 0, false                                                                            \
    }

/* Makes one that is good for minutes, if there is none. What fails is kept: a control plane that
 * does not ask answers all the same. Waits: not from callbacks of the loop. */
void view_token_want(struct cli_session *s, const char *control_namespace);
/* Of a request; false: there is no token. Borrowed. */
bool view_token_header(const struct cli_session *s, struct http_header *ret);
/* Of an answer (401, 403) of the control plane: its message, and why there was no token. Owned. */
char *view_token_refusal(const struct cli_session *s, int status, struct str body);
/* A page of the control plane, with the token if there is one. */
int cli_request_view(struct cli_session *s, const char *target, struct cli_answer *ret,
                     struct err *reterr) NODISCARD;
