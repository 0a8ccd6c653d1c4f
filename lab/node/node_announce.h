#pragma once
/* LoadBalancer addresses and external IPs inside the lab's subnet: one node of the lab answers for
 * each. */

#include <jansson.h>

struct node;
struct node_announce;

struct node_announce *node_announce_new(struct node *n);
void node_announce_free(struct node_announce *a);
