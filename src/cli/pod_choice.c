/* From what a person names to pods: TYPE/NAME by the object's own selector, -l by the server's.
 *
 * A workload or a Service stands for its pods, as with kubectl: the first that is ready, else the
 * first that runs, else the first. Knows nothing of what is done with them. */
#include "cli/pod_choice.h"

#include <errno.h>
#include <stdio.h>

#include "codec/url.h"

static int get(struct cli_session *s, const char *target, json_t **ret)
{
    struct cli_answer a = {0};
    struct err err = {0};
    int code = -1;
    if (cli_request(s, "GET", target, NULL, NULL, (struct str){0}, &a, &err) < 0)
        code = cli_unreachable(s, &err);
    else if (a.status != 200)
        code = cli_server_error(&a);
    else if (json_parse(buf_str(&a.body), 0, NULL, ret, &err) < 0)
        code = program_fail(EXIT_FAILED, NULL, "%s: %s", target, err_text(&err));
    buf_done(&a.body);
    return code;
}

int cli_pods_select(struct cli_session *s, const char *selector, json_t **ret)
{
    const struct kube_resource pods = {
        .plural = "pods", .kind = "Pod", .group_version = "v1", .namespaced = true};
    AUTO_CHARS char *path = kube_resource_path(&pods, s->namespace_, NULL);
    AUTO_DONE(buf) struct buf target = {0};
    AUTO_JSON json_t *list = NULL;
    buf_addf(&target, "%s?labelSelector=", path);
    url_encode(str_from(selector), &target);
    int code = get(s, buf_cstr(&target), &list);
    if (code < 0)
        *ret = json_incref(json_at(list, "items"));
    return code;
}

/* A part of a selector's text. */
static void add_part(struct buf *b, const char *key, const char *op, const json_t *values)
{
    const json_t *v;
    size_t i;
    buf_addf(b, "%s%s%s", b->n ? "," : "", streq(op, "DoesNotExist") ? "!" : "", key);
    if (!json_array_size(values))
        return;
    buf_addf(b, " %s (", streq(op, "NotIn") ? "notin" : "in");
    json_array_foreach((json_t *)(uintptr_t)values, i, v)
        buf_addf(b, "%s%s", i ? "," : "", json_string_value(v) ? json_string_value(v) : "");
    buf_add_char(b, ')');
}

/* Of a LabelSelector, or of the plain map that Services have. */
static void selector_text(const json_t *object, struct buf *ret)
{
    const json_t *selector = json_at(object, "spec.selector"),
                 *labels = json_object_get(selector, "matchLabels");
    const char *key;
    json_t *v;
    size_t i;
    bool plain = !labels && !json_object_get(selector, "matchExpressions");
    json_object_foreach((json_t *)(uintptr_t)(plain ? selector : labels), key, v) buf_addf(
        ret, "%s%s=%s", ret->n ? "," : "", key, json_string_value(v) ? json_string_value(v) : "");
    json_array_foreach(plain ? NULL : json_object_get(selector, "matchExpressions"), i, v)
        add_part(ret, json_key_str(v, "key") ? json_key_str(v, "key") : "",
                 json_key_str(v, "operator"), json_object_get(v, "values"));
}

static int worth(const json_t *pod)
{
    json_t *c;
    size_t i;
    bool ready = false;
    json_array_foreach(json_at(pod, "status.conditions"), i, c) ready =
        ready ||
        (streq(json_key_str(c, "type"), "Ready") && streq(json_key_str(c, "status"), "True"));
    bool ends = json_at_str(pod, "metadata.deletionTimestamp") != NULL;
    return (ready && !ends) * 2 + streq(json_at_str(pod, "status.phase"), "Running");
}

static int choose(const json_t *pods, const char *word, char **ret)
{
    const json_t *best = NULL;
    json_t *pod;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)pods, i, pod) if (!best || worth(pod) > worth(best))
        best = pod;
    if (!best)
        return program_fail(EXIT_FAILED, NULL, "%s has no pods", word);
    *ret = xstrdup(json_at_str(best, "metadata.name"));
    if (json_array_size(pods) > 1)
        fprintf(stderr, "Found %zu pods, using pod/%s\n", json_array_size(pods), *ret);
    return -1;
}

/* A pod's own name, owned, or what selects pods. -1, or the exit code, told. */
static int read_word(struct cli_session *s, const char *word, char **ret_pod, struct buf *selector)
{
    struct str name, type = str_cut(str_from(word), '/', &name);
    struct kube_resource r;
    struct err err = {0};
    AUTO_JSON json_t *object = NULL;
    *ret_pod = NULL;
    if (!name.p) {
        *ret_pod = xstrdup(word);
        return -1;
    }
    AUTO_CHARS char *type_text = str_dup(type);
    AUTO_CHARS char *name_text = str_dup(name);
    int found = kube_resource_find(s->client, type_text, &r, &err);
    if (found == -ENOENT)
        return program_fail(EXIT_FAILED, NULL, "the server doesn't have a resource type \"%s\"",
                            type_text);
    if (found < 0)
        return cli_unreachable(s, &err);
    if (streq(r.kind, "Pod")) {
        *ret_pod = TAKE(name_text);
        return -1;
    }
    AUTO_CHARS char *path = kube_resource_path(&r, s->namespace_, name_text);
    int code = get(s, path, &object);
    if (code >= 0)
        return code;
    selector_text(object, selector);
    return selector->n ? -1 : program_fail(EXIT_FAILED, "name a pod", "%s selects no pods", word);
}

int cli_pod_choose(struct cli_session *s, const char *word, char **ret)
{
    AUTO_JSON json_t *pods = NULL;
    AUTO_DONE(buf) struct buf selector = {0};
    int code = read_word(s, word, ret, &selector);
    if (code >= 0 || *ret)
        return code;
    code = cli_pods_select(s, buf_cstr(&selector), &pods);
    return code >= 0 ? code : choose(pods, word, ret);
}

int cli_pods_of(struct cli_session *s, const char *word, json_t **ret)
{
    const struct kube_resource pods = {
        .plural = "pods", .kind = "Pod", .group_version = "v1", .namespaced = true};
    AUTO_CHARS char *pod = NULL;
    AUTO_DONE(buf) struct buf selector = {0};
    AUTO_JSON json_t *object = NULL;
    int code = read_word(s, word, &pod, &selector);
    if (code >= 0)
        return code;
    if (!pod)
        return cli_pods_select(s, buf_cstr(&selector), ret);
    AUTO_CHARS char *path = kube_resource_path(&pods, s->namespace_, pod);
    code = get(s, path, &object);
    if (code < 0)
        *ret = json_pack("[O]", object);
    return code;
}
