#pragma once
/* hostPort: a port of the node's own addresses that leads to a pod of the node. */

#include <stdbool.h>

struct node;
struct pod;
struct node_host_ports;

/* In the calling thread's namespace; what an earlier process has left goes. Never NULL: where no
 * rules can be made there is a warning. */
struct node_host_ports *node_host_ports_new(struct node *n);
void node_host_ports_free(struct node_host_ports *h);
/* A pod with such ports came, ended or went. NULL is allowed. */
void node_host_ports_changed(struct node_host_ports *h);
/* What was told so far is in the kernel when this returns. NULL is allowed. */
void node_host_ports_settle(struct node_host_ports *h);
bool pod_wants_host_ports(const struct pod *p);
