#pragma once
/* What an update and an apply both ask: who acts, on what shape of object, and what is kept. */

#include "lab/apiserver/api_priv.h"
#include "lab/apiserver/apply_managers.h"

/* name is borrowed by the result, as is the request. */
struct apply_actor api_actor(const struct api_request *r, const char *name);
/* The kind whose shapes the object has while it is compared. */
const struct api_kind *api_shape(const struct api_request *r);
/* The top member that the request's address does not change; NULL: none. */
const char *api_ignored(const struct api_request *r);
/* What an object (NULL: none) has; empty if it cannot be read. */
void api_managers(const struct object *o, struct apply_managers *ret);
/* m is what managedFields are from now on, was what they were. */
void api_keep_managers(struct api_request *r, struct apply_managers *m,
                       const struct apply_managers *was);
