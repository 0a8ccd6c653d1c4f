#include "cli/proxy_source.h"

#include <stdio.h>

#include "cli/exec.h"
#include "cli/pod_choice.h"
#include "cli/view_token.h"

#define CONTROL_SELECTOR "app=fairlead-control"

/* ---- a proxy ---- */

/* The container that is called as proxies are, else the first. */
static char *container_of_proxy(const json_t *pod)
{
    static const char *const names[] = {"proxy", "fairlead-proxy", "istio-proxy"};
    const json_t *list = json_at(pod, "spec.containers");
    json_t *c;
    size_t i;
    json_array_foreach(
        (json_t *)(uintptr_t)list, i,
        c) for (size_t n = 0; n < ARRAY_LEN(names);
                n++) if (streq(json_key_str(c, "name"), names[n])) return xstrdup(names[n]);
    const char *first = json_key_str(json_array_get(list, 0), "name");
    return xstrdup(first ? first : "");
}

/* The pod as an object; NULL: there is none of that name. */
static json_t *find_pod(struct cli_session *s, const char *ns, const char *name)
{
    const struct kube_resource pods = {
        .plural = "pods", .kind = "Pod", .group_version = "v1", .namespaced = true};
    AUTO_CHARS char *path = kube_resource_path(&pods, ns, name);
    struct kube_reply reply = {0};
    json_t *pod = NULL;
    if (kube_call_wait(s->client, "GET", path, NULL, NULL, &reply, NULL) == 0 &&
        reply.status == 200)
        pod = json_incref(reply.object);
    kube_reply_done(&reply);
    return pod;
}

int proxy_name_find(struct cli_session *s, const char *word, struct proxy_name *ret)
{
    const char *dot = strrchr(word, '.');
    AUTO_JSON json_t *pod = NULL;
    AUTO_CHARS char *name = NULL;
    *ret = (struct proxy_name){0};
    if (dot && !strchr(word, '/')) {
        name = xstrndup(word, (size_t)(dot - word));
        pod = find_pod(s, dot + 1, name);
        if (pod)
            s->namespace_ = dot + 1;
    }
    if (!pod) {
        free(TAKE(name));
        int code = cli_pod_choose(s, word, &name);
        if (code >= 0)
            return code;
        pod = find_pod(s, s->namespace_, name);
    }
    if (!pod)
        return program_fail(EXIT_FAILED, "fairlead proxy-status names those that are connected",
                            "there is no pod %s in namespace %s", word, s->namespace_);
    ret->pod = TAKE(name);
    ret->container = container_of_proxy(pod);
    return -1;
}

void proxy_name_done(struct proxy_name *p)
{
    free(p->pod);
    free(p->container);
}

int proxy_admin_ask(struct cli_session *s, const struct proxy_name *p, const char *method,
                    const char *path, struct buf *ret)
{
    const char *const command[] = {"fairlead-proxy", "request", method, path};
    AUTO_DONE(buf) struct buf errors = {0};
    int code = cli_exec_capture(s, p->pod, p->container, command, ARRAY_LEN(command), ret, &errors);
    if (code == 0)
        return -1;
    if (errors.n)
        fprintf(stderr, STR_FMT, STR_ARG(buf_str(&errors)));
    return code == 126 || code == 127
               ? program_fail(EXIT_FAILED, "name the pod of a proxy: fairlead proxy-status",
                              "container %s of pod %s has no fairlead-proxy", p->container, p->pod)
               : code;
}

int proxy_admin_json(struct cli_session *s, const struct proxy_name *p, const char *path,
                     json_t **ret)
{
    AUTO_DONE(buf) struct buf body = {0};
    struct err err = {0};
    int code = proxy_admin_ask(s, p, "GET", path, &body);
    if (code < 0 && json_parse(buf_str(&body), 0, NULL, ret, &err) < 0)
        code =
            program_fail(EXIT_FAILED, NULL, "the proxy's answer to %s: %s", path, err_text(&err));
    return code;
}

/* ---- the control plane ---- */

char *control_target(const char *control_namespace, const char *pod, const char *path)
{
    return xasprintf("/api/v1/namespaces/%s/pods/%s:%d/proxy%s", control_namespace, pod,
                     CONTROL_DEBUG_PORT, path);
}

static bool ask_one(struct cli_session *s, const char *ns, const char *pod, const char *path,
                    void (*fn)(const char *control, json_t *answer, void *user), void *user)
{
    AUTO_CHARS char *target = control_target(ns, pod, path);
    AUTO_JSON json_t *object = NULL;
    struct cli_answer a;
    struct err err = {0};
    view_token_want(s, ns);
    int r = cli_request_view(s, target, &a, &err);
    bool ok =
        r == 0 && a.status == 200 && json_parse(buf_str(&a.body), 0, NULL, &object, NULL) == 0;
    AUTO_CHARS char *why = ok                ? NULL
                           : r < 0           ? xstrdup(err_text(&err))
                           : a.status == 200 ? xstrdup("the answer is not JSON")
                                             : view_token_refusal(s, a.status, buf_str(&a.body));
    if (ok)
        fn(pod, object, user);
    else
        fprintf(stderr, "warning: pod %s in namespace %s: %s\n", pod, ns, why);
    buf_done(&a.body);
    return ok;
}

int control_pods(struct cli_session *s, const char *control_namespace, json_t **ret)
{
    const char *before = s->namespace_;
    AUTO_JSON json_t *pods = NULL;
    size_t i;
    json_t *pod;
    s->namespace_ = control_namespace;
    int code = cli_pods_select(s, CONTROL_SELECTOR, &pods);
    s->namespace_ = before;
    if (code >= 0)
        return code;
    *ret = json_array();
    json_array_foreach(pods, i, pod) if (streq(json_at_str(pod, "status.phase"), "Running"))
        json_array_append(*ret, pod);
    return -1;
}

int control_is_silent(const char *control_namespace)
{
    return program_fail(EXIT_FAILED,
                        "--control-namespace says where its pods are; the rights to get pods/proxy "
                        "and to create serviceaccounts/token of " VIEW_ACCOUNT " are needed there",
                        "no control plane answers in namespace %s (pods %s)", control_namespace,
                        CONTROL_SELECTOR);
}

int control_ask_each(struct cli_session *s, const char *control_namespace, const char *path,
                     void (*fn)(const char *control, json_t *answer, void *user), void *user)
{
    AUTO_JSON json_t *pods = NULL;
    size_t answered = 0, i;
    json_t *pod;
    int code = control_pods(s, control_namespace, &pods);
    if (code >= 0)
        return code;
    json_array_foreach(pods, i, pod) answered +=
        ask_one(s, control_namespace, json_at_str(pod, "metadata.name"), path, fn, user);
    return answered ? -1 : control_is_silent(control_namespace);
}
