/* Found by its type; what others have written stays as it is, where it is. */
#include "model/object_condition.h"

#include "base/time.h"

enum { MESSAGE_MAX = 1024 };

static bool counts(const struct finding *f)
{
    return f->severity == FINDING_ERROR || streq(f->id, "KindNotServed");
}

/* The first, and how many more. NULL: nothing is wrong. */
static const struct finding *worst(const struct findings *f, size_t *ret_more)
{
    const struct finding *first = NULL;
    *ret_more = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (!counts(&f->v[i]))
            continue;
        if (!first)
            first = &f->v[i];
        else
            ++*ret_more;
    }
    return first;
}

static void add_message(struct buf *b, const struct finding *f, size_t more)
{
    buf_addf(b, "%s%s%.600s%s%s", f->field, *f->field ? ": " : "", f->message, f->hint ? "; " : "",
             f->hint ? f->hint : "");
    if (b->n > MESSAGE_MAX)
        b->n = MESSAGE_MAX;
    if (more)
        buf_addf(b, " (and %zu more)", more);
}

static const json_t *find(const json_t *list, size_t *ret_at)
{
    for (*ret_at = 0; *ret_at < json_array_size(list); ++*ret_at)
        if (streq(json_key_str(json_array_get(list, *ret_at), "type"), OBJECT_CONDITION))
            return json_array_get(list, *ret_at);
    return NULL;
}

static bool is_same(const json_t *have, const char *status, const char *reason, const char *message,
                    const json_t *generation)
{
    return streq(json_key_str(have, "status"), status) &&
           streq(json_key_str(have, "reason"), reason) &&
           streq(json_key_str(have, "message"), message) &&
           json_equal(json_object_get(have, "observedGeneration"), generation);
}

json_t *object_condition_want(const json_t *object, const struct findings *f, int64_t now_s)
{
    const json_t *list = json_at(object, "status.conditions"),
                 *generation = json_at(object, "metadata.generation");
    size_t at = 0, more;
    const json_t *have = find(list, &at);
    const struct finding *wrong = worst(f, &more);
    const char *status = wrong ? "False" : "True", *reason = wrong ? wrong->id : "Accepted",
               *since = json_key_str(have, "lastTransitionTime");
    AUTO_DONE(buf) struct buf message = {0};
    char now[21];
    if (!wrong && !have)
        return NULL;
    if (wrong)
        add_message(&message, wrong, more);
    if (have && is_same(have, status, reason, buf_cstr(&message), generation))
        return NULL;
    time_format_rfc3339(now_s, now);
    if (!have || !streq(json_key_str(have, "status"), status) || !since)
        since = now;
    json_t *want = json_is_array(list) ? json_copy((json_t *)(uintptr_t)list) : json_array(),
           *one = json_pack("{s:s,s:s,s:s,s:s,s:s,s:O*}", "type", OBJECT_CONDITION, "status",
                            status, "reason", reason, "message", buf_cstr(&message),
                            "lastTransitionTime", since, "observedGeneration", generation);
    if (have)
        json_array_set_new(want, at, one);
    else
        json_array_append_new(want, one);
    return want;
}
