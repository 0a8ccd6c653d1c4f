/* Job controller: pods until enough have succeeded, or too many failed.
 *
 * Reads the caches of Jobs and Pods; creates and deletes pods, writes status. A pod that ended is
 * counted once, whatever goes in between: it has the finalizer job-tracking until its uid stands in
 * status.uncountedTerminatedPods, and its uid stands there until the finalizer is gone; each step
 * is read from the caches, so the next one is found after a crash, too. Not obeyed, which an Event
 * says: podFailurePolicy, successPolicy, limits by index. Rules: batch/v1 Job. */
#include <stdio.h>

#include "base/time.h"
#include "base/vec.h"
#include "lab/controllers/controller.h"
#include "lab/controllers/job_indexes.h"

#define TRACKING "batch.kubernetes.io/job-tracking"
#define ORPHAN   "orphan " /* before the key of a pod whose Job is gone */

enum { BURST = 500, BACKOFF_S = 10, BACKOFF_MAX_S = 600 };

struct pass {
    struct sync *s;
    const json_t *job;
    struct objects pods, active;
    json_t *uncounted[2]; /* uids of pods that succeeded, failed: as they are to be; owned */
    int64_t counted[2];
    struct job_indexes done; /* with completionMode Indexed */
    bool indexed, suspended;
    int64_t terminating, ready, wait_s;
    const char *failure, *failure_text; /* reason, message; NULL: none */
    bool changed;                       /* something is to be counted first */
};

static const char *const outcomes[] = {"succeeded", "failed"};

static bool counts(const json_t *pod)
{
    (void)pod;
    return true;
}

static const struct owner_rule rule = {WATCHED_JOB, WATCHED_POD, owner_match_labels, owner_selects,
                                       counts};

static bool holds(const json_t *list, const char *text)
{
    json_t *v;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       v) if (streq(json_string_value(v), text)) return true;
    return false;
}

static bool is_tracked(const json_t *pod)
{
    return holds(json_at(pod, "metadata.finalizers"), TRACKING);
}

static bool is_over(const json_t *job)
{
    return condition_is_true(job, "Complete") || condition_is_true(job, "Failed");
}

static void enqueue_orphan(struct controller *c, const json_t *pod)
{
    char key[512];
    AUTO_CHARS char *text = xasprintf(ORPHAN "%s", object_key(pod, key));
    if (is_tracked(pod))
        controller_enqueue(c, text);
}

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    struct controllers *set = controller_set(c);
    json_t *o;
    if (kind == WATCHED_JOB) {
        controller_enqueue_object(c, object);
        for (size_t at = 0;
             deleted && controllers_next(set, WATCHED_POD, INDEX_OWNER,
                                         json_at_str(object, "metadata.uid"), &at, &o);)
            enqueue_orphan(c, o);
    } else if (kind == WATCHED_POD) {
        const char *ns = json_at_str(object, "metadata.namespace");
        const json_t *owner = owner_controller(object);
        bool is_free = enqueue_pod_owners(c, WATCHED_JOB, object, deleted);
        for (size_t at = 0;
             is_free && controllers_next(set, WATCHED_JOB, INDEX_NAMESPACE, ns, &at, &o);)
            if (owner_selects(o, object))
                controller_enqueue_object(c, o);
        if (is_free)
            enqueue_orphan(c, object); /* of a Job that was deleted without its pods */
        else if (streq(json_key_str(owner, "kind"), "Job") &&
                 !informer_find(controllers_informer(set, WATCHED_JOB),
                                str_from(key_of(ns, json_key_str(owner, "name")))))
            enqueue_orphan(c, object);
    }
}

/* ---- finalizers ---- */

static void untrack(struct sync *s, const json_t *pod, sync_answer_fn *then)
{
    char path[WATCHED_PATH_BYTES];
    AUTO_JSON json_t *patch =
        json_pack("{s:{s:s,s:[s]}}", "metadata", "uid", json_at_str(pod, "metadata.uid"),
                  "$deleteFromPrimitiveList/finalizers", TRACKING);
    watched_path(WATCHED_POD, pod, path);
    sync_call_then(s, WATCHED_POD, "PATCH", path, STRATEGIC_PATCH, patch, "", then);
}

static void on_untracked(struct sync *s, enum watched kind, const struct kube_result *r,
                         const char *text)
{
    (void)kind;
    (void)text;
    if (kube_ok(r))
        template_pod_delete(s, WATCHED_JOB, r->object);
}

/* A pod that is not wanted any more: it is neither a success nor a failure. */
static void give_up(struct pass *p, const json_t *pod)
{
    if (is_tracked(pod))
        untrack(p->s, pod, on_untracked);
    else
        template_pod_delete(p->s, WATCHED_JOB, pod);
}

static void sync_orphan(struct sync *s, const char *key)
{
    const json_t *pod =
                     informer_find(controllers_informer(sync_set(s), WATCHED_POD), str_from(key)),
                 *owner = owner_controller(pod);
    const json_t *job = owner
                            ? informer_find(controllers_informer(sync_set(s), WATCHED_JOB),
                                            str_from(key_of(json_at_str(pod, "metadata.namespace"),
                                                            json_key_str(owner, "name"))))
                            : NULL;
    bool theirs = job && streq(json_at_str(job, "metadata.uid"), json_key_str(owner, "uid"));
    if (pod && is_tracked(pod) && !theirs)
        untrack(s, pod, NULL);
}

/* ---- counting ---- */

/* 0: succeeded, 1: failed, -1: neither yet. One that is deleted before its end failed, unless a
 * successor has to wait for that end. */
static int outcome_of(const struct pass *p, const json_t *pod)
{
    const char *phase = json_at_str(pod, "status.phase");
    if (streq(phase, "Succeeded"))
        return 0;
    if (streq(phase, "Failed"))
        return 1;
    return is_deleting(pod) && !streq(json_at_str(p->job, "spec.podReplacementPolicy"), "Failed")
               ? 1
               : -1;
}

static void look(struct pass *p)
{
    owner_collect(p->s, &rule, p->job, &p->pods);
    for (int i = 0; i < 2; i++) {
        json_t *old =
            json_object_get(json_at(p->job, "status.uncountedTerminatedPods"), outcomes[i]);
        p->uncounted[i] = old ? json_deep_copy(old) : json_array();
        p->counted[i] = json_at_int(json_at(p->job, "status"), outcomes[i], 0);
    }
    job_indexes_parse(&p->done, json_at_str(p->job, "status.completedIndexes"));
}

/* The next step of each pod that ended, and of each that is being counted. */
static void count(struct pass *p)
{
    VEC_FOREACH (pod, &p->pods) {
        int outcome = outcome_of(p, *pod);
        const char *uid = json_at_str(*pod, "metadata.uid");
        if (outcome < 0) {
            if (is_deleting(*pod))
                p->terminating++;
            else
                vec_push(&p->active, *pod);
            p->ready += !is_deleting(*pod) && pod_is_ready(*pod);
            continue;
        }
        p->terminating += is_deleting(*pod) &&
                          !streq(json_at_str(*pod, "status.phase"), "Failed") &&
                          !streq(json_at_str(*pod, "status.phase"), "Succeeded");
        if (!is_tracked(*pod))
            continue;
        p->changed = true;
        if (holds(p->uncounted[0], uid) || holds(p->uncounted[1], uid)) {
            untrack(p->s, *pod, NULL);
            continue;
        }
        json_array_append_new(p->uncounted[outcome], json_string(uid));
        if (!outcome && p->indexed)
            job_indexes_add(&p->done, job_index_of(*pod));
    }
}

static bool still_tracked(const struct pass *p, const char *uid)
{
    VEC_FOREACH (pod, &p->pods)
        if (streq(json_at_str(*pod, "metadata.uid"), uid))
            return is_tracked(*pod);
    return false;
}

/* What has lost its finalizer is counted for good. */
static void settle_counts(struct pass *p)
{
    for (int i = 0; i < 2; i++)
        for (size_t k = json_array_size(p->uncounted[i]); k-- > 0;)
            if (!still_tracked(p, json_string_value(json_array_get(p->uncounted[i], k)))) {
                json_array_remove(p->uncounted[i], k);
                p->counted[i]++;
            }
    if (p->indexed)
        p->counted[0] = job_indexes_count(&p->done) - (int64_t)json_array_size(p->uncounted[0]);
}

static int64_t total(const struct pass *p, int outcome)
{
    return p->counted[outcome] + (int64_t)json_array_size(p->uncounted[outcome]);
}

/* ---- failure ---- */

static int64_t seconds_at(const json_t *object, const char *path)
{
    const char *text = json_at_str(object, path);
    int64_t us;
    return text && time_parse_rfc3339(str_from(text), &us) == 0 ? us / 1000000 : 0;
}

static int64_t restarts(const struct pass *p)
{
    static const char *const lists[] = {"status.containerStatuses", "status.initContainerStatuses"};
    int64_t n = 0;
    json_t *c;
    size_t i;
    VEC_FOREACH (pod, &p->active)
        for (size_t k = 0; k < ARRAY_LEN(lists); k++)
            json_array_foreach(json_at(*pod, lists[k]), i, c) n +=
                json_at_int(c, "restartCount", 0);
    return n;
}

static void fail(struct pass *p, const char *reason, const char *text)
{
    p->failure = reason;
    p->failure_text = text;
}

static void judge(struct pass *p)
{
    const json_t *target = condition_find(p->job, "FailureTarget");
    int64_t limit = json_at_int(p->job, "spec.backoffLimit", 6),
            deadline = json_at_int(p->job, "spec.activeDeadlineSeconds", -1),
            start = seconds_at(p->job, "status.startTime"), again = restarts(p);
    if (target && condition_is_true(p->job, "FailureTarget")) {
        fail(p, json_key_str(target, "reason"), json_key_str(target, "message"));
    } else if (total(p, 1) > limit ||
               (streq(json_at_str(p->job, "spec.template.spec.restartPolicy"), "OnFailure") &&
                again > 0 && again >= limit)) {
        fail(p, "BackoffLimitExceeded", "Job has reached the specified backoff limit");
    } else if (deadline >= 0 && start && !p->suspended) {
        int64_t left = start + deadline - time_real_s();
        if (left <= 0)
            fail(p, "DeadlineExceeded", "Job was active longer than specified deadline");
        else
            p->wait_s = left;
    }
}

/* ---- pods ---- */

static int64_t ended_at(const json_t *pod)
{
    int64_t at = seconds_at(pod, "metadata.deletionTimestamp");
    json_t *c;
    size_t i;
    json_array_foreach(json_at(pod, "status.containerStatuses"), i, c) at =
        MAX(at, seconds_at(c, "state.terminated.finishedAt"));
    return at ? at : seconds_at(pod, "metadata.creationTimestamp");
}

/* Seconds until the next pod may be made: twice as long after each failure since the last success.
 */
static int64_t backoff_left(const struct pass *p)
{
    int64_t success = 0, last = 0, n = 0, wait = BACKOFF_S;
    VEC_FOREACH (pod, &p->pods)
        if (outcome_of(p, *pod) == 0)
            success = MAX(success, ended_at(*pod));
    VEC_FOREACH (pod, &p->pods) {
        int64_t at = outcome_of(p, *pod) == 1 ? ended_at(*pod) : 0;
        n += at > success;
        last = MAX(last, at);
    }
    if (n == 0)
        return 0;
    for (int64_t i = 1; i < n && wait < BACKOFF_MAX_S; i++)
        wait *= 2;
    return MAX(last + MIN(wait, (int64_t)BACKOFF_MAX_S) - time_real_s(), 0);
}

static void make_pod(struct pass *p, int64_t index)
{
    json_t *pod = template_pod(WATCHED_JOB, p->job), *list = json_at(pod, "metadata.finalizers");
    if (!list) {
        list = json_array();
        json_put(pod, "metadata.finalizers", list);
    }
    json_array_append_new(list, json_string(TRACKING));
    if (p->indexed)
        job_index_put(pod, json_at_str(p->job, "metadata.name"), index);
    template_pod_create(p->s, WATCHED_JOB, pod);
}

static void make_pods(struct pass *p, int64_t n)
{
    struct job_indexes taken = {0};
    int64_t completions = json_at_int(p->job, "spec.completions", 0);
    VEC_FOREACH (pod, &p->active)
        job_indexes_add(&taken, job_index_of(*pod));
    for (int64_t index = 0; n > 0; index++) {
        if (p->indexed && index >= completions)
            break;
        if (p->indexed && (job_indexes_has(&p->done, index) || job_indexes_has(&taken, index)))
            continue;
        make_pod(p, index);
        n--;
    }
    job_indexes_done(&taken);
}

/* Those that do the least first. */
static int by_use(const void *x, const void *y)
{
    const json_t *a = *(json_t *const *)x, *b = *(json_t *const *)y;
    int d = pod_is_ready(a) - pod_is_ready(b);
    return d ? d : strcmp(json_at_str(a, "metadata.name"), json_at_str(b, "metadata.name"));
}

static int64_t wanted(const struct pass *p)
{
    int64_t side = json_at_int(p->job, "spec.parallelism", 1);
    if (p->suspended || p->failure)
        return 0;
    if (!json_at(p->job, "spec.completions")) /* a queue of work: over when one says so */
        return total(p, 0) ? MIN(side, (int64_t)p->active.n) : side;
    return MAX(MIN(side, json_at_int(p->job, "spec.completions", 1) - total(p, 0)), 0);
}

static void manage(struct pass *p)
{
    bool waits = streq(json_at_str(p->job, "spec.podReplacementPolicy"), "Failed");
    int64_t want = wanted(p), there = (int64_t)p->active.n, left;
    if (there > want) {
        qsort(p->active.v, p->active.n, sizeof(*p->active.v), by_use);
        for (int64_t i = 0; i < there - want && i < BURST; i++)
            give_up(p, p->active.v[i]);
        return;
    }
    if (waits)
        there += p->terminating;
    if (there >= want)
        return;
    left = backoff_left(p);
    if (left > 0)
        p->wait_s = p->wait_s ? MIN(p->wait_s, left) : left;
    else
        make_pods(p, MIN(want - there, (int64_t)BURST));
}

/* ---- status ---- */

static void say(const struct pass *p, const char *type, const char *reason, const char *text)
{
    event_record(controller_events(sync_controller(p->s)), p->job, "Job", "batch/v1", type, reason,
                 "%s", text);
}

static void set_condition(const struct pass *p, json_t *list, const char *type, bool is,
                          const char *reason, const char *text)
{
    json_t *c;
    size_t i;
    json_array_foreach(list, i, c) if (streq(json_key_str(c, "type"), type)) break;
    json_t *made = condition_new(p->job, type, is ? "True" : "False", reason, text);
    if (i < json_array_size(list))
        json_array_set_new(list, i, made);
    else
        json_array_append_new(list, made);
}

static bool is_complete(const struct pass *p)
{
    if (!json_at(p->job, "spec.completions"))
        return total(p, 0) > 0 && !p->active.n;
    return total(p, 0) >= json_at_int(p->job, "spec.completions", 1);
}

/* Conditions as they are to be; *ret_end: it is over with this. Two steps: what is decided, then,
 * when its last pod has ended and is counted, what has become of it. */
static json_t *conditions(struct pass *p, bool *ret_end)
{
    json_t *list = json_at(p->job, "status.conditions");
    bool quiet = !p->active.n && !p->terminating && !p->changed &&
                 !json_array_size(p->uncounted[0]) && !json_array_size(p->uncounted[1]);
    static const char reached[] = "Reached expected number of succeeded pods";
    list = list ? json_deep_copy(list) : json_array();
    if (p->failure) {
        set_condition(p, list, "FailureTarget", true, p->failure, p->failure_text);
        if (quiet)
            set_condition(p, list, "Failed", true, p->failure, p->failure_text);
        *ret_end = quiet;
    } else if (is_complete(p)) {
        set_condition(p, list, "SuccessCriteriaMet", true, "CompletionsReached", reached);
        if (quiet)
            set_condition(p, list, "Complete", true, "CompletionsReached", reached);
        *ret_end = quiet;
    } else if (p->suspended != condition_is_true(p->job, "Suspended")) {
        set_condition(p, list, "Suspended", p->suspended,
                      p->suspended ? "JobSuspended" : "JobResumed",
                      p->suspended ? "Job suspended" : "Job resumed");
        say(p, "Normal", p->suspended ? "Suspended" : "Resumed",
            p->suspended ? "Job suspended" : "Job resumed");
    }
    return list;
}

static void put_time(json_t *status, const char *member, const json_t *old, bool is)
{
    char now[21];
    const char *was = json_key_str(old, member);
    time_format_rfc3339(time_real_s(), now);
    json_object_set_new(status, member, !is ? json_null() : json_string(was ? was : now));
}

static void say_end(const struct pass *p)
{
    if (p->failure)
        say(p, "Warning", p->failure, p->failure_text);
    else
        say(p, "Normal", "Completed", "Job completed");
}

/* True: something was written, of which another pass comes. */
static bool write_status(struct pass *p)
{
    char path[WATCHED_PATH_BYTES + 8];
    bool end = false;
    const json_t *old = json_at(p->job, "status");
    AUTO_JSON json_t *status = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:{s:O,s:O}}", "active", (json_int_t)p->active.n, "ready",
        (json_int_t)p->ready, "terminating", (json_int_t)p->terminating, "succeeded",
        (json_int_t)p->counted[0], "failed", (json_int_t)p->counted[1], "uncountedTerminatedPods",
        outcomes[0], p->uncounted[0], outcomes[1], p->uncounted[1]);
    json_object_set_new(status, "conditions", conditions(p, &end));
    put_time(status, "startTime", old, !p->suspended);
    put_time(status, "completionTime", old, end && !p->failure);
    if (p->indexed) {
        AUTO_CHARS char *text = job_indexes_text(&p->done);
        json_object_set_new(status, "completedIndexes", json_string(text));
    }
    AUTO_JSON json_t *after = old ? json_deep_copy(old) : json_object();
    json_object_update(after, status);
    if (job_status_same(old, after))
        return false;
    AUTO_JSON json_t *patch =
        json_pack("{s:{s:s},s:O}", "metadata", "resourceVersion",
                  json_at_str(p->job, "metadata.resourceVersion"), "status", status);
    watched_path(WATCHED_JOB, p->job, path);
    strcat(path, "/status");
    sync_call(p->s, WATCHED_JOB, "PATCH", path, MERGE_PATCH, patch);
    if (end)
        say_end(p);
    return true;
}

static void tell_ignored(const struct pass *p)
{
    static const char *const members[] = {"podFailurePolicy", "successPolicy",
                                          "backoffLimitPerIndex", "maxFailedIndexes"};
    if (json_at(p->job, "status.startTime"))
        return;
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (json_object_get(json_at(p->job, "spec"), members[i])) {
            AUTO_CHARS char *text = xasprintf("spec.%s has no effect in the lab", members[i]);
            say(p, "Warning", "FieldIgnored", text);
        }
}

/* ---- passes ---- */

static void sync_over(struct sync *s, const json_t *job)
{
    char path[WATCHED_PATH_BYTES];
    json_t *pod;
    for (size_t at = 0; controllers_next(sync_set(s), WATCHED_POD, INDEX_OWNER,
                                         json_at_str(job, "metadata.uid"), &at, &pod);)
        if (is_tracked(pod))
            untrack(s, pod, NULL);
    const char *end = condition_is_true(job, "Complete") ? "Complete" : "Failed";
    int64_t ttl = json_at_int(job, "spec.ttlSecondsAfterFinished", -1),
            left = seconds_at(condition_find(job, end), "lastTransitionTime") + ttl - time_real_s();
    if (ttl < 0 || is_deleting(job))
        return;
    if (left > 0) {
        sync_again_after(s, (uint64_t)left * 1000);
        return;
    }
    AUTO_JSON json_t *options = json_pack("{s:s,s:s,s:s,s:{s:s}}", "kind", "DeleteOptions",
                                          "apiVersion", "v1", "propagationPolicy", "Foreground",
                                          "preconditions", "uid", json_at_str(job, "metadata.uid"));
    watched_path(WATCHED_JOB, job, path);
    sync_call(s, WATCHED_JOB, "DELETE", path, NULL, options);
}

static void pass_done(struct pass *p)
{
    json_decref(p->uncounted[0]);
    json_decref(p->uncounted[1]);
    vec_done(&p->pods);
    vec_done(&p->active);
    job_indexes_done(&p->done);
}

static void sync_job(struct sync *s, const char *key)
{
    if (str_starts(str_from(key), STR(ORPHAN))) {
        sync_orphan(s, key + strlen(ORPHAN));
        return;
    }
    const json_t *job =
        informer_find(controllers_informer(sync_set(s), WATCHED_JOB), str_from(key));
    const char *manager = json_at_str(job, "spec.managedBy");
    if (!job || (manager && !streq(manager, "kubernetes.io/job-controller")))
        return;
    if (is_over(job)) {
        sync_over(s, job);
        return;
    }
    struct pass p = {.s = s,
                     .job = job,
                     .indexed = streq(json_at_str(job, "spec.completionMode"), "Indexed"),
                     .suspended = json_at_bool(job, "spec.suspend", false)};
    tell_ignored(&p);
    look(&p);
    settle_counts(&p);
    count(&p);
    judge(&p);
    /* What is to be counted is written first: a pod made now would be made for a place that is
     * taken. */
    if (!write_status(&p) && !is_deleting(job) && !is_complete(&p))
        manage(&p);
    else if (!is_deleting(job) && (p.failure || is_complete(&p)))
        VEC_FOREACH (pod, &p.active)
            give_up(&p, *pod);
    if (p.wait_s)
        sync_again_after(s, (uint64_t)p.wait_s * 1000);
    pass_done(&p);
}

const struct controller_kind job_controller = {"job", on_change, sync_job, NULL, NULL};
