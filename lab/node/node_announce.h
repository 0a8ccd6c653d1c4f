#pragma once
/* LoadBalancer addresses and external IPs inside the lab's subnet: one node of the lab answers for
 * each. */

struct node;
struct node_announce;

struct node_announce *node_announce_new(struct node *n);
/* A Service or a Node is another one. NULL is allowed. */
void node_announce_changed(struct node_announce *a);
void node_announce_free(struct node_announce *a);
