#pragma once
/* The objects that commands about Ingresses look at: those of the cluster, or those of files
 * without one. Ingresses of v1beta1 are brought to v1; every object knows its kind and namespace.
 */

#include "base/map.h"
#include "cli/cli.h"

struct object_document {
    size_t line, offset, n; /* lines before it, its bytes in the text */
    size_t first;           /* of its objects in the list */
    bool is_list;
};

struct object_file {
    char *name;
    char *text;
    size_t first;                          /* of its objects in the list */
    VEC(struct object_document) documents; /* where each begins; made when a line is asked for */
    bool indexed;
};

struct object_source {
    json_t *list;
    struct map
        places; /* "KIND NAMESPACE/NAME" -> its place in the list, and 1; made when asked for */
    size_t looked_at;                /* bytes of files, for lines */
    VEC(struct object_file *) files; /* none: of the cluster */
    bool knows_classes, knows_services, knows_endpoints, knows_pods, knows_secrets;
    bool knows_passwords; /* Secrets of type kubernetes.io/basic-auth */
};

/* What is read of a cluster. */
enum object_wanted {
    OBJECTS_FOR_ROUTES = 1,    /* Ingresses, their classes, Services, EndpointSlices */
    OBJECTS_FOR_ANALYSIS = 2,  /* those, Secrets of two types, Pods and what makes pods, … */
    OBJECTS_FOR_MIGRATION = 4, /* those without slices, ConfigMaps, Deployments, DaemonSets */
};

/* Each: -1 to go on, or an exit code, told. What of a cluster may not be read is told on stderr,
 * and is then not known; without Ingresses and Services there is nothing to go on with. */
int object_source_read_files(struct object_source *s, const struct arg_list *files, bool recursive,
                             const char *namespace_);
int object_source_read_cluster(struct object_source *s, struct cli_session *session,
                               enum object_wanted what);
/* Of files without any IngressClass: the two of deploy/ingress are taken for granted. */
void object_source_imply_classes(struct object_source *s);
/* "FILE:LINE" of a field of an object ("" : of the object); NULL: it is of no file. The caller
 * frees. When OBJECT_BYTES_MAX of text have been looked through for lines, they are left out. */
enum { OBJECT_BYTES_MAX = 256 * 1024 * 1024 };
char *object_source_place(struct object_source *s, const char *kind, const char *key,
                          const char *field);
/* One ConfigMap, namespace/name, if it is there; -1, or an exit code: told. */
int object_source_read_map(struct object_source *s, struct cli_session *session, const char *key);
void object_source_done(struct object_source *s);
