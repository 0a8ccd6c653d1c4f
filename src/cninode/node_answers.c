#include "cninode/node_answers.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "cni/cni_config.h"
#include "intercept/interception_pod.h"
#include "net/conn.h"
#include "net/listener.h"

enum {
    QUESTION_BYTES_MAX = 4096,
    ASKING_MAX = 256, /* at once; a node starts fewer pods */
    TRIES = 3,
    RETRY_MS = 1000,
    NAME_MAX_BYTES = 253,
};

struct node_answers {
    struct kube_client *client;
    struct listener *listener;
    struct list_node asking;
    unsigned n;
};

struct asking {
    struct list_node node;
    struct node_answers *of;
    struct conn *conn;
    struct kube_call *call;
    struct loop_timer *retry;
    json_t *question;
    unsigned tries;
    bool answered;
};

/* ---- pure ---- */

static bool is_name(const char *name)
{
    size_t n = name ? strlen(name) : 0;
    return n && n <= NAME_MAX_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n && name[0] != '.';
}

int node_question_read(struct str line, json_t **ret, struct err *reterr)
{
    int r = json_parse(line, QUESTION_BYTES_MAX, NULL, ret, reterr);
    if (r < 0)
        return r;
    if (is_name(json_key_str(*ret, "namespace")) && is_name(json_key_str(*ret, "name")))
        return 0;
    json_decref(TAKE(*ret));
    return err_set(reterr, -EINVAL, NULL, "a namespace and a name of a pod are expected");
}

json_t *node_answer_of_pod(const json_t *pod)
{
    json_t *list = json_array(), *c;
    size_t i;
    json_array_foreach(json_at(pod, "spec.initContainers"), i,
                       c) if (streq(json_key_str(c, "name"), INTERCEPTION_CHECK))
        json_array_append_new(list, json_pack("{s:s,s:O*}", "name", INTERCEPTION_CHECK, "args",
                                              json_object_get(c, "args")));
    return json_pack("{s:{s:o}}", "spec", "initContainers", list);
}

/* ---- one plugin ---- */

static void asking_free(struct asking *a)
{
    list_remove(&a->node);
    a->of->n--;
    if (a->call)
        kube_call_cancel(a->call);
    loop_timer_free(a->retry);
    json_decref(a->question);
    free(a);
}

static void answer(struct asking *a, json_t *what)
{
    AUTO_DONE(buf) struct buf text = {0};
    json_write(&text, what);
    json_decref(what);
    a->answered = true;
    conn_write(a->conn, buf_str(&text));
    conn_close_after_flush(a->conn);
}

static void refuse(struct asking *a, const char *why)
{
    answer(a, json_pack("{s:s}", "error", why));
}

static void ask(void *user);

static void on_pod(const struct kube_result *r, void *user)
{
    struct asking *a = user;
    a->call = NULL;
    if (kube_ok(r)) {
        answer(a, node_answer_of_pod(r->object));
    } else if (r->code == 0 && r->status == 404) {
        answer(a, json_object()); /* a static pod is not known yet; one that is gone needs none */
    } else if (++a->tries < TRIES) {
        loop_timer_start(a->retry, RETRY_MS);
    } else {
        log_warn("the API server does not tell of a pod",
                 kv_s("namespace", json_key_str(a->question, "namespace")),
                 kv_s("pod", json_key_str(a->question, "name")), kv_s("error", r->message));
        refuse(a, r->message);
    }
}

static void ask(void *user)
{
    struct asking *a = user;
    AUTO_CHARS char *path =
        xasprintf("/api/v1/namespaces/%s/pods/%s", json_key_str(a->question, "namespace"),
                  json_key_str(a->question, "name"));
    a->call = kube_call(a->of->client, "GET", path, NULL, NULL, on_pod, a);
}

static void on_data(struct conn *c, void *user)
{
    struct asking *a = user;
    struct chain *in = conn_in(c);
    struct err err = {0};
    struct str line = chain_linear(in, in->n), rest;
    if (a->answered || a->question) {
        chain_done(in);
        return;
    }
    line = str_cut(line, '\n', &rest);
    if (!rest.p) {
        if (conn_eof(c) || in->n > QUESTION_BYTES_MAX)
            refuse(a, "one line of JSON is expected");
        return;
    }
    if (node_question_read(line, &a->question, &err) < 0)
        refuse(a, err_text(&err));
    else
        ask(a);
    chain_done(in);
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    (void)c;
    (void)code;
    (void)text;
    asking_free(user);
}

static void on_accept(int fd, void *user)
{
    static const struct conn_ops ops = {.on_data = on_data, .on_close = on_close};
    struct node_answers *all = user;
    struct loop *l = kube_client_loop(all->client);
    if (all->n == ASKING_MAX) {
        close(fd);
        return;
    }
    struct asking *a = NEW(struct asking);
    a->of = all;
    a->retry = loop_timer_new(l, ask, a);
    list_add_tail(&all->asking, &a->node);
    all->n++;
    a->conn = conn_new_accepted(l, fd, NULL, &ops, a);
}

/* ---- all of them ---- */

static int make_directory(const char *path, struct err *reterr)
{
    AUTO_CHARS char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');
    if (!slash || slash == dir)
        return 0;
    *slash = '\0';
    return directory_make(dir, 0700, reterr);
}

int node_answers_new(struct kube_client *c, const char *path, struct node_answers **ret,
                     struct err *reterr)
{
    const struct listener_address at = {.path = path, .mode = 0600};
    struct node_answers *a = NEW(struct node_answers);
    int fd = -1;
    a->client = c;
    list_init(&a->asking);
    int r = make_directory(path, reterr);
    if (r == 0)
        r = listener_socket_open(&at, NULL, &fd, reterr);
    if (r == 0 && (r = listener_adopt(kube_client_loop(c), fd, on_accept, a, &a->listener)) < 0) {
        err_set(reterr, r, NULL, "watch %s: %s", path, strerror(-r));
        close(fd);
    }
    if (r < 0) {
        free(a);
        return r;
    }
    *ret = a;
    return 0;
}

void node_answers_free(struct node_answers *a)
{
    if (!a)
        return;
    LIST_FOREACH_SAFE (node, &a->asking) {
        struct asking *one = CONTAINER_OF(node, struct asking, node);
        conn_free(one->conn);
        asking_free(one);
    }
    listener_free(a->listener);
    free(a);
}
