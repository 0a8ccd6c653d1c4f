#pragma once
/* Records Events on the user's objects (core/v1 Event, field rules of events.k8s.io/v1). Repeats of
 * the same (object, reason, message) within the window become one Event with a growing count. Fire
 * and forget, rate-limited: a Warning that is new waits for its turn, all else is dropped. */

#include "kube/client.h"

struct event_recorder;

/* component: reportingComponent and source.component, such as fairlead.dev/agent; host: source.host
 * or NULL. */
struct event_recorder *event_recorder_new(struct kube_client *c, const char *component,
                                          const char *host);
void event_recorder_free(struct event_recorder *r);

/* type: "Normal" or "Warning"; reason: CamelCase; object gives kind, apiVersion, namespace, name,
 * uid. kind and api_version are used when the object (an item of a list) does not carry them. */
void event_record(struct event_recorder *r, const json_t *object, const char *kind,
                  const char *api_version, const char *type, const char *reason, const char *fmt,
                  ...) __attribute__((format(printf, 7, 8)));
