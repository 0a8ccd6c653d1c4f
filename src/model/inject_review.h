#pragma once
/* The answer to an admission.k8s.io/v1 AdmissionReview of a pod that is created: allowed, with a
 * JSONPatch (RFC 6902) that puts a proxy beside it. Who calls has chosen by the namespace already
 * (the selectors of the MutatingWebhookConfiguration). Pure. */

#include "model/inject.h"

struct proxy_settings_table;

/* A new reference. -EINVAL: it is no review (of v1, with a request and a uid). *ret_yes: a proxy
 * was put in. settings: NULL: there are none. */
int inject_review(const json_t *review, const struct inject_options *o,
                  const struct proxy_settings_table *settings, json_t **ret, bool *ret_yes,
                  struct err *reterr) NODISCARD;
