/* The two forms of Event: core/v1 (kept) and events.k8s.io/v1 (renamed at the door). In place,
 * values untouched. */
#include "kube/kind_rules.h"

static const char *const names[][2] = {
    {"regarding", "involvedObject"},
    {"note", "message"},
    {"reportingController", "reportingComponent"},
    {"deprecatedSource", "source"},
    {"deprecatedFirstTimestamp", "firstTimestamp"},
    {"deprecatedLastTimestamp", "lastTimestamp"},
    {"deprecatedCount", "count"},
};

static void rename_members(json_t *object, size_t from)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        json_t *v = json_object_get(object, names[i][from]);
        if (!v)
            continue;
        json_object_set(object, names[i][1 - from], v);
        json_object_del(object, names[i][from]);
    }
}

void event_to_core(json_t *object)
{
    rename_members(object, 0);
    json_put_str(object, "apiVersion", "v1");
}

void event_from_core(json_t *object)
{
    rename_members(object, 1);
    json_put_str(object, "apiVersion", "events.k8s.io/v1");
}
