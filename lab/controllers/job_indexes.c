/* Indexes of Jobs: text to set and back, and what tells a pod its own. */
#include "lab/controllers/job_indexes.h"

#define INDEX "batch.kubernetes.io/job-completion-index"

void job_indexes_add(struct job_indexes *x, int64_t index)
{
    if (index < 0 || index >= JOB_INDEXES_MAX)
        return;
    if ((size_t)index >= x->n) {
        size_t n = MAX((size_t)index + 1, x->n * 2);
        x->has = xrealloc(x->has, n * sizeof(*x->has));
        memset(x->has + x->n, 0, (n - x->n) * sizeof(*x->has));
        x->n = n;
    }
    x->has[index] = true;
}

void job_indexes_parse(struct job_indexes *x, const char *text)
{
    struct str rest = str_from(text ? text : "");
    while (rest.p && rest.n) {
        struct str last, first = str_cut(str_cut(rest, ',', &rest), '-', &last);
        int64_t a, b;
        if (str_to_i64(first, &a) < 0)
            continue;
        if (!last.p || str_to_i64(last, &b) < 0)
            b = a;
        for (b = MIN(b, (int64_t)JOB_INDEXES_MAX - 1); a >= 0 && a <= b; a++)
            job_indexes_add(x, a);
    }
}

bool job_indexes_has(const struct job_indexes *x, int64_t index)
{
    return index >= 0 && (size_t)index < x->n && x->has[index];
}

int64_t job_indexes_count(const struct job_indexes *x)
{
    int64_t n = 0;
    for (size_t i = 0; i < x->n; i++)
        n += x->has[i];
    return n;
}

char *job_indexes_text(const struct job_indexes *x)
{
    AUTO_DONE(buf) struct buf b = {0};
    for (size_t i = 0, end; i < x->n; i = end) {
        end = i + 1;
        if (!x->has[i])
            continue;
        while (end < x->n && x->has[end])
            end++;
        buf_addf(&b, "%s%zu", b.n ? "," : "", i);
        if (end - i > 1)
            buf_addf(&b, "%c%zu", end - i == 2 ? ',' : '-', end - 1);
    }
    return xstrdup(buf_cstr(&b));
}

void job_indexes_done(struct job_indexes *x)
{
    free(x->has);
    *x = (struct job_indexes){0};
}

int64_t job_index_of(const json_t *pod)
{
    const char *text = json_key_str(json_at(pod, "metadata.annotations"), INDEX);
    int64_t v;
    return text && str_to_i64(str_from(text), &v) == 0 ? v : -1;
}

static void put_member(json_t *pod, const char *map, const char *name, const char *value)
{
    json_t *metadata = json_object_get(pod, "metadata"), *in = json_object_get(metadata, map);
    if (!in) {
        in = json_object();
        json_object_set_new(metadata, map, in);
    }
    json_object_set_new(in, name, json_string(value));
}

void job_index_put(json_t *pod, const char *job, int64_t index)
{
    static const char *const lists[] = {"containers", "initContainers"};
    AUTO_CHARS char *text = xasprintf("%lld", (long long)index);
    AUTO_CHARS char *name = xasprintf("%s-%s", job, text);
    AUTO_CHARS char *prefix = xasprintf("%s-", name);
    json_t *spec = json_object_get(pod, "spec"), *c;
    size_t k;
    put_member(pod, "annotations", INDEX, text);
    put_member(pod, "labels", INDEX, text);
    json_put_str(pod, "metadata.generateName", prefix);
    if (!json_object_get(spec, "hostname"))
        json_put_str(spec, "hostname", name);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        json_array_foreach(json_object_get(spec, lists[i]), k, c)
        {
            if (!json_object_get(c, "env"))
                json_object_set_new(c, "env", json_array());
            json_array_append_new(json_object_get(c, "env"),
                                  json_pack("{s:s,s:{s:{s:s}}}", "name", "JOB_COMPLETION_INDEX",
                                            "valueFrom", "fieldRef", "fieldPath",
                                            "metadata.annotations['" INDEX "']"));
        }
}

/* Nothing, 0, "" and empty lists are the same. */
static bool is_empty(const json_t *v)
{
    const char *key;
    json_t *member;
    if (!v || json_is_null(v))
        return true;
    if (json_is_integer(v))
        return json_integer_value(v) == 0;
    if (json_is_string(v))
        return json_string_length(v) == 0;
    json_object_foreach((json_t *)(uintptr_t)v, key, member) if (!is_empty(member)) return false;
    return json_is_object(v) || (json_is_array(v) && json_array_size(v) == 0);
}

bool job_status_same(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)b, key, v)
    {
        const json_t *was = json_object_get(a, key);
        if (is_empty(v) && is_empty(was))
            continue;
        if (json_is_object(v) && json_is_object(was) ? !job_status_same(was, v)
                                                     : !was || !json_equal(was, v))
            return false;
    }
    return true;
}
