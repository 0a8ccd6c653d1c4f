#pragma once
/* The pod networks of this node, as its Node object has them: one way to tell pods from others. */

#include "kube/client.h"

struct pod_cidrs {
    struct prefix *v;
    size_t n;
    size_t cap;
};

/* Waits, on turns of the client's loop, until the Node has some: for start-up only. */
void pod_cidrs_wait(struct kube_client *c, const char *node_name, struct pod_cidrs *ret);
