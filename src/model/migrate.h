#pragma once
/* What it takes to move from ingress-nginx: of each Ingress what works, what differs and what is to
 * be changed, of the controller's ConfigMap and flags the same. Pure. The state of an annotation is
 * that of its table (ingress_annotations.h), so this says what is true of the version it is in. */

#include "model/ingress_snapshot.h"

enum migrate_verdict {
    MIGRATE_WORKS,   /* as it did */
    MIGRATE_DIFFERS, /* it works; clients may see a difference */
    MIGRATE_CHANGE,  /* something is to be done */
};

struct migrate_note {
    enum migrate_verdict verdict;
    char *field;
    char *message;
    char *action; /* what to do, or to give instead; NULL */
};

struct migrate_subject {
    char *object;                 /* namespace/name, or what is read of the controller */
    enum migrate_verdict verdict; /* the worst of the notes */
    struct migrate_note *v;
    size_t n, cap;
};

struct migrate_report {
    struct migrate_subject *ingresses; /* of ingress-nginx's classes, by name */
    size_t n_ingresses;
    struct migrate_subject *controllers; /* Deployments, DaemonSets, ConfigMaps */
    size_t n_controllers;
    size_t counts[3]; /* Ingresses by verdict */
    size_t others;    /* Ingresses of other classes */
};

/* objects: Ingresses and IngressClasses (v1), Services, ConfigMaps, Deployments, DaemonSets, as far
 * as they are known. class_name: what kubernetes.io/ingress.class says for ingress-nginx. */
void migrate_look(const json_t *objects, const char *class_name, struct migrate_report *ret);
void migrate_report_done(struct migrate_report *r);
