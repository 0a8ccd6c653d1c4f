#pragma once
/* Ingress and IngressClass (networking.k8s.io/v1) as C values: what the model needs. They hold what
 * objects say of themselves. Decoders take any JSON: what is malformed is left out. */

#include "codec/json.h"

/* What annotations of ingress-nginx begin with. */
#define INGRESS_NGINX_PREFIX "nginx.ingress.kubernetes.io/"

enum {
    INGRESS_RULES_MAX = 10000, /* of each list; more are left out and told (truncated) */
    INGRESS_ANNOTATIONS_MAX = 1000,
};

struct ingress_backend {
    char *service;   /* NULL: none, or not a Service */
    char *port_name; /* NULL: port says */
    uint16_t port;
    bool resource; /* something else than a Service */
};

enum ingress_path_type {
    INGRESS_PATH_EXACT,
    INGRESS_PATH_PREFIX,
    INGRESS_PATH_IMPLEMENTATION,
};

struct ingress_path {
    char *path; /* "" where none is given */
    enum ingress_path_type type;
    struct ingress_backend backend;
};

struct ingress_rule {
    char *host; /* "" : every host */
    struct ingress_path *paths;
    uint32_t n_paths; /* 0: all of the host goes to the default backend */
};

struct ingress_tls {
    char **hosts;
    uint32_t n_hosts;
    char *secret; /* "" : the certificate is somebody else's matter */
};

struct ingress_annotation {
    char *name; /* without the prefix of ingress-nginx */
    char *value;
};

struct ingress_object {
    char *key; /* namespace/name */
    char *namespace_;
    char *name;
    char *uid;
    int64_t created_s;      /* since the epoch; 0: not said */
    char *class_;           /* spec.ingressClassName; NULL */
    char *class_annotation; /* kubernetes.io/ingress.class; NULL */
    bool truncated;         /* lists over their limits */
    struct ingress_backend default_backend;
    struct ingress_rule *rules;
    struct ingress_tls *tls;
    struct ingress_annotation *annotations; /* of ingress-nginx */
    uint32_t n_rules, n_tls, n_annotations;
};

/* NULL: not an Ingress (no name). */
struct ingress_object *ingress_object_decode(const json_t *j);
void ingress_object_free(struct ingress_object *i); /* NULL is allowed */
DEFINE_AUTO(ingress_object);
/* NULL: it is not there. */
const char *ingress_annotation(const struct ingress_object *i, const char *name);
bool ingress_backend_is_set(const struct ingress_backend *b);

struct ingress_class {
    char *name;
    char *controller;
    bool is_default;
    char *parameters; /* "Kind name" of spec.parameters; NULL: none */
};

/* NULL: no name. */
struct ingress_class *ingress_class_decode(const json_t *j);
void ingress_class_free(struct ingress_class *c);
DEFINE_AUTO(ingress_class);
