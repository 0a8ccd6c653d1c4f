/* fairlead apply and delete. apply keeps kubectl's last-applied annotation, so the two can be
 * mixed: what the last manifest had and this one has not is removed, what others set stays. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/time.h"
#include "cli/cli.h"
#include "kube/manifest.h"
#include "kube/patch.h"

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"
#define STRATEGIC    "application/strategic-merge-patch+json"

enum { WAIT_FIRST_MS = 20, WAIT_MAX_MS = 500 };

struct deleted {
    char *path;
    char *uid; /* NULL = not told */
    char *what;
};

/* What apply and delete have in common. */
struct objects_args {
    struct cli_session session;
    struct arg_list files;
    struct arg_list words;
    /* delete */
    bool wait, force, now, ignore_not_found;
    int64_t grace_s; /* -1 = the object's own */
    uint64_t timeout_ms;
    VEC(struct deleted) deleted;
};

static void objects_args_done(struct objects_args *a)
{
    VEC_FOREACH (d, &a->deleted) {
        free(d->path);
        free(d->uid);
        free(d->what);
    }
    vec_done(&a->deleted);
    arg_list_done(&a->files);
    arg_list_done(&a->words);
}

/* The manifest with its own text as annotation. */
static json_t *with_annotation(const json_t *manifest)
{
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *plain = json_deep_copy(manifest);
    json_t *annotations = json_at(plain, "metadata.annotations");
    json_object_del(annotations, LAST_APPLIED);
    json_write(&text, plain);
    buf_add_char(&text, '\n');
    json_t *full = json_deep_copy(plain);
    if (!json_at(full, "metadata.annotations"))
        json_put(full, "metadata.annotations", json_object());
    json_object_set_new(json_at(full, "metadata.annotations"), LAST_APPLIED,
                        json_string(buf_cstr(&text)));
    return full;
}

static void say(const struct kube_resource *r, const char *name, const char *what)
{
    const char *slash = strchr(r->group_version, '/');
    for (const char *c = r->kind; *c; c++)
        putchar(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    if (slash)
        printf(".%.*s", (int)(slash - r->group_version), r->group_version);
    printf("/%s %s\n", name, what);
}

static int send_json(struct cli_session *s, const char *method, const char *path, const char *type,
                     const json_t *body, struct cli_answer *ret, struct err *err)
{
    AUTO_DONE(buf) struct buf text = {0};
    json_write(&text, body);
    return cli_request(s, method, path, NULL, type, buf_str(&text), ret, err);
}

static int update(struct cli_session *s, const struct kube_resource *r, const char *path,
                  const json_t *full, const char *name, const json_t *live)
{
    AUTO_JSON json_t *last = NULL;
    struct cli_answer a;
    struct err err = {0};
    const char *text = json_key_str(json_at(live, "metadata.annotations"), LAST_APPLIED);
    if (text && json_parse(str_from(text), 0, NULL, &last, NULL) < 0)
        last = NULL;
    const struct schema *schema = schema_of_kind(r->group_version, r->kind);
    json_object_del(json_at(last, "metadata.annotations"), LAST_APPLIED);
    AUTO_JSON json_t *patch = patch_three_way(schema, last, full, live);
    if (!json_object_size(patch)) {
        say(r, name, "unchanged");
        return EXIT_OK;
    }
    if (send_json(s, "PATCH", path, schema ? STRATEGIC : "application/merge-patch+json", patch, &a,
                  &err) < 0)
        return cli_unreachable(s, &err);
    int code = EXIT_OK;
    AUTO_JSON json_t *after = NULL;
    if (a.status >= 300)
        code = cli_server_error(&a);
    else if (json_parse(buf_str(&a.body), 0, NULL, &after, NULL) == 0)
        say(r, name,
            streq(json_at_str(after, "metadata.resourceVersion"),
                  json_at_str(live, "metadata.resourceVersion"))
                ? "unchanged"
                : "configured");
    buf_done(&a.body);
    return code;
}

static int apply_object(struct objects_args *objects, const json_t *manifest)
{
    struct cli_session *s = &objects->session;
    const char *api_version = json_key_str(manifest, "apiVersion"),
               *kind = json_key_str(manifest, "kind");
    const char *name = json_at_str(manifest, "metadata.name"),
               *ns = json_at_str(manifest, "metadata.namespace");
    struct kube_resource r;
    struct cli_answer a;
    struct err err = {0};
    if (!name)
        return program_fail(EXIT_FAILED, "give it metadata.name",
                            "%s: an object of generated name can only be created", kind);
    int code = kube_resource_of_kind(s->client, api_version, kind, &r, &err);
    if (code < 0)
        return code == -ENOENT
                   ? program_fail(EXIT_FAILED, NULL, "%s/%s: %s", kind, name, err_text(&err))
                   : cli_unreachable(s, &err);
    AUTO_CHARS char *path = kube_resource_path(&r, ns ? ns : s->namespace_, name);
    AUTO_CHARS char *collection = kube_resource_path(&r, ns ? ns : s->namespace_, NULL);
    AUTO_JSON json_t *full = with_annotation(manifest);
    AUTO_JSON json_t *live = NULL;
    if (cli_request(s, "GET", path, NULL, NULL, (struct str){0}, &a, &err) < 0)
        return cli_unreachable(s, &err);
    if (a.status == 200 && json_parse(buf_str(&a.body), 0, NULL, &live, &err) == 0) {
        buf_done(&a.body);
        return update(s, &r, path, full, name, live);
    }
    if (a.status != 404) {
        code = cli_server_error(&a);
        buf_done(&a.body);
        return code;
    }
    buf_done(&a.body);
    if (send_json(s, "POST", collection, NULL, full, &a, &err) < 0)
        return cli_unreachable(s, &err);
    code = a.status < 300 ? EXIT_OK : cli_server_error(&a);
    if (code == EXIT_OK)
        say(&r, name, "created");
    buf_done(&a.body);
    return code;
}

#define FILENAME_ARG(a)                                                                            \
    {                                                                                              \
        "filename", 'f', ARG_STRINGS, &(a)->files, "FILE", "a file, a directory, or - (repeat)",   \
            0, 0, false                                                                            \
    }

/* Everything is read before the first object goes out; then each is tried, as kubectl does. */
static int with_files(struct objects_args *a, int (*fn)(struct objects_args *a, const json_t *o),
                      int (*after)(struct objects_args *a))
{
    AUTO_JSON json_t *objects = json_array();
    struct err err = {0};
    json_t *o;
    size_t i;
    for (i = 0; i < a->files.n; i++)
        if (manifest_read(a->files.v[i], objects, &err) < 0)
            return program_fail(EXIT_FAILED, "nothing was sent; mend the file and try again", "%s",
                                err_text(&err));
    int code = cli_session_open(&a->session);
    if (code >= 0)
        return code;
    code = EXIT_OK;
    json_array_foreach(objects, i, o)
    {
        int one = fn(a, o);
        code = code ? code : one;
    }
    int last = after ? after(a) : EXIT_OK;
    cli_session_close(&a->session);
    return code ? code : last;
}

int cli_apply(int argc, char **argv)
{
    AUTO_DONE(objects_args) struct objects_args a = {0};
    struct arg args[] = {CLI_SESSION_ARGS(&a.session), FILENAME_ARG(&a), {.name = NULL}};
    const struct program p = {"fairlead apply",
                              "creates or changes objects from manifests",
                              "-f FILE… [flags]",
                              "  fairlead apply -f web.yaml\n"
                              "  fairlead apply -f manifests/ -n shop\n"
                              "  cat web.yaml | fairlead apply -f -\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code >= 0)
        return code;
    if (!a.files.n)
        return program_fail(EXIT_USAGE_ERROR, "fairlead apply -f FILE", "--filename is required");
    return with_files(&a, apply_object, NULL);
}

/* ---- delete ---- */

static void note_deleted(struct objects_args *a, const struct kube_resource *r, const char *name,
                         char **path, const struct cli_answer *answer)
{
    AUTO_JSON json_t *j = NULL;
    (void)!json_parse(buf_str(&answer->body), 0, NULL, &j, NULL);
    const char *uid = json_at_str(j, "metadata.uid");
    uid = uid ? uid : json_at_str(j, "details.uid"); /* of a Status */
    vec_push(&a->deleted, ((struct deleted){TAKE(*path), uid ? xstrdup(uid) : NULL,
                                            xasprintf("%s/%s", r->plural, name)}));
}

static int delete_named(struct objects_args *a, const struct kube_resource *r, const char *ns,
                        const char *name)
{
    AUTO_CHARS char *path = kube_resource_path(r, ns, name);
    AUTO_CHARS char *options = a->grace_s < 0
                                   ? xstrdup("")
                                   : xasprintf("{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\","
                                               "\"gracePeriodSeconds\":%lld}",
                                               (long long)a->grace_s);
    struct cli_answer answer;
    struct err err = {0};
    if (cli_request(&a->session, "DELETE", path, NULL, NULL, str_from(options), &answer, &err) < 0)
        return cli_unreachable(&a->session, &err);
    int code = EXIT_OK;
    if (answer.status < 300) {
        say(r, name, a->force ? "force deleted" : "deleted");
        note_deleted(a, r, name, &path, &answer);
    } else if (answer.status != 404 || !a->ignore_not_found) {
        code = cli_server_error(&answer);
    }
    buf_done(&answer.body);
    return code;
}

/* 1: gone, or another one of that name; 0: there; -1: *ret_code says what is wrong. */
static int look_for(struct cli_session *s, const struct deleted *d, int *ret_code)
{
    struct cli_answer answer;
    struct err err = {0};
    AUTO_JSON json_t *j = NULL;
    if (cli_request(s, "GET", d->path, NULL, NULL, (struct str){0}, &answer, &err) < 0) {
        *ret_code = cli_unreachable(s, &err);
        return -1;
    }
    int found = answer.status == 404;
    if (answer.status < 300 && json_parse(buf_str(&answer.body), 0, NULL, &j, NULL) == 0)
        found = d->uid && !streq(json_at_str(j, "metadata.uid"), d->uid);
    else if (answer.status != 404) {
        *ret_code = cli_server_error(&answer);
        found = -1;
    }
    buf_done(&answer.body);
    return found;
}

static int wait_for_deleted(struct objects_args *a)
{
    uint64_t began = time_mono_ms(), pause_ms = WAIT_FIRST_MS;
    int code = EXIT_OK;
    VEC_FOREACH (d, &a->deleted) {
        for (int gone; a->wait && (gone = look_for(&a->session, d, &code)) <= 0;) {
            const struct timespec pause = {(time_t)pause_ms / 1000,
                                           (long)pause_ms % 1000 * 1000000};
            if (gone < 0)
                return code;
            if (a->timeout_ms && time_mono_ms() - began >= a->timeout_ms)
                return program_fail(EXIT_TIMEOUT, "something holds it: look at its finalizers",
                                    "%s is still there after %llu s", d->what,
                                    (unsigned long long)a->timeout_ms / 1000);
            (void)nanosleep(&pause, NULL);
            pause_ms = MIN(pause_ms * 2, (uint64_t)WAIT_MAX_MS);
        }
    }
    return code;
}

static int delete_object(struct objects_args *a, const json_t *manifest)
{
    const char *api_version = json_key_str(manifest, "apiVersion"),
               *kind = json_key_str(manifest, "kind");
    const char *name = json_at_str(manifest, "metadata.name"),
               *ns = json_at_str(manifest, "metadata.namespace");
    struct kube_resource r;
    struct err err = {0};
    if (!name)
        return program_fail(EXIT_FAILED, "give it metadata.name",
                            "%s: an object of generated name can only be created", kind);
    if (kube_resource_of_kind(a->session.client, api_version, kind, &r, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s/%s: %s", kind, name, err_text(&err));
    return delete_named(a, &r, ns ? ns : a->session.namespace_, name);
}

static int delete_words(struct objects_args *a)
{
    const struct arg_list *rest = &a->words;
    struct cli_session *s = &a->session;
    struct err err = {0};
    struct kube_resource r;
    int code = cli_session_open(s);
    if (code >= 0)
        return code;
    code = EXIT_OK;
    bool slashes = strchr(rest->v[0], '/') != NULL;
    for (size_t i = slashes ? 0 : 1; i < rest->n; i++) {
        struct str name,
            type = slashes ? str_cut(str_from(rest->v[i]), '/', &name) : str_from(rest->v[0]);
        AUTO_CHARS char *word = str_dup(type);
        int one;
        if (kube_resource_find(s->client, word, &r, &err) < 0)
            one = program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
        else
            one = delete_named(a, &r, s->namespace_, slashes ? (name.p ? name.p : "") : rest->v[i]);
        code = code ? code : one;
    }
    int last = wait_for_deleted(a);
    cli_session_close(s);
    return code ? code : last;
}

/* What the flags mean together, as kubectl has it. Returns -1 to go on. */
static int settle_grace(struct objects_args *a)
{
    if (a->now && a->grace_s >= 0)
        return program_fail(EXIT_USAGE_ERROR, "--now is --grace-period 1",
                            "--now and --grace-period cannot be given together");
    if (a->now)
        a->grace_s = 1;
    if (a->force && a->grace_s > 0)
        return program_fail(EXIT_USAGE_ERROR, "--force is --grace-period 0",
                            "--force and a grace period greater than 0 cannot be given together");
    if (a->force) {
        a->grace_s = 0;
        fputs("warning: a forced deletion does not wait for the program to end; it may run on\n",
              stderr);
    } else if (a->grace_s == 0) {
        a->grace_s = 1; /* without asking whether it has ended only by --force */
    }
    return -1;
}

int cli_delete(int argc, char **argv)
{
    AUTO_DONE(objects_args) struct objects_args a = {.wait = true, .grace_s = -1};
    struct arg args[] = {
        CLI_SESSION_ARGS(&a.session),
        FILENAME_ARG(&a),
        {"wait", 0, ARG_BOOL, &a.wait, NULL, "until the objects are gone (default true)", 0, 0,
         false},
        {"timeout", 0, ARG_DURATION, &a.timeout_ms, "D", "how long to wait (default: no limit)", 0,
         0, false},
        {"grace-period", 0, ARG_INT, &a.grace_s, "S", "seconds to end in (default: the object's)",
         -1, INT32_MAX, false},
        {"now", 0, ARG_BOOL, &a.now, NULL, "the same as --grace-period 1", 0, 0, false},
        {"force", 0, ARG_BOOL, &a.force, NULL, "gone at once, whether its program has ended or not",
         0, 0, false},
        {"ignore-not-found", 0, ARG_BOOL, &a.ignore_not_found, NULL,
         "what is not there is no error", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead delete",
                              "deletes objects",
                              "(-f FILE… | TYPE NAME… | TYPE/NAME…) [flags]",
                              "  fairlead delete pod/web\n"
                              "  fairlead delete svc web shop\n"
                              "  fairlead delete -f web.yaml --wait=false\n"
                              "  fairlead delete pod/stuck --force\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, &a.words, NULL);
    if (code >= 0)
        return code;
    if (!a.files.n && (!a.words.n || (a.words.n == 1 && !strchr(a.words.v[0], '/'))))
        return program_fail(EXIT_USAGE_ERROR, "fairlead delete TYPE/NAME", "name what to delete");
    if ((code = settle_grace(&a)) >= 0)
        return code;
    return a.files.n ? with_files(&a, delete_object, wait_for_deleted) : delete_words(&a);
}
