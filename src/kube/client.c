/* API client: builds requests from paths and JSON, turns answers into kube_result. Owns one
 * http_client (which pools connections) and the calls in flight. A token file is read again when it
 * changes, as service account tokens do. */
#include "kube/client.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/time.h"
#include "codec/http_status.h"
#include "kube/config.h"

enum {
    KUBE_CALL_TIMEOUT_MS = 30000,
    KUBE_TOKEN_CHECK_MS = 10000,
};

struct kube_client {
    struct loop *loop;
    struct http_client *http;
    struct list_node calls;
    char *token_file;
    struct timespec token_mtime;
    uint64_t token_checked_ms;
    struct http_client_config http_config; /* for a new client when the token changes */
    struct tls_context *tls;
    char *host;
    char *user_agent;
    char *authorization;
};

struct kube_call {
    struct list_node node;
    struct http_call *http;
    kube_call_fn *fn;
    void *user;
};

static int read_token(const char *path, struct timespec *ret_mtime, char **ret)
{
    struct stat st;
    char text[16384];
    FILE *f = fopen(path, "re");
    if (!f)
        return -errno;
    size_t n = fstat(fileno(f), &st) == 0 ? fread(text, 1, sizeof(text), f) : 0;
    fclose(f);
    while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    if (!n || n == sizeof(text))
        return -EINVAL;
    *ret_mtime = st.st_mtim;
    *ret = xasprintf("Bearer %.*s", (int)n, text);
    explicit_bzero(text, sizeof(text));
    return 0;
}

static int make_tls(struct kube_client *c, const struct kube_config *config, struct err *reterr)
{
    if (!config->tls)
        return 0;
    struct tls_config t = {
        .cert_pem = str_from(config->cert_pem),
        .key_pem = str_from(config->key_pem),
        .ca_pem = str_from(config->ca_pem),
        .insecure = config->insecure,
    };
    return tls_context_new_client(&t, &c->tls, reterr);
}

static void open_http(struct kube_client *c)
{
    c->http_config.authorization = c->authorization;
    c->http = http_client_new(c->loop, &c->http_config);
}

int kube_client_new(struct loop *l, const struct kube_config *config, const char *user_agent,
                    struct kube_client **ret, struct err *reterr)
{
    struct kube_client *c = NEW(struct kube_client);
    list_init(&c->calls);
    c->loop = l;
    struct ip ip = {0};
    if (ip_parse(str_from(config->host), &ip) < 0)
        ip.family = 0; /* a name: the HTTP client resolves it */
    int r = make_tls(c, config, reterr);
    if (r == 0 && config->token_file) {
        r = read_token(config->token_file, &c->token_mtime, &c->authorization);
        if (r < 0)
            err_set(reterr, r, NULL, "token file %s: %s", config->token_file, strerror(-r));
        c->token_file = xstrdup(config->token_file);
    } else if (r == 0 && config->token) {
        c->authorization = xasprintf("Bearer %s", config->token);
    }
    if (r < 0) {
        kube_client_free(c);
        return r;
    }
    c->host = xstrdup(config->tls_server_name ? config->tls_server_name : config->host);
    c->user_agent = xstrdup(user_agent);
    c->http_config = (struct http_client_config){.ip = ip,
                                                 .port = config->port,
                                                 .host = c->host,
                                                 .resolve = config->host,
                                                 .prefix = config->path,
                                                 .tls = c->tls,
                                                 .user_agent = c->user_agent};
    open_http(c);
    *ret = c;
    return 0;
}

void kube_client_free(struct kube_client *c)
{
    if (!c)
        return;
    while (!list_is_empty(&c->calls))
        kube_call_cancel(CONTAINER_OF(c->calls.next, struct kube_call, node));
    http_client_free(c->http);
    tls_context_unref(c->tls);
    free(c->host);
    free(c->user_agent);
    free(c->token_file);
    if (c->authorization)
        explicit_bzero(c->authorization, strlen(c->authorization));
    free(c->authorization);
    free(c);
}

struct loop *kube_client_loop(struct kube_client *c)
{
    return c->loop;
}

struct http_client *kube_client_http(struct kube_client *c)
{
    struct stat st;
    char *fresh = NULL;
    if (!c->token_file || time_mono_ms() < c->token_checked_ms + KUBE_TOKEN_CHECK_MS)
        return c->http;
    c->token_checked_ms = time_mono_ms();
    if (stat(c->token_file, &st) < 0 || (st.st_mtim.tv_sec == c->token_mtime.tv_sec &&
                                         st.st_mtim.tv_nsec == c->token_mtime.tv_nsec))
        return c->http;
    if (read_token(c->token_file, &c->token_mtime, &fresh) < 0)
        return c->http; /* half-written: the old one goes on, the next check reads again */
    free(c->authorization);
    c->authorization = fresh;
    http_client_set_authorization(c->http, fresh);
    return c->http;
}

/* ---- calls ---- */

static void call_finish(struct kube_call *call, const struct kube_result *r)
{
    list_remove(&call->node);
    if (call->fn)
        call->fn(r, call->user);
    free(call);
}

static void on_call_done(struct http_call *http, int code, const char *text, void *user)
{
    struct kube_call *call = user;
    AUTO_JSON json_t *object = NULL;
    struct kube_result r = {.code = code, .reason = "", .message = text};
    if (code == 0) {
        struct err err = {0};
        r.status = http_call_status(http);
        r.body = http_call_body(http);
        if (r.body.n && r.body.p[0] == '{' && json_parse(r.body, 0, NULL, &object, &err) < 0) {
            r.code = -EBADMSG;
            r.message = "the server's answer is not valid JSON";
        }
        r.object = object;
        const char *reason = json_at_str(object, "reason");
        const char *message = json_at_str(object, "message");
        r.reason = reason ? reason : "";
        r.message = message ? message : http_status_text((unsigned)r.status).p;
    }
    call_finish(call, &r);
}

static const struct http_call_ops call_ops = {.on_done = on_call_done};

struct kube_call *kube_call(struct kube_client *c, const char *method, const char *path,
                            const char *content_type, const json_t *body, kube_call_fn *fn,
                            void *user)
{
    struct kube_call *call = NEW(struct kube_call);
    AUTO_DONE(buf) struct buf text = {0};
    struct http_header headers[2] = {{STR("Accept"), STR("application/json")}};
    struct http_request r = {.method = method,
                             .target = path,
                             .headers = headers,
                             .n_headers = 1,
                             .timeout_ms = KUBE_CALL_TIMEOUT_MS};
    if (body) {
        json_write(&text, body);
        headers[1].name = STR("Content-Type");
        headers[1].value = str_from(content_type ? content_type : "application/json");
        r.n_headers = 2;
        r.body = buf_str(&text);
    }
    call->fn = fn;
    call->user = user;
    list_add_tail(&c->calls, &call->node);
    call->http = http_call_start(kube_client_http(c), &r, &call_ops, call);
    return call;
}

void kube_call_cancel(struct kube_call *call)
{
    if (!call)
        return;
    list_remove(&call->node);
    http_call_cancel(call->http);
    free(call);
}

/* ---- waiting ---- */

struct waiter {
    bool done;
    struct kube_reply *reply;
    struct err *err;
    int code;
};

static void on_waited(const struct kube_result *r, void *user)
{
    struct waiter *w = user;
    w->done = true;
    w->code = r->code;
    if (r->code < 0) {
        err_set(w->err, r->code, NULL, "%s", r->message);
        return;
    }
    w->reply->status = r->status;
    w->reply->object = json_incref(r->object);
    buf_add_str(&w->reply->body, r->body);
}

int kube_call_wait(struct kube_client *c, const char *method, const char *path,
                   const char *content_type, const json_t *body, struct kube_reply *ret,
                   struct err *reterr)
{
    struct waiter w = {.reply = ret, .err = reterr};
    *ret = (struct kube_reply){0};
    (void)kube_call(c, method, path, content_type, body, on_waited, &w);
    while (!w.done)
        loop_turn(c->loop, -1);
    return w.code;
}

void kube_reply_done(struct kube_reply *r)
{
    json_decref(r->object);
    buf_done(&r->body);
    *r = (struct kube_reply){0};
}
