#pragma once
/* What plugins on this node ask over a Unix socket, of one pod each: which rules it is to have, as
 * the API server knows it. One line of JSON, one answer. */

#include "kube/client.h"

struct node_answers;

/* path: made anew, for root alone. */
int node_answers_new(struct kube_client *c, const char *path, struct node_answers **ret,
                     struct err *reterr) NODISCARD;
void node_answers_free(struct node_answers *a); /* NULL is allowed */

/* ---- pure ---- */
/* What a plugin says: both are DNS names, owned by *ret. -EINVAL. */
int node_question_read(struct str line, json_t **ret, struct err *reterr) NODISCARD;
/* Of the pod nothing but the container that says of rules. */
json_t *node_answer_of_pod(const json_t *pod);
