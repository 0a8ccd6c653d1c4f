#pragma once
/* The Secret with which agents sign what they say to one another: made once, by the leader, and
 * left alone from then on. Who wants another one deletes it. */

#include "kube/client.h"

#define AGENT_KEY_SECRET "fairlead-agent-key"

struct agent_key;

struct agent_key *agent_key_new(struct kube_client *c, const char *namespace_);
void agent_key_free(struct agent_key *k); /* NULL is allowed */
/* To be seen to, from now on or not any more. */
void agent_key_set_leads(struct agent_key *k, bool leads);
