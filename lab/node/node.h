#pragma once
/* A node: registers itself with an API server, runs the pods bound to it, reports. An ordinary
 * client of the API. */

#include "kube/client.h"
#include "lab/image.h"

struct node;

struct node_options {
    const char *name;
    const char *lab;           /* names pod namespaces fl.LAB.NODE.NS.POD */
    const char *state_dir;     /* of this node: pods/UID/… */
    const char *const *hidden; /* what containers must not see; NULL-terminated */
    const char *program_dir;   /* where fairlead-echo and fairlead-labd are */
    struct prefix pod_v4;
    struct prefix pod_v6;  /* family 0 = none */
    struct ip internal[2]; /* by family: IPv4, IPv6; family 0 = none */
    struct ip external[2];
    struct ip reserved[8]; /* somebody's on this network who is no Node: never announced */
    size_t n_reserved;
    const char *const *labels; /* "key=value" */
    size_t n_labels;
    struct image_table *images;
    const char *image_dir;   /* where `fairlead lab image` writes; NULL = nowhere */
    const char *cluster_dns; /* NULL = none */
    const char *cluster_domain;
    uint16_t kubelet_port;
    struct str kubelet_cert; /* PEM; empty = no kubelet server */
    struct str kubelet_key;
    struct str client_ca;
};

/* Copies nothing: the options live as long as the node. The calling process lives in the node's
 * network namespace. */
int node_new(struct kube_client *client, const struct node_options *o, struct node **ret,
             struct err *reterr) NODISCARD;
/* Kills every container. */
void node_free(struct node *n);
