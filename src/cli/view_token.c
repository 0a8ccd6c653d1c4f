/* The token, of the session's life; it is never printed. */
#include "cli/view_token.h"

#include "base/time.h"
#include "codec/json.h"

enum { TOKEN_SECONDS = 600, AGAIN_MS = TOKEN_SECONDS / 2 * 1000 };

static void take_token(struct cli_session *s, const char *account, const struct cli_answer *a)
{
    AUTO_JSON json_t *j = NULL;
    const char *message = NULL, *token = NULL;
    if (json_parse(buf_str(&a->body), 0, NULL, &j, NULL) == 0) {
        message = json_key_str(j, "message");
        token = a->status < 300 ? json_at_str(j, "status.token") : NULL;
    }
    if (token)
        s->view_field = xasprintf("Bearer %s", token);
    else
        s->view_problem = xasprintf("no token of service account %s: %s", account,
                                    message ? message : "the server gave none");
}

void view_token_want(struct cli_session *s, const char *control_namespace)
{
    uint64_t now_ms = time_mono_ms();
    if (s->view_until_ms > now_ms)
        return;
    cli_session_forget_view(s);
    s->view_until_ms = now_ms + AGAIN_MS;
    AUTO_CHARS char *account =
        s->viewer ? xstrdup(s->viewer) : xasprintf("%s/" VIEW_ACCOUNT, control_namespace);
    struct str name, ns = str_cut(str_from(account), '/', &name);
    if (!str_is_dns1123_subdomain(ns) || !name.p || !str_is_dns1123_subdomain(name)) {
        s->view_problem = xasprintf("--viewer: \"%s\" is not NAMESPACE/NAME", account);
        return;
    }
    AUTO_CHARS char *path =
        xasprintf("/api/v1/namespaces/" STR_FMT "/serviceaccounts/" STR_FMT "/token", STR_ARG(ns),
                  STR_ARG(name));
    AUTO_CHARS char *body = xasprintf(
        "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\",\"spec\":{"
        "\"audiences\":[\"fairlead-view\"],\"expirationSeconds\":%d}}",
        TOKEN_SECONDS);
    struct cli_answer answer;
    struct err err = {0};
    if (cli_request(s, "POST", path, NULL, NULL, str_from(body), &answer, &err) < 0)
        s->view_problem = xstrdup(err_text(&err));
    else
        take_token(s, account, &answer);
    if (answer.body.n)
        explicit_bzero(answer.body.p, answer.body.n);
    buf_done(&answer.body);
}

bool view_token_header(const struct cli_session *s, struct http_header *ret)
{
    if (!s->view_field)
        return false;
    *ret = (struct http_header){STR(VIEW_TOKEN_HEADER), str_from(s->view_field)};
    return true;
}

char *view_token_refusal(const struct cli_session *s, int status, struct str body)
{
    AUTO_JSON json_t *j = NULL;
    const char *message = NULL;
    if (json_parse(body, 0, NULL, &j, NULL) == 0)
        message = json_key_str(j, "message");
    bool about_token = status == 401 && s->view_problem;
    if (!message)
        return xasprintf("HTTP %d: " STR_FMT, status, STR_ARG(str_trim(body)));
    return about_token ? xasprintf("%s; %s", s->view_problem, message) : xstrdup(message);
}

int cli_request_view(struct cli_session *s, const char *target, struct cli_answer *ret,
                     struct err *reterr)
{
    struct http_header headers[2] = {{STR("Accept"), STR("*/*")}};
    struct http_request r = {
        .method = "GET", .target = target, .headers = headers, .timeout_ms = CLI_REQUEST_MS};
    r.n_headers = view_token_header(s, &headers[1]) ? 2 : 1;
    return cli_request_whole(s, &r, ret, reterr);
}
