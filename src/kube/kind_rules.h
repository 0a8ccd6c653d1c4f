#pragma once
/* What depends on more than one field of a kind: defaults and checks. The tables (schema.h) do the
 * rest. */

#include "kube/validate.h"

/* In place, on decoded objects, after schema_default. */
void default_pod(json_t *object);
void default_pod_template(json_t *object); /* Deployment, ReplicaSet, DaemonSet */
void default_job(json_t *object);
void default_replication_controller(json_t *object);
void default_service(json_t *object);
void default_secret(json_t *object);
void default_endpointslice(json_t *object);
void default_namespace(json_t *object);

/* old is NULL on create. After schema_validate. */
void validate_pod(const json_t *object, const json_t *old, struct field_errors *e);
/* A pod's or a template's; base is its path. */
void validate_pod_spec(const json_t *spec, const char *base, struct field_errors *e);
/* Of these: tolerations, nodes, gates; and what a pod may change of them. */
void validate_scheduling(const json_t *spec, const char *base, struct field_errors *e);
void validate_scheduling_update(const json_t *object, const json_t *old, struct field_errors *e);
void validate_service(const json_t *object, const json_t *old, struct field_errors *e);
/* Of these: addresses and families as given, before anything is allocated. Both are specs. */
void validate_service_addresses(const json_t *spec, const json_t *old, struct field_errors *e);
void validate_deployment(const json_t *object, const json_t *old, struct field_errors *e);
void validate_replicaset(const json_t *object, const json_t *old, struct field_errors *e);
void validate_daemonset(const json_t *object, const json_t *old, struct field_errors *e);
void validate_job(const json_t *object, const json_t *old, struct field_errors *e);
/* What a new Job gets from the server, once it has a uid: the labels and the selector by which its
 * pods are its own. Not with spec.manualSelector. */
void prepare_job(json_t *object);
void validate_replication_controller(const json_t *object, const json_t *old,
                                     struct field_errors *e);
void validate_configmap(const json_t *object, const json_t *old, struct field_errors *e);
void validate_secret(const json_t *object, const json_t *old, struct field_errors *e);
void validate_endpointslice(const json_t *object, const json_t *old, struct field_errors *e);
void validate_node(const json_t *object, const json_t *old, struct field_errors *e);
void validate_event(const json_t *object, const json_t *old, struct field_errors *e);
void validate_endpoints(const json_t *object, const json_t *old, struct field_errors *e);

void validate_ingress(const json_t *object, const json_t *old, struct field_errors *e);
void validate_ingress_class(const json_t *object, const json_t *old, struct field_errors *e);

void validate_service_cidr(const json_t *object, const json_t *old, struct field_errors *e);

void validate_webhooks(const json_t *object, const json_t *old, struct field_errors *e);

void default_role_binding(json_t *object); /* and a ClusterRoleBinding */
void validate_role(const json_t *object, const json_t *old, struct field_errors *e);
void validate_cluster_role(const json_t *object, const json_t *old, struct field_errors *e);
void validate_role_binding(const json_t *object, const json_t *old, struct field_errors *e);
void validate_cluster_role_binding(const json_t *object, const json_t *old, struct field_errors *e);

enum name_form {
    NAME_SUBDOMAIN, /* RFC 1123 subdomain */
    NAME_LABEL,     /* RFC 1123 label */
    NAME_SEGMENT,   /* anything that is one segment of a path */
};

/* What is wrong with a name that may be anything but more than a segment of a path; NULL: nothing.
 */
const char *path_segment_detail(const char *name);

/* metadata: the name, annotations' size, owner references, finalizers; what may not change against
 * old. */
void validate_metadata(enum name_form form, const json_t *object, const json_t *old,
                       struct field_errors *e);

/* What is allowed and yet worth a word, of the object or of its status; fn is called with each. */
void warn_of_object(const json_t *object, bool status, void (*fn)(void *user, const char *text),
                    void *user);

/* core/v1 and events.k8s.io/v1 name the same members differently: one is kept, the other renamed at
 * the door. */
void event_to_core(json_t *object);
void event_from_core(json_t *object);

/* Ingress of networking.k8s.io/v1 and of v1beta1, there and in extensions: v1 is kept. */
void ingress_to_v1(json_t *object);
void ingress_to_v1beta1(json_t *object);
void ingress_to_extensions(json_t *object);
