#pragma once
/* The parts of a migration's report. */

#include "model/migrate.h"

void migrate_note_add(struct migrate_subject *s, enum migrate_verdict verdict, const char *field,
                      const char *action, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* "read", "later", "guards", "refused", "needless"; NULL: no such annotation. */
const char *migrate_annotation_state(const char *name);
/* Deployments and DaemonSets that run ingress-nginx, and the ConfigMaps they name. */
/* The ConfigMap that a controller's flag names, namespace/name, the caller's; NULL: none does. */
char *migrate_settings_name(const json_t *objects);
void migrate_look_at_controllers(const json_t *objects, struct migrate_report *ret);
