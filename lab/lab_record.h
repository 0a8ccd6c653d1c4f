#pragma once
/* What a lab is made of, as kept in lab.json of its state directory: written once by `up`, read by
 * every other verb. */

#include "lab/fabric.h"
#include "lab/state_dir.h"

struct lab_node {
    char *name;
    char *labels; /* "k=v,k=v" or "" */
};

struct lab_record {
    char *name;
    struct fabric_plan plan;
    VEC(struct lab_node) nodes;
    VEC(char *) images; /* NAME=COMMAND */
    bool ephemeral;
    char *service_cidrs;
    char *node_ports;
};

void lab_record_done(struct lab_record *r);
int lab_record_write(const struct state_dir *d, const struct lab_record *r, struct err *reterr)
    NODISCARD;
/* -ENOENT: no such lab. */
int lab_record_read(const struct state_dir *d, struct lab_record *ret, struct err *reterr)
    NODISCARD;

enum { LAB_API_PORT = 6443 };

/* A file that the supervisor writes once the network stands: before that, the lab's addresses lead
 * nowhere (or worse, to the host's default route), so nobody may connect. */
#define LAB_BUILT_MARK "built"
