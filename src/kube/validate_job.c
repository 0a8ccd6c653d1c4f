/* Checks of Jobs that need more than one field, and the labels by which a Job's pods are its own.
 * The tables have been checked before (validate.c), types before that. Messages are those of a real
 * API server. Pure. */
#include "kube/kind_rules.h"
#include "kube/selector.h"

#define CONTROLLER_UID "batch.kubernetes.io/controller-uid"
#define JOB_NAME       "batch.kubernetes.io/job-name"

static const char *const name_labels[] = {"job-name", JOB_NAME}, *const uid_labels[] = {
                                                                     "controller-uid",
                                                                     CONTROLLER_UID};

static json_t *object_at(json_t *in, const char *path)
{
    if (!json_is_object(json_at(in, path)))
        json_put(in, path, json_object());
    return json_at(in, path);
}

static void put_missing(json_t *in, const char *member, const char *value)
{
    if (!json_object_get(in, member))
        json_object_set_new(in, member, json_string(value ? value : ""));
}

void prepare_job(json_t *object)
{
    if (json_at_bool(object, "spec.manualSelector", false) || !json_at(object, "spec.template"))
        return;
    json_t *labels = object_at(object, "spec.template.metadata.labels");
    for (size_t i = 0; i < ARRAY_LEN(name_labels); i++)
        put_missing(labels, name_labels[i], json_at_str(object, "metadata.name"));
    for (size_t i = 0; i < ARRAY_LEN(uid_labels); i++)
        put_missing(labels, uid_labels[i], json_at_str(object, "metadata.uid"));
    put_missing(object_at(object, "spec.selector.matchLabels"), CONTROLLER_UID,
                json_at_str(object, "metadata.uid"));
}

static void check_label(const json_t *labels, const char *name, const char *want,
                        struct field_errors *e)
{
    AUTO_CHARS char *why = xasprintf("must be '%s'", want ? want : "");
    if (!json_object_get(labels, name))
        error_required(e, why, "spec.template.metadata.labels[%s]", name);
    else if (!streq(json_key_str(labels, name), want))
        error_invalid(e, labels, why, "spec.template.metadata.labels[%s]", name);
}

static void check_selector(const json_t *object, struct field_errors *e)
{
    const json_t *selector = json_at(object, "spec.selector"),
                 *labels = json_at(object, "spec.template.metadata.labels");
    struct selector s = {0};
    bool none = true;
    if (!selector)
        error_required(e, NULL, "spec.selector");
    if (!selector || (selector_from_object(selector, &s, &none, NULL) == 0 &&
                      (none || !selector_matches_object(&s, labels))))
        error_invalid(e, labels, "`selector` does not match template `labels`",
                      "spec.template.metadata.labels");
    selector_done(&s);
    if (!selector || json_at_bool(object, "spec.manualSelector", false))
        return;
    for (size_t i = 0; i < 2; i++) {
        check_label(labels, uid_labels[i], json_at_str(object, "metadata.uid"), e);
        check_label(labels, name_labels[i], json_at_str(object, "metadata.name"), e);
    }
}

static void check_restart(const json_t *object, struct field_errors *e)
{
    static const char path[] = "spec.template.spec.restartPolicy";
    const char *restart = json_at_str(object, path);
    if (str_empty(restart) || streq(restart, "Always"))
        error_required(e, "valid values: \"OnFailure\", \"Never\"", path);
    else if (!streq(restart, "OnFailure") && !streq(restart, "Never"))
        error_unsupported(e, restart, "OnFailure|Never", path);
    else if (json_at(object, "spec.podFailurePolicy") && !streq(restart, "Never"))
        error_invalid_text(e, restart,
                           "only \"Never\" is supported when podFailurePolicy is specified", path);
}

static void check_modes(const json_t *spec, struct field_errors *e)
{
    static const char *const of_indexes[] = {"backoffLimitPerIndex", "maxFailedIndexes",
                                             "successPolicy"};
    const char *mode = json_key_str(spec, "completionMode"),
               *replace = json_key_str(spec, "podReplacementPolicy");
    bool policy = json_object_get(spec, "podFailurePolicy") != NULL;
    if (mode && !streq(mode, "NonIndexed") && !streq(mode, "Indexed"))
        error_unsupported(e, mode, "NonIndexed|Indexed", "spec.completionMode");
    if (streq(mode, "Indexed") && !json_object_get(spec, "completions"))
        error_required(e, "when completion mode is Indexed", "spec.completions");
    if (streq(mode, "Indexed") && json_at_int(spec, "parallelism", 0) > 100000)
        error_invalid(e, json_object_get(spec, "parallelism"),
                      "must be less than or equal to 100000 when completion mode is Indexed",
                      "spec.parallelism");
    for (size_t i = 0; i < ARRAY_LEN(of_indexes) && !streq(mode, "Indexed"); i++)
        if (json_object_get(spec, of_indexes[i]))
            error_invalid(e, json_object_get(spec, of_indexes[i]),
                          "requires indexed completion mode", "spec.%s", of_indexes[i]);
    if (replace && policy && !streq(replace, "Failed"))
        error_unsupported(e, replace, "Failed", "spec.podReplacementPolicy");
    else if (replace && !streq(replace, "Failed") && !streq(replace, "TerminatingOrFailed"))
        error_unsupported(e, replace, "Failed|TerminatingOrFailed", "spec.podReplacementPolicy");
}

static void check_change(const json_t *spec, const json_t *old, struct field_errors *e)
{
    static const char *const fixed[] = {"selector",         "template",   "completionMode",
                                        "podFailurePolicy", "managedBy",  "backoffLimitPerIndex",
                                        "successPolicy",    "completions"};
    bool indexed = streq(json_key_str(spec, "completionMode"), "Indexed");
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        const json_t *is = json_object_get(spec, fixed[i]), *was = json_object_get(old, fixed[i]);
        bool same = is == was || (is && was && json_equal(is, was));
        if (same)
            continue;
        if (!indexed || !streq(fixed[i], "completions"))
            error_invalid(e, is, "field is immutable", "spec.%s", fixed[i]);
        else if (!json_equal(is, json_object_get(spec, "parallelism")))
            error_invalid(e, is, "can only be modified in tandem with spec.parallelism",
                          "spec.completions");
    }
}

void validate_job(const json_t *object, const json_t *old, struct field_errors *e)
{
    const json_t *spec = json_at(object, "spec"), *was = json_at(old, "spec");
    check_modes(spec, e);
    if (!old)
        validate_pod_spec(json_at(spec, "template.spec"), "spec.template.spec", e);
    check_restart(object, e);
    check_selector(object, e);
    if (was)
        check_change(spec, was, e);
}
