/* Waiting until what was put out is ready, and telling why it is not. */
#include <stdio.h>
#include <time.h>

#include "base/time.h"
#include "cli/install.h"
#include "codec/url.h"

enum { PAUSE_MS = 500, LOG_LINES = 5 };

struct state {
    int64_t want, have;
    bool ready;
};

static struct state state_of(const json_t *live)
{
    struct state s = {0};
    bool daemons = streq(json_key_str(live, "kind"), "DaemonSet");
    bool seen = json_at_int(live, "status.observedGeneration", 0) >=
                json_at_int(live, "metadata.generation", 0);
    s.want = daemons ? json_at_int(live, "status.desiredNumberScheduled", 0)
                     : json_at_int(live, "spec.replicas", 1);
    int64_t updated =
        json_at_int(live, daemons ? "status.updatedNumberScheduled" : "status.updatedReplicas", 0);
    s.have = json_at_int(live, daemons ? "status.numberReady" : "status.readyReplicas", 0);
    s.have = MIN(s.have, updated);
    s.ready =
        seen && s.have >= s.want && (daemons || json_at_int(live, "status.replicas", 0) <= s.want);
    return s;
}

static bool is_waited_for(const json_t *o, const enum chart_step *only)
{
    const char *kind = json_key_str(o, "kind");
    return (streq(kind, "Deployment") || streq(kind, "DaemonSet")) &&
           (!only || chart_step_of(o) == *only);
}

/* Text of those that are not ready; empty: all are. */
static void look(struct install *in, const json_t *objects, const enum chart_step *only,
                 struct buf *lacking)
{
    const json_t *o;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, o)
    {
        if (!is_waited_for(o, only))
            continue;
        AUTO_CHARS char *path = install_path(in, o);
        AUTO_CHARS char *name = install_name(o);
        AUTO_JSON json_t *live = path ? install_get(in, path) : NULL;
        struct state s = state_of(live);
        if (!live)
            buf_addf(lacking, "%s%s (not there)", lacking->n ? ", " : "", name);
        else if (!s.ready)
            buf_addf(lacking, "%s%s (%lld of %lld ready)", lacking->n ? ", " : "", name,
                     (long long)s.have, (long long)s.want);
    }
}

/* ---- why not ---- */

static void print_log(struct install *in, const char *pod)
{
    AUTO_CHARS char *path = xasprintf(
        "/api/v1/namespaces/" CHART_NAMESPACE "/pods/%s/log?tailLines=%d", pod, LOG_LINES);
    struct cli_answer answer;
    struct err err = {0};
    if (cli_request(&in->session, "GET", path, "*/*", NULL, (struct str){0}, &answer, &err) < 0)
        return;
    for (struct str rest = buf_str(&answer.body), line; answer.status == 200 && rest.n;) {
        line = str_cut(rest, '\n', &rest);
        fprintf(stderr, "    log: " STR_FMT "\n", STR_ARG(line));
    }
    buf_done(&answer.body);
}

static void print_pod(struct install *in, const json_t *pod)
{
    const char *name = json_at_str(pod, "metadata.name");
    const json_t *c;
    size_t i;
    bool running = false;
    json_array_foreach(json_at(pod, "status.conditions"), i, c)
    {
        const char *message = json_key_str(c, "message"), *type = json_key_str(c, "type");
        if (message && type && !strstr(type, "Ready") && /* containers say why they are not */
            !streq(json_key_str(c, "status"), "True"))
            fprintf(stderr, "  pod/%s: %s: %s\n", name, type, message);
    }
    json_array_foreach(json_at(pod, "status.containerStatuses"), i, c)
    {
        const char *reason = json_at_str(c, "state.waiting.reason"),
                   *message = json_at_str(c, "state.waiting.message");
        if (reason)
            fprintf(stderr, "  pod/%s: %s%s%s\n", name, reason, message ? ": " : "",
                    message ? message : "");
        running = running || json_at(c, "state.running") || json_at_int(c, "restartCount", 0) > 0;
    }
    if (running)
        print_log(in, name);
}

static bool is_ready(const json_t *pod)
{
    const json_t *c;
    size_t i;
    json_array_foreach(json_at(pod, "status.conditions"), i,
                       c) if (streq(json_key_str(c, "type"),
                                    "Ready")) return streq(json_key_str(c, "status"), "True");
    return false;
}

static void print_why(struct install *in, const json_t *objects, const enum chart_step *only)
{
    const json_t *o, *pod;
    size_t i, k;
    json_array_foreach((json_t *)(uintptr_t)objects, i, o)
    {
        if (!is_waited_for(o, only))
            continue;
        AUTO_CHARS char *path =
            xasprintf("/api/v1/namespaces/" CHART_NAMESPACE "/pods?labelSelector=app%%3D%s",
                      json_at_str(o, "metadata.name"));
        AUTO_JSON json_t *pods = install_get(in, path);
        json_array_foreach(json_at(pods, "items"), k, pod) if (!is_ready(pod)) print_pod(in, pod);
    }
}

int install_wait(struct install *in, const json_t *objects, const enum chart_step *only)
{
    AUTO_DONE(buf) struct buf told = {0};
    for (;;) {
        AUTO_DONE(buf) struct buf lacking = {0};
        const struct timespec pause = {0, PAUSE_MS * 1000000L};
        look(in, objects, only, &lacking);
        if (!lacking.n)
            return -1;
        if (!str_eq(buf_str(&lacking), buf_str(&told))) {
            fprintf(stderr, "waiting for %s\n", buf_cstr(&lacking));
            buf_clear(&told);
            buf_add_str(&told, buf_str(&lacking));
        }
        if (time_mono_ms() - in->began_ms >= in->timeout_ms) {
            print_why(in, objects, only);
            return program_fail(EXIT_TIMEOUT,
                                in->late_hint ? in->late_hint
                                : in->last.version
                                    ? "fairlead upgrade --to REVISION goes back to what was"
                                    : "mend it and fairlead upgrade, or fairlead uninstall",
                                "after %llu s not ready: %s",
                                (unsigned long long)in->timeout_ms / 1000, buf_cstr(&lacking));
        }
        (void)nanosleep(&pause, NULL);
    }
}
